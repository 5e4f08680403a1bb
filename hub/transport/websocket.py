"""One live WebSocket: an ``asyncio.Protocol`` that is a :class:`~hub.connection.link.Link`.

Turns bytes into whole messages for the connection above it, and writes the frames that others
built. No task, no queue, and no timer but while closing. Knows no codec, no session and no channel.
"""

from __future__ import annotations

import asyncio
import enum
import logging

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Event

from hub.connection.link import LinkEvents, Refused
from hub.errors import SERVER_ERROR
from hub.transport.farewell import close_our_half, turn_away
from hub.transport.handshake import ORIGIN_NOT_ALLOWED, Rejection, negotiate, rejection_of
from hub.transport.peer import Peer
from hub.transport.state import TransportState
from hub.transport.wire import Wire

_log = logging.getLogger(__name__)

_MAX_REASON_BYTES = 123
"""Room that a close frame has beside the code (RFC 6455, 5.5)."""

_SLICE_BYTES = 16_384
"""How much is parsed at once: bounds the frames that exist before the connection can say stop."""


class _Phase(enum.Enum):
    OPENING = 1
    OPEN = 2
    CLOSING = 3
    LOST = 4


_OPENING, _OPEN, _CLOSING, _LOST = _Phase


def open_link(
    state: TransportState, transport: asyncio.Transport, head: bytes, leftover: bytes, peer: Peer
) -> None:
    """Answer the upgrade request ``head`` and hand the transport to a new link, or turn it away.

    Args:
        state: what the server's connections share; its acceptor must be there.
        transport: becomes the link's, or that of a farewell.
        head: the whole request head.
        leftover: what arrived behind it, the client's first frames.
        peer: the TCP peer, or the one that a PROXY header named.
    """
    assert state.acceptor is not None, "only callers that serve WebSockets come here"
    admission = state.admission
    try:
        admission.check_load()
        opening = negotiate(head, peer, state.options, state.origins)
        if isinstance(opening, Rejection):
            if opening is ORIGIN_NOT_ALLOWED:
                state.metrics.limit_reached("origin")
            turn_away(state, transport, opening)
            return
        place = admission.admit(opening.upgrade.client_ip)
    except Refused as refused:
        turn_away(state, transport, rejection_of(refused))
        return
    link = WebSocketLink(state, transport, opening.wire, place)
    try:
        events = state.acceptor(link, opening.upgrade)
    except Refused as refused:
        rejection = rejection_of(refused)
    except Exception:
        _log.exception("! the acceptor failed")
        rejection = Rejection(500, "internal server error")
    else:
        link.start(events, leftover)
        return
    link.discard()
    admission.left(place)
    turn_away(state, transport, rejection)


class WebSocketLink(asyncio.Protocol):
    """See :class:`~hub.connection.link.Link` for what it promises upwards.

    Until :meth:`start` everything written waits behind the handshake response, so that an
    acceptor may already write or close.
    """

    __slots__ = (
        "_close_deadline",
        "_events",
        "_held_bytes",
        "_held_frames",
        "_partial",
        "_phase",
        "_place",
        "_reading_paused",
        "_state",
        "_transport",
        "_wire",
    )

    def __init__(self, state: TransportState, transport: asyncio.Transport, wire: Wire, place: str) -> None:
        self._state = state
        self._place = place
        self._transport = transport
        self._wire = wire
        self._events: LinkEvents | None = None
        self._phase = _OPENING
        self._partial: bytearray | None = None
        self._reading_paused = False
        self._held_frames: list[Event] | None = None
        self._held_bytes = b""
        self._close_deadline: asyncio.TimerHandle | None = None

    def start(self, events: LinkEvents, leftover: bytes) -> None:
        """Send the handshake response and what waits behind it, and go live."""
        self._events = events
        self._transport.set_protocol(self)
        options = self._state.options
        self._transport.set_write_buffer_limits(options.write_high_bytes, options.write_low_bytes)
        self._state.links.add(self)
        if self._phase is _OPENING:
            self._phase = _OPEN
        else:
            self._end_within_timeout()
        self._flush()
        if leftover:
            self.data_received(leftover)

    def discard(self) -> None:
        """Make an unstarted link inert: its acceptor wanted no connection."""
        self._phase = _LOST
        self._wire.discard()

    # What the connection asks for.

    @property
    def said_goodbye(self) -> bool:
        """Whether the peer sent a close frame."""
        return self._wire.said_goodbye

    @property
    def unsent_bytes(self) -> int:
        """What the socket has not taken yet."""
        return self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Send complete frames; dropped once the connection is closing."""
        if self._phase is _OPEN:
            self._transport.write(data)
        elif self._phase is _OPENING:
            self._wire.writes.append(data)

    def close(self, code: int, reason: str) -> None:
        """Send a close frame and nothing after it; ends within the close timeout. Idempotent."""
        if self._phase is not _OPEN and self._phase is not _OPENING:
            return
        if self._wire.state is OPEN:
            self._wire.send_close(code, _cut(reason))
        self._forget_held()
        started = self._phase is _OPEN
        self._phase = _CLOSING
        if started:
            # The peer's half of the close must be seen.
            self._reading_paused = False
            self._transport.resume_reading()
            self._end_within_timeout()
            self._flush()

    def abort(self) -> None:
        """Drop the connection with everything unsent."""
        if self._phase is not _LOST:
            self._phase = _CLOSING
            self._forget_held()
            self._transport.abort()

    def pause_reading(self) -> None:
        """Deliver no further frame; what was already read waits, at most one read of the socket."""
        if not self._reading_paused and (self._phase is _OPEN or self._phase is _OPENING):
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Deliver again, from the next turn of the loop on, never from within this call."""
        if not self._reading_paused:
            return
        self._reading_paused = False
        if self._holds_input():
            asyncio.get_running_loop().call_soon(self._deliver_held)
        else:
            self._transport.resume_reading()

    # What the transport tells.

    def data_received(self, data: bytes) -> None:
        """Bytes from the peer."""
        if self._phase is _LOST:
            return
        if self._phase is _OPEN and (self._reading_paused or self._holds_input()):
            self._held_bytes += data
        else:
            self._receive(data)

    def eof_received(self) -> None:
        """The peer sends no more; the transport closes itself once what we owe is written."""
        self._phase = _CLOSING
        self._end_within_timeout()

    def pause_writing(self) -> None:
        """More is unsent than the high mark."""
        self._wire.holds_pongs = True
        self._tell_writable(False)

    def resume_writing(self) -> None:
        """The unsent fell below the low mark."""
        self._wire.holds_pongs = False
        if self._phase is _OPEN:
            self._wire.release_pong()
            self._flush()
            self._tell_writable(True)

    def connection_lost(self, exc: Exception | None) -> None:
        """The TCP connection is gone."""
        self._phase = _LOST
        if self._close_deadline is not None:
            self._close_deadline.cancel()
            self._close_deadline = None
        self._forget_held()
        self._wire.discard()
        self._state.links.discard(self)
        self._state.admission.left(self._place)
        events, self._events = self._events, None
        if events is not None:
            try:
                events.on_lost()
            except Exception:
                _log.exception("! on_lost failed", extra={"client": events.client})
        self._state.departed()

    # Incoming.

    def _receive(self, data: bytes) -> None:
        for position in range(0, len(data), _SLICE_BYTES):
            self._wire.receive_data(
                data if len(data) <= _SLICE_BYTES else data[position : position + _SLICE_BYTES]
            )
            self._deliver(self._wire.events_received())
            if self._reading_paused:
                self._held_bytes = data[position + _SLICE_BYTES :]
                return
            if self._transport.is_closing():
                return

    def _deliver(self, frames: list[Event]) -> None:
        """Give frames to the connection, until it closes or pauses; then send what we owe for them."""
        try:
            for index, frame in enumerate(frames):
                if self._phase is not _OPEN:
                    break
                if self._reading_paused:
                    self._held_frames = frames[index:]
                    break
                assert isinstance(frame, Frame), "the handshake is over"
                self._deliver_frame(frame)
        except Exception:
            self._end_after_failure()
        # Answers come before the echo of a close, and that only after the frames before it.
        if self._held_frames is None:
            self._flush()

    def _deliver_frame(self, frame: Frame) -> None:
        assert self._events is not None, "an open link has events"
        if frame.opcode is Opcode.PONG:
            self._events.on_pong()
        elif frame.opcode is not Opcode.PING and frame.opcode is not Opcode.CLOSE:
            payload = bytes(frame.data)
            # The library's parser remembers its last frame until the next one; its payload need not stay.
            frame.data = b""
            if self._partial is not None:
                self._partial += payload
                if not frame.fin:
                    return
                payload, self._partial = bytes(self._partial), None
            elif not frame.fin:
                self._partial = bytearray(payload)
                return
            self._events.on_frame(payload)

    def _deliver_held(self) -> None:
        if self._reading_paused or self._phase is not _OPEN:
            return
        frames, data = self._held_frames, self._held_bytes
        self._forget_held()
        if frames is not None:
            self._deliver(frames)
        if self._reading_paused:
            self._held_bytes = data
        elif data:
            self._receive(data)
        if not self._reading_paused:
            self._transport.resume_reading()

    def _holds_input(self) -> bool:
        return self._held_frames is not None or bool(self._held_bytes)

    def _forget_held(self) -> None:
        self._held_frames = None
        self._held_bytes = b""

    # Outgoing and the end.

    def _flush(self) -> None:
        """Send what the wire owes: pongs, a close frame, the end of the stream."""
        if not self._wire.writes:
            return
        writes = self._wire.data_to_send()
        if self._transport.is_closing():
            return
        self._transport.write(b"".join(writes))
        if not writes[-1]:
            self._end_stream()

    def _end_stream(self) -> None:
        """Both halves of the close are there, or the peer broke the rules (RFC 6455, 7.1.1, 7.1.7)."""
        self._phase = _CLOSING
        self._end_within_timeout()
        if self._wire.is_broken:
            if self._wire.was_too_large:
                self._state.metrics.limit_reached("message_bytes")
            close_our_half(self._transport)
        else:
            self._transport.close()

    def _end_within_timeout(self) -> None:
        if self._close_deadline is None:
            loop = asyncio.get_running_loop()
            self._close_deadline = loop.call_later(self._state.options.close_timeout_s, self._transport.abort)

    def _end_after_failure(self) -> None:
        """A callback of the connection raised: end this connection, and no other."""
        client = "" if self._events is None else self._events.client
        _log.exception("! a connection failed in its callback", extra={"client": client})
        self.close(SERVER_ERROR.code, SERVER_ERROR.reason)

    def _tell_writable(self, writable: bool) -> None:
        if self._events is None or self._phase is not _OPEN:
            return
        try:
            self._events.on_writable(writable)
        except Exception:
            self._end_after_failure()


def _cut(reason: str) -> str:
    """As much of ``reason`` as a close frame can carry, never half a character."""
    return reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
