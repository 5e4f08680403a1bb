"""The WebSocket rules of one open connection: ``websockets``' sans-I/O protocol, made small.

Adds what a hub needs to it: ordinary messages read in a few steps, no more than one pong waiting
for a slow reader, and nothing in the log. Knows no socket, no codec and no handshake.
"""

from __future__ import annotations

import logging
import uuid

from websockets.extensions import Extension
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side

try:
    from websockets.speedups import apply_mask
except ImportError:  # built without its C part
    from websockets.utils import apply_mask

_log = logging.getLogger(__name__)
# The library tells of handshakes and closes at INFO: a line, and its cost, for each of many thousand phones.
_log.setLevel(logging.WARNING)

_NO_ID = uuid.UUID(int=0)
_NO_EXTENSIONS: list[Extension] = []
_WHOLE_MESSAGES = {0x81: Opcode.TEXT, 0x82: Opcode.BINARY}
"""First bytes of frames that are a message by themselves: final, and nothing of an extension."""

_MASKED = 0x80
_LENGTH_BYTES = {126: 2, 127: 8}


class Wire(Protocol):
    """Frames in, frames out, for one connection that is open.

    ``holds_pongs`` is set while the peer does not read: of the pongs owed to it only the newest
    waits, in ``held_pong``, so that a flood of pings cannot fill our memory (RFC 6455, 5.5.3).
    """

    def __init__(self, max_message_bytes: int, extensions: list[Extension] | None = None) -> None:
        super().__init__(Side.SERVER, max_size=max_message_bytes, logger=_log)
        self.extensions = extensions or _NO_EXTENSIONS
        self.id = _NO_ID
        # At that level the library writes payloads, tokens among them, into the log.
        self.debug = False
        self.holds_pongs = False
        self.held_pong: bytes | None = None
        self._max_message_bytes = max_message_bytes
        self._frame_start = b""
        self._owed_bytes = 0

    def receive_data(self, data: bytes | bytearray) -> None:
        """Take bytes of the peer. A frame that is a whole ordinary message becomes an event at once;
        all others the library reads, whose answers they may need.
        """
        if self._frame_start:
            data, self._frame_start = self._frame_start + data, b""
        at, end = 0, len(data)
        while at < end:
            if self._owed_bytes:
                part = data[at : at + self._owed_bytes]
                self._owed_bytes -= len(part)
                at += len(part)
                super().receive_data(part)
            elif self.state is not OPEN:
                # Where frames begin no longer matters: it waits for a close, or for nothing at all.
                super().receive_data(data[at:])
                return
            elif end - at < 2:
                self._frame_start = bytes(data[at:])
                return
            else:
                first, second = data[at], data[at + 1]
                length, mask_at = second & 0x7F, at + 2
                if length > 125:
                    mask_at += _LENGTH_BYTES[length]
                    if mask_at > end and second & _MASKED:
                        self._frame_start = bytes(data[at:])
                        return
                    length = int.from_bytes(data[at + 2 : mask_at], "big")
                payload_at = mask_at + 4
                stop = payload_at + length
                opcode = _WHOLE_MESSAGES.get(first)
                if (
                    opcode is None
                    or stop > end
                    or length > self._max_message_bytes
                    or not second & _MASKED
                    or self.current_size is not None
                    or self.extensions
                ):
                    self._owed_bytes = stop - at
                else:
                    payload = apply_mask(data[payload_at:stop], data[mask_at:payload_at])
                    self.events.append(Frame(opcode, payload))
                    at = stop

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
