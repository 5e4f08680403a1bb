"""What a connection and the transport below it say to each other. Values and ports only, no behaviour."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from hub.protocol.codec import Codec


class Upgrade(Struct, frozen=True, gc=False):
    """What the opening handshake told: who comes, and how they want to be spoken to."""

    codec: Codec
    client_ip: str
    """Address of the phone itself, behind trusted proxies too."""
    bearer_token: str = ""
    """Token of the ``Authorization: Bearer`` header; empty when there was none."""
    compressed: bool = False
    """True when permessage-deflate without context takeover was agreed (RFC 7692)."""
    native_ping: bool = False
    """True when the client asked for WebSocket ping frames instead of protocol pings."""


class Link(Protocol):
    """The transport as a connection sees it."""

    @property
    def said_goodbye(self) -> bool:
        """Whether the peer sent a close frame: it left on purpose."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """What was written and the socket has not taken yet."""
        ...

    def write(self, data: bytes) -> None:
        """Hand complete WebSocket frames to the socket. Never waits; see ``Connection.on_writable``."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake; the TCP connection ends within a few seconds. Idempotent."""
        ...

    def abort(self) -> None:
        """Drop the TCP connection at once, with everything not yet sent."""
        ...

    def pause_reading(self) -> None:
        """Take no more frames from the peer until :meth:`resume_reading`."""
        ...

    def resume_reading(self) -> None:
        """Take frames again."""
        ...


class LinkEvents(Protocol):
    """The connection as its transport sees it. Called on the loop's thread, never awaited."""

    @property
    def client(self) -> str:
        """What logs call it."""
        ...

    def on_frame(self, payload: bytes) -> None:
        """One whole message (fragments joined, inflated) arrived."""
        ...

    def on_pong(self) -> None:
        """A WebSocket pong frame arrived."""
        ...

    def on_writable(self, writable: bool) -> None:
        """The socket's buffer is full (False), or has room again (True)."""
        ...

    def on_lost(self) -> None:
        """The TCP connection is gone; called exactly once, nothing comes after it."""
        ...


class Refused(Exception):
    """The connection may not be opened now; the handshake is answered with this HTTP status."""

    def __init__(self, status: int, reason: str, retry_after_s: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s


class Acceptor(Protocol):
    """Makes the connection for an upgrade that the transport found in order."""

    def __call__(self, link: Link, upgrade: Upgrade) -> LinkEvents:
        """Open a connection over ``link``.

        Raises:
            Refused: when no connection can be taken now (draining, engine gone, too many).
        """
        ...
