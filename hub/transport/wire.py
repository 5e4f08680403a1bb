"""The WebSocket rules of one connection: ``websockets``' sans-I/O protocol, made small.

Adds what a hub needs to it: a choice of subprotocol that never fails, no more than one pong
waiting for a slow reader, and nothing of the opening handshake kept afterwards. Knows no
socket and no codec.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Sequence

from websockets.datastructures import Headers
from websockets.exceptions import NegotiationError
from websockets.extensions import Extension, ServerExtensionFactory
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN, Protocol
from websockets.server import ServerProtocol
from websockets.typing import ExtensionParameter, Subprotocol

_log = logging.getLogger("hub.transport.wire")
# The library tells of every handshake at INFO: a line, and its cost, for each of many thousand phones.
_log.setLevel(logging.WARNING)

_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)\r\n")
_FIELD_LINES = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]{0,8192}\r\n)*\r\n")
"""Header fields up to the empty line, each whole, on a line of its own and of no absurd length."""

_READ_FIELDS = frozenset(
    (
        b"host connection upgrade origin authorization x-forwarded-for content-length transfer-encoding "
        b"sec-websocket-key sec-websocket-version sec-websocket-protocol sec-websocket-extensions"
    ).split()
)
"""What the handshake asks about; a phone sends as many others, which nobody would read."""

_MAX_FIELDS = 128
_SWITCHING = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
)
_NO_ID = uuid.UUID(int=0)
_NO_EXTENSIONS: list[Extension] = []


class SharedDeflate(ServerPerMessageDeflateFactory):
    """Permessage-deflate for frames that are compressed once for everybody.

    Both sides forget their window after each message, so no connection keeps one (RFC 7692,
    7.1.1). An offer that asks for a smaller window on our side is declined: a shared frame
    is made with the full one (7.1.2.1 allows to decline).
    """

    def __init__(self) -> None:
        super().__init__(server_no_context_takeover=True, client_no_context_takeover=True)

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        """The answer to one offer.

        Raises:
            NegotiationError: when the offer is declined.
        """
        agreed, extension = super().process_request_params(params, accepted_extensions)
        if extension.local_max_window_bits != 15:
            raise NegotiationError("shared frames need the full window")
        return agreed, extension


_DEFLATE: tuple[ServerExtensionFactory, ...] = (SharedDeflate(),)


class Wire(ServerProtocol):
    """Frames in, frames out, for one connection.

    ``holds_pongs`` is set while the peer does not read: of the pongs owed to it only the newest
    waits, in ``held_pong``, so that a flood of pings cannot fill our memory (RFC 6455, 5.5.3).
    """

    def __init__(self, subprotocols: Sequence[str], max_message_bytes: int, *, compression: bool) -> None:
        super().__init__(
            subprotocols=[Subprotocol(name) for name in subprotocols],
            extensions=_DEFLATE if compression else None,
            max_size=max_message_bytes,
            logger=_log,
        )
        # At that level the library writes headers and payloads, tokens among them, into the log.
        self.debug = False
        self.holds_pongs = False
        self.held_pong: bytes | None = None

    def process_subprotocol(self, headers: Headers) -> Subprotocol | None:
        """The first subprotocol of the client's list that we speak, else none.

        Never fails the handshake: an empty header is what some published clients send, and one
        that lists only strangers gets a connection without a subprotocol.
        """
        known = self.available_subprotocols or ()
        for value in headers.get_all("Sec-WebSocket-Protocol"):
            for name in value.split(","):
                if name.strip() in known:
                    return Subprotocol(name.strip())
        return None

    @property
    def compressed(self) -> bool:
        """Whether permessage-deflate was agreed."""
        return bool(self.extensions)

    def agree(self, accept: str, extensions: str | None, subprotocol: str | None) -> None:
        """Queue the response that opens the connection, with what ``process_request`` found.

        It carries no Date, which a 101 need not (RFC 9110, 6.6.1).
        """
        lines = [_SWITCHING + accept]
        if extensions is not None:
            lines.append(f"Sec-WebSocket-Extensions: {extensions}")
        if subprotocol is not None:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        self.writes.append("\r\n".join([*lines, "", ""]).encode())
        self.state = OPEN
        self.forget_handshake()

    def forget_handshake(self) -> None:
        """Let go of all that only the handshake needed; to be called once it has succeeded."""
        # The parser's frame would keep the request, and its token, for the connection's life.
        self.parser.close()
        self.parser = Protocol.parse(self)
        next(self.parser)
        self.available_extensions = self.available_subprotocols = None
        self.id = _NO_ID
        if not self.extensions:
            self.extensions = _NO_EXTENSIONS

    def send_frame(self, frame: Frame) -> None:
        """Queue a frame; called by the library for its own answers too."""
        if self.holds_pongs and frame.opcode is Opcode.PONG:
            self.held_pong = bytes(frame.data)
        else:
            super().send_frame(frame)

    def release_pong(self) -> None:
        """Queue the pong that waited, if one did and the connection is still open for it."""
        payload, self.held_pong = self.held_pong, None
        if payload is not None and self.state is OPEN:
            self.send_pong(payload)


def parse_request(head: bytes) -> Request:
    """The upgrade request in ``head``, which must be whole.

    Raises:
        Exception: several kinds, for a head that breaks the rules; their texts quote it, so
            they must not be shown.
    """
    if not head.endswith(b"\r\n\r\n"):
        raise EOFError("incomplete request head")
    line, _, lines = head.partition(b"\r\n")
    method, target, version = line.decode("ascii").split(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or not _FIELD_LINES.fullmatch(lines):
        raise ValueError("malformed request head")
    fields = _FIELD.findall(lines)
    if len(fields) > _MAX_FIELDS:
        raise ValueError("too many header fields")
    headers = Headers()
    for raw_name, value in fields:
        name = raw_name.lower()
        if name in _READ_FIELDS:
            headers.set_insecure(name.decode("ascii"), value.rstrip(b" \t").decode("latin-1"))
    if "transfer-encoding" in headers or not {"0"}.issuperset(headers.get_all("content-length")):
        raise ValueError("an upgrade has no body")
    return Request(target, headers, method, version)
