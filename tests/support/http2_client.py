"""A plain client of HTTP/2 that shows every frame it is told of, and can misbehave when asked to."""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError
from hyperframe.frame import DataFrame, Frame, GoAwayFrame

Pairs = Sequence[tuple[str, str]]


@dataclass
class Answer:
    """What came back on one stream. ``frames`` are the sizes of its DATA frames."""

    stream: int
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    frames: list[int] = field(default_factory=list)
    reset_code: int | None = None
    ended: bool = False

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return orjson.loads(self.body)

    @property
    def is_over(self) -> bool:
        """Nothing more comes."""
        return self.ended or self.reset_code is not None


class _Wire(H2Connection):
    """Goes on reading after a GOAWAY: the answers that follow are of interest here."""

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        before = self.state_machine.state
        received = super()._receive_goaway_frame(frame)
        self.state_machine.state = before
        return received


class Http2Client:
    """One connection. ``acknowledge`` False leaves the windows of the server shut."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.wire = _Wire(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.acknowledge = True
        self.answers: dict[int, Answer] = defaultdict(lambda: Answer(0))
        self.settings: list[dict[int, int]] = []
        self.goaways: list[tuple[int, bytes]] = []
        self.closed = False
        self._reader, self._writer = reader, writer
        self._changed = asyncio.Condition()

    def begin(self, headers: Pairs, body: bytes = b"", *, end: bool = True) -> int:
        """Send a request without waiting for anything; the number of its stream."""
        stream: int = self.wire.get_next_available_stream_id()
        self.answers[stream] = Answer(stream)
        self.wire.send_headers(stream, list(headers), end_stream=end and not body)
        if body:
            self.wire.send_data(stream, body, end_stream=end)
        self.flush()
        return stream

    async def patiently(self, headers: Pairs, body: bytes) -> int:
        """:meth:`begin`, as soon as windows and the limit of streams allow it."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._has_room(len(body)) or self.closed)
        return self.begin(headers, body)

    def _has_room(self, size: int) -> bool:
        limit = self.wire.remote_settings.max_concurrent_streams
        return self.wire.outbound_flow_control_window >= size and self.wire.open_outbound_streams < limit

    async def finished(self, stream: int, timeout_s: float = 5.0) -> Answer:
        """The answer on ``stream``, once it is over or the connection is."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: self.answers[stream].is_over or self.closed)
        return self.answers[stream]

    async def all_finished(self, streams: Iterable[int]) -> list[Answer]:
        """The answers of all of them."""
        return [await self.finished(stream) for stream in streams]

    async def until(self, condition: Any, timeout_s: float = 5.0) -> None:
        """Wait until ``condition()`` is true."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(condition)

    async def ask(self, headers: Pairs, body: bytes = b"") -> Answer:
        """One request and its answer."""
        return await self.finished(self.begin(headers, body))

    def force(self, stream: int, body: bytes, *, end: bool) -> None:
        """DATA past every window."""
        frame = DataFrame(stream, body, flags=["END_STREAM"] if end else [])
        self._writer.write(frame.serialize())

    def flush(self) -> None:
        """Write what waits."""
        if data := self.wire.data_to_send():
            self._writer.write(data)

    async def run(self) -> None:
        """Read until the end."""
        try:
            while data := await self._reader.read(65_536):
                events = self.wire.receive_data(data)
                async with self._changed:
                    for event in events:
                        self._take(event)
                    self.flush()
                    self._changed.notify_all()
        except (ConnectionError, ssl.SSLError, ProtocolError):
            pass
        finally:
            self.closed = True
            async with self._changed:
                self._changed.notify_all()

    def _take(self, event: Event) -> None:
        match event:
            case ResponseReceived():
                answer = self.answers[event.stream_id]
                answer.headers = {str(name): str(value) for name, value in event.headers}
                answer.status = int(answer.headers.pop(":status"))
            case DataReceived():
                answer = self.answers[event.stream_id]
                answer.body += event.data
                answer.frames.append(len(event.data))
                if self.acknowledge:
                    self.wire.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded():
                self.answers[event.stream_id].ended = True
            case StreamReset():
                self.answers[event.stream_id].reset_code = int(event.error_code)
            case RemoteSettingsChanged():
                changed = {int(code): s.new_value for code, s in event.changed_settings.items()}
                self.settings.append(changed)
            case ConnectionTerminated():
                self.goaways.append((int(event.last_stream_id or 0), event.additional_data or b""))
            case _:
                pass


@asynccontextmanager
async def http2_client(port: int, context: ssl.SSLContext) -> AsyncIterator[Http2Client]:
    """Connected to ``port`` of this machine, and to whom its first SETTINGS have come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    client = Http2Client(reader, writer)
    client.wire.initiate_connection()
    client.flush()
    task = asyncio.create_task(client.run())
    try:
        await client.until(lambda: client.settings or client.closed)
        yield client
    finally:
        writer.transport.abort()
        await task
