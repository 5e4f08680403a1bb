"""The server side of HTTP/2, on ``h2`` without a framework: windows, SETTINGS and GOAWAY as told.

Knows no provider. An answer without a body ends on its HEADERS, one with a body is a single DATA frame with
END_STREAM: the shapes that push providers use, and that clients came to rely on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import orjson
from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    SettingsAcknowledged,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import NoSuchStreamError, ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from hub.testing.simulators.http import Exchange, Frames, Reply, Request, merged

NO_LAST_STREAM = 2**31 - 1
LINGER_S = 0.2
"""How long a connection stands after its GOAWAY and its last answer."""
SWEEP_AFTER = 256
"""New streams between two walks over all of them, which is when ``h2`` forgets the ended ones."""


@dataclass(frozen=True, slots=True)
class Http2Options:
    """What the server announces in its first SETTINGS.

    ``streams`` is how many requests it serves at once; more are refused with REFUSED_STREAM.
    ``window_bytes`` is the initial window of each stream; the window of the connection is 65,535 bytes by
    the standard. ``strict_headers`` False saves a fifth of the work by not judging header names: for load.
    """

    streams: int = 1000
    window_bytes: int = 65_535
    header_list_bytes: int = 8000
    frame_bytes: int = 16_384
    strict_headers: bool = True


class _Wire(H2Connection):
    """Leaves the limit of streams to us: refusing a stream must not end the connection."""

    _begun = 0

    @property
    def open_inbound_streams(self) -> int:
        self._begun += 1
        if self._begun % SWEEP_AFTER == 0:
            self._open_streams(1)
        return 0


class Stream:
    """One request on its way in, and the answer on its way out."""

    __slots__ = ("body", "connection", "request", "stream")

    def __init__(self, connection: Http2Connection, stream: int, request: Request) -> None:
        self.connection = connection
        self.stream = stream
        self.request = request
        self.body: list[bytes] = []

    def answer(self, reply: Reply, frames: Frames = "one") -> None:
        """Send the answer; nothing happens when the client no longer waits for it."""
        self.connection.send_answer(self.stream, reply, frames)

    def reset(self, code: int) -> None:
        """RST_STREAM."""
        self.connection.send_reset(self.stream, code)


class Http2Connection(asyncio.Protocol):
    """One client connection over HTTP/2.

    ``violations`` collects what the client did against the protocol; ``on_closed`` hears of the end.
    """

    transport: asyncio.Transport

    def __init__(
        self,
        number: int,
        options: Http2Options,
        on_request: Callable[[Exchange], None],
        on_closed: Callable[[Http2Connection], None],
        violations: deque[str],
    ) -> None:
        self.number = number
        self.requests = 0
        self.notes: dict[str, Any] = {}
        self._on_request = on_request
        self._on_closed = on_closed
        self._violations = violations
        self._limit = options.streams
        self._limit_known = False
        self._last_stream = NO_LAST_STREAM
        self._lingering: asyncio.TimerHandle | None = None
        self._streams: dict[int, Stream] = {}
        self._unsent: dict[int, bytes] = {}
        self._frozen = False
        self._reading = False
        self._wire = _opened(options)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say what is allowed here."""
        self.transport = cast(asyncio.Transport, transport)
        self._wire.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for an answer any more."""
        self._streams.clear()
        self._unsent.clear()
        if self._lingering is not None:
            self._lingering.cancel()
        self._on_closed(self)

    def data_received(self, data: bytes) -> None:
        """Take frames, judge every complete request, write once."""
        try:
            events = self._wire.receive_data(data)
        except ProtocolError as error:
            self._violations.append(f"connection {self.number}: {type(error).__name__}: {error}")
            self.finish()
            return
        self._reading = True
        try:
            for event in events:
                self._take(event)
        finally:
            self._reading = False
        self._flush()

    def _take(self, event: Event) -> None:
        match event:
            case DataReceived():
                self._wire.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if (stream := self._streams.get(event.stream_id)) is not None:
                    stream.body.append(event.data)
            case StreamEnded():
                if (stream := self._streams.get(event.stream_id)) is not None:
                    stream.request.body = b"".join(stream.body)
                    stream.body.clear()
                    self.requests += 1
                    self._on_request(stream)
            case RequestReceived():
                self._begin(event)
            case StreamReset():
                self._streams.pop(event.stream_id, None)
                self._unsent.pop(event.stream_id, None)
            case WindowUpdated():
                self._send_what_waits()
            case SettingsAcknowledged():
                self._limit_known = True
            case ConnectionTerminated():
                # The client opens nothing more and may still wait: ``h2`` would let nobody answer.
                self._wire.state_machine.state = ConnectionState.SERVER_OPEN
            case _:
                pass

    def _begin(self, event: RequestReceived) -> None:
        stream_id = event.stream_id
        if stream_id > self._last_stream:
            return
        if len(self._streams) >= self._limit:
            if self._limit_known:
                self._violations.append(f"connection {self.number}: more than {self._limit} streams at once")
            with suppress(StreamClosedError, NoSuchStreamError):
                self._wire.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
        headers, repeated = merged(pairs)
        request = Request(headers.pop(":method", ""), headers.pop(":path", ""), headers, repeated=repeated)
        self._streams[stream_id] = Stream(self, stream_id, request)

    def send_answer(self, stream_id: int, reply: Reply, frames: Frames) -> None:
        """HEADERS, and the body as far as the client's windows allow; the rest follows when they open."""
        if self._streams.pop(stream_id, None) is None:
            return
        # The client may have ended the stream in the very read that brought the request.
        with suppress(StreamClosedError, NoSuchStreamError):
            self._send(stream_id, reply, frames)
        self._flush()
        self._end_if_done()

    def _send(self, stream_id: int, reply: Reply, frames: Frames) -> None:
        body = b"" if frames == "none" else reply.body
        headers = [(":status", str(reply.status)), *reply.headers.items()]
        self._wire.send_headers(stream_id, headers, end_stream=not body)
        if not body:
            return
        if frames == "one":
            self._unsent[stream_id] = body
            self._send_what_waits()
            return
        half = len(body) // 2 if frames == "split" else len(body)
        self._wire.send_data(stream_id, body[:half])
        self._wire.send_data(stream_id, body[half:], end_stream=True)

    def send_reset(self, stream_id: int, code: int) -> None:
        """RST_STREAM; nothing when the stream is over."""
        if self._streams.pop(stream_id, None) is not None:
            with suppress(StreamClosedError, NoSuchStreamError):
                self._wire.reset_stream(stream_id, code)
            self._flush()
            self._end_if_done()

    def go_away(self, last_stream: int, reason: str) -> None:
        """Announce the end. Streams above ``last_stream`` are ignored, the others answered; then it closes.

        The frame is written by hand: ``h2`` would take the connection for closed, and answer nothing more.
        """
        self._last_stream = last_stream
        for stream_id in [number for number in self._streams if number > last_stream]:
            del self._streams[stream_id]
        self._flush()
        frame = GoAwayFrame(0, last_stream, 0, orjson.dumps({"reason": reason}))
        self._write(frame.serialize())
        self._end_if_done()

    def raise_stream_limit(self, streams: int) -> None:
        """Allow ``streams`` requests at once, by a further SETTINGS."""
        if streams > self._limit:
            self._limit = streams
            self._wire.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: streams})
            self._flush()

    def finish(self) -> None:
        """Close after what was written."""
        self._flush()
        self.transport.close()

    def freeze(self, *, frozen: bool) -> None:
        """Neither read nor write any more, as if the network had swallowed the peer; or go on."""
        self._frozen = frozen
        if frozen:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()
            self._flush()

    def _end_if_done(self) -> None:
        going = self._last_stream < NO_LAST_STREAM and self._lingering is None
        if going and not self._streams and not self._unsent:
            # A peer that closed at once would cut off who had not read all of it yet.
            self._lingering = asyncio.get_running_loop().call_later(LINGER_S, self.finish)

    def _send_what_waits(self) -> None:
        for stream_id in list(self._unsent):
            while body := self._unsent.get(stream_id):
                window = self._wire.local_flow_control_window(stream_id)
                size = min(len(body), window, self._wire.max_outbound_frame_size)
                if size <= 0:
                    break
                if size == len(body):
                    del self._unsent[stream_id]
                    self._wire.send_data(stream_id, body, end_stream=True)
                else:
                    self._unsent[stream_id] = body[size:]
                    self._wire.send_data(stream_id, body[:size])

    def _flush(self) -> None:
        # All that one read brings is answered by one write.
        if not self._reading and not self._frozen and (data := self._wire.data_to_send()):
            self._write(data)

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)


def _opened(options: Http2Options) -> _Wire:
    config = H2Configuration(
        client_side=False,
        header_encoding=None,
        validate_inbound_headers=options.strict_headers,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
    )
    wire = _Wire(config)
    # Replaced as a whole: assigning single values only queues a change for a second SETTINGS frame.
    wire.local_settings = Settings(
        client=False,
        initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: options.streams,
            SettingCodes.INITIAL_WINDOW_SIZE: options.window_bytes,
            SettingCodes.MAX_FRAME_SIZE: options.frame_bytes,
            SettingCodes.MAX_HEADER_LIST_SIZE: options.header_list_bytes,
        },
    )
    wire.decoder.max_header_list_size = options.header_list_bytes
    wire.max_inbound_frame_size = options.frame_bytes
    return wire
