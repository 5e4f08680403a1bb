"""What both codecs promise. Bytes to commands, replies to bytes; knows no session and no socket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from hub.protocol.messages import Command, Reply


class MalformedFrame(Exception):
    """The frame is not what the protocol allows; the connection must end with 3501.

    The text says where, and never quotes the frame: it may hold a token.
    """


class TooManyCommands(MalformedFrame):
    """The frame holds more commands than one may."""


class InvalidJSONPayload(Exception):
    """A payload that is not JSON was to go to a JSON client; that client must end with 3506."""


class Codec(Protocol):
    """One encoding of the protocol. Stateless and shared by all connections."""

    name: Literal["json", "protobuf"]
    subprotocol: str
    """Name under which WebSocket clients ask for this codec."""
    opcode: int
    """WebSocket opcode of the frames sent: 1 text, 2 binary (RFC 6455, section 5.2)."""
    ping: bytes
    """The encoded server ping, which is also what the client's pong looks like."""

    def decode(self, frame: bytes, max_commands: int) -> list[Command]:
        """Every command of the frame, in order.

        Raises:
            MalformedFrame: for anything that is not whole, valid commands, and for
                more than ``max_commands`` of them.
        """
        ...

    def encode(self, reply: Reply) -> bytes:
        """One reply, ready for :meth:`join`.

        Raises:
            InvalidJSONPayload: JSON only, when an embedded payload is not valid JSON.
        """
        ...

    def join(self, replies: Sequence[bytes]) -> bytes:
        """The payload of one frame that carries all of ``replies`` in order."""
        ...
