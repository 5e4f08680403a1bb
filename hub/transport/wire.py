"""The WebSocket rules of one open connection: ``websockets``' sans-I/O protocol, where it is needed.

An ordinary message, which is what phones send all day, is read here in a few steps. Everything
that has rules of its own (fragments, pings, closes, compression, mistakes) is the library's,
and a connection has one of its protocol objects from its first such frame on. Knows no socket,
no codec and no handshake.
"""

from __future__ import annotations

import logging

from websockets.exceptions import PayloadTooBig
from websockets.extensions import Extension
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Event, Protocol, Side, State

try:
    from websockets.speedups import apply_mask
except ImportError:  # built without its C part
    from websockets.utils import apply_mask

_log = logging.getLogger(__name__)
# The library tells of each close at INFO: a line, and its cost, for each of many thousand phones.
_log.setLevel(logging.WARNING)

_BY_ITSELF = {0x81: Opcode.TEXT, 0x82: Opcode.BINARY, 0x8A: Opcode.PONG}
"""First bytes of frames that mean something by themselves: final, and of no extension."""

_OPCODES = frozenset(Opcode)
_MASKED = 0x80
_LENGTH_BYTES = {126: 2, 127: 8}
_MAX_CONTROL_BYTES = 125


class Wire:
    """Frames in, frames out, for one connection that is open.

    ``holds_pongs`` is set while the peer does not read: of the pongs owed to it only the newest
    waits, so that a flood of pings cannot fill our memory (RFC 6455, 5.5.3).
    """

    __slots__ = (
        "_events",
        "_extensions",
        "_frame_start",
        "_library",
        "_library_reads_bytes",
        "_max_message_bytes",
        "holds_pongs",
        "writes",
    )

    def __init__(self, max_message_bytes: int, extensions: list[Extension] | None = None) -> None:
        self._max_message_bytes = max_message_bytes
        self._extensions = extensions
        self._library: _Library | None = None
        self._library_reads_bytes = 0
        """How much of the frame that the library is reading has not come yet."""
        self._frame_start = b""
        """Too little of a frame to know its length."""
        self._events: list[Event] = []
        self.writes: list[bytes] = []
        """What waits for :meth:`data_to_send`; more may be put behind it."""
        self.holds_pongs = False

    @property
    def state(self) -> State:
        """Where the connection stands by the rules (RFC 6455, 7.1)."""
        return OPEN if self._library is None else self._library.state

    @property
    def is_broken(self) -> bool:
        """True once the peer broke the rules."""
        return self._library is not None and self._library.parser_exc is not None

    @property
    def was_too_large(self) -> bool:
        """True once a message was longer than one may be."""
        return self._library is not None and isinstance(self._library.parser_exc, PayloadTooBig)

    @property
    def said_goodbye(self) -> bool:
        """True once the peer sent a close frame."""
        return self._library is not None and self._library.close_rcvd is not None

    def events_received(self) -> list[Event]:
        """The frames that came since the last call."""
        events, self._events = self._events, []
        return events

    def data_to_send(self) -> list[bytes]:
        """What is owed to the peer since the last call; an empty item at its end ends the stream."""
        writes, self.writes = self.writes, []
        return writes

    def receive_data(self, data: bytes) -> None:
        """Take bytes of the peer; what they were, :meth:`events_received` and :meth:`data_to_send` say."""
        if self._frame_start:
            data, self._frame_start = self._frame_start + data, b""
        at, end = 0, len(data)
        while at < end:
            if self._library_reads_bytes:
                part = data[at : at + self._library_reads_bytes]
                self._library_reads_bytes -= len(part)
                at += len(part)
                self._give_library(part)
                continue
            if self._library is not None and self._library.state is not OPEN:
                # Where frames begin no longer matters: it waits for a close, or for nothing at all.
                self._give_library(data[at:])
                return
            length_at = at + 2
            length = data[at + 1] & ~_MASKED if length_at <= end else 127
            mask_at = length_at + _LENGTH_BYTES.get(length, 0)
            if mask_at > end and (length_at > end or _may_be_frame(data[at], data[at + 1])):
                self._frame_start = data[at:]
                return
            if mask_at > length_at:
                length = int.from_bytes(data[length_at:mask_at], "big")
            payload_at = mask_at + 4
            next_at = payload_at + length
            opcode = _BY_ITSELF.get(data[at])
            if (
                opcode is not None
                and next_at <= end
                and data[at + 1] & _MASKED
                and length <= (_MAX_CONTROL_BYTES if opcode is Opcode.PONG else self._max_message_bytes)
                and self._extensions is None
                and (self._library is None or self._library.current_size is None)
            ):
                payload = apply_mask(data[payload_at:next_at], data[mask_at:payload_at])
                self._events.append(Frame(opcode, payload))
                at = next_at
            else:
                self._library_reads_bytes = next_at - at

    def send_close(self, code: int, reason: str) -> None:
        """Queue a close frame."""
        library = self._needed_library()
        library.send_close(code, reason)
        self.writes += library.data_to_send()

    def release_pong(self) -> None:
        """Queue the pong that waited, if one did and the connection is still open for it."""
        library = self._library
        if library is not None and library.held_pong is not None:
            library.holds_pongs = False
            payload, library.held_pong = library.held_pong, None
            if library.state is OPEN:
                library.send_pong(payload)
                self.writes += library.data_to_send()

    def discard(self) -> None:
        """Nothing comes or goes any more. The library's parser and its protocol hold each other otherwise."""
        if self._library is not None:
            self._library.parser.close()

    def _give_library(self, data: bytes) -> None:
        library = self._needed_library()
        library.holds_pongs = self.holds_pongs
        library.receive_data(data)
        self._events += library.events_received()
        self.writes += library.data_to_send()

    def _needed_library(self) -> _Library:
        if self._library is None:
            self._library = _Library(self._max_message_bytes, self._extensions or [])
        return self._library


def _may_be_frame(first: int, second: int) -> bool:
    """Whether more bytes could make a frame of these; otherwise the library should say so now."""
    return bool(second & _MASKED) and first & 0x0F in _OPCODES


class _Library(Protocol):
    """The library's protocol, with no more than one pong waiting."""

    def __init__(self, max_message_bytes: int, extensions: list[Extension]) -> None:
        super().__init__(Side.SERVER, max_size=max_message_bytes, logger=_log)
        self.extensions = extensions
        # At that level the library writes payloads, tokens among them, into the log.
        self.debug = False
        self.holds_pongs = False
        self.held_pong: bytes | None = None

    def send_frame(self, frame: Frame) -> None:
        """Queue a frame; called by the library for its own answers too."""
        if self.holds_pongs and frame.opcode is Opcode.PONG:
            self.held_pong = bytes(frame.data)
        else:
            super().send_frame(frame)
