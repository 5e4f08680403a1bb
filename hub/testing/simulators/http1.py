"""The server side of HTTP/1.1, as much as a provider needs: keep-alive, lengths, chunks, one answer each.

Knows no provider. Requests of a connection are answered in their order; a client that sends the next
one early is read on after the answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

from hub.testing.simulators.http import Exchange, Frames, Reply, Request, merged

MAX_HEAD_BYTES = 65_536
MAX_BODY_BYTES = 1_048_576


class BadRequest(Exception):
    """What came is no HTTP/1.1 request."""


class Turn:
    """One request on the connection, and the answer it waits for."""

    __slots__ = ("connection", "request", "stream")

    def __init__(self, connection: Http1Connection, stream: int, request: Request) -> None:
        self.connection = connection
        self.stream = stream
        self.request = request

    def answer(self, reply: Reply, frames: Frames = "one") -> None:
        """Send the answer; nothing happens when the client is gone."""
        self.connection.send_answer(self, reply, frames)

    def reset(self, code: int) -> None:
        """Cut the connection: HTTP/1.1 knows no smaller unit."""
        self.connection.transport.abort()


class Http1Connection(asyncio.Protocol):
    """One client connection over HTTP/1.1."""

    transport: asyncio.Transport

    def __init__(
        self,
        number: int,
        on_request: Callable[[Exchange], None],
        on_closed: Callable[[Http1Connection], None],
        violations: deque[str],
    ) -> None:
        self.number = number
        self.requests = 0
        self.notes: dict[str, Any] = {}
        self._on_request = on_request
        self._on_closed = on_closed
        self._violations = violations
        self._buffer = bytearray()
        self._turn: Turn | None = None
        self._last = False
        self._frozen = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for an answer any more."""
        self._turn = None
        self._on_closed(self)

    def data_received(self, data: bytes) -> None:
        """Collect, and judge every complete request."""
        self._buffer += data
        self._next()

    def _next(self) -> None:
        while self._turn is None and not self._last and self._buffer:
            try:
                request = _taken(self._buffer)
            except (BadRequest, ValueError) as error:
                self._violations.append(f"connection {self.number}: {error}")
                self._write(_head(400, {"content-length": "0", "connection": "close"}))
                self._last = True
                self.transport.close()
                return
            if request is None:
                return
            self.requests += 1
            self._last = request.headers.get("connection", "").lower() == "close"
            self._turn = turn = Turn(self, self.requests, request)
            self._on_request(turn)

    def send_answer(self, turn: Turn, reply: Reply, frames: Frames) -> None:
        """Status line, headers and body; then the next request."""
        if turn is not self._turn:
            return
        self._turn = None
        body = b"" if frames == "none" else reply.body
        headers = {**reply.headers, "content-length": str(len(body))}
        if self._last:
            headers["connection"] = "close"
        self._write(_head(reply.status, headers) + body)
        if self._last:
            self.transport.close()
        else:
            self._next()

    def go_away(self, last_stream: int, reason: str) -> None:
        """The answer to come is the last one, and says so."""
        self._last = True

    def raise_stream_limit(self, streams: int) -> None:
        """HTTP/1.1 serves one request at a time, always."""

    def finish(self) -> None:
        """Close after what was written."""
        self.transport.close()

    def freeze(self, *, frozen: bool) -> None:
        """Neither read nor write any more, as if the network had swallowed the peer; or go on."""
        self._frozen = frozen
        if frozen:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _write(self, data: bytes) -> None:
        if not self._frozen and not self.transport.is_closing():
            self.transport.write(data)


def _taken(buffer: bytearray) -> Request | None:
    """The first request of ``buffer``, taken out of it; None while it is incomplete.

    Raises:
        BadRequest, ValueError: it never will be one.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > MAX_HEAD_BYTES:
            raise BadRequest("the head of a request has no end")
        return None
    lines = bytes(buffer[:end]).decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequest("no request line")
    pairs = [
        (name.strip().lower(), value.strip())
        for name, _, value in (line.partition(":") for line in lines[1:])
    ]
    headers, repeated = merged(pairs)
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body, size = _chunks(buffer, end + 4)
    else:
        length = int(headers.get("content-length", "0"))
        if not 0 <= length <= MAX_BODY_BYTES:
            raise BadRequest("a body of that length is not taken")
        size = end + 4 + length
        body = bytes(buffer[end + 4 : size]) if len(buffer) >= size else None
    if body is None:
        return None
    del buffer[:size]
    return Request(parts[0], parts[1], headers, body, repeated)


def _chunks(buffer: bytearray, start: int) -> tuple[bytes | None, int]:
    """The chunked body that begins at ``start`` and where it ends; None while it is incomplete."""
    body = bytearray()
    while True:
        line_end = buffer.find(b"\r\n", start)
        if line_end < 0:
            return None, 0
        size = int(bytes(buffer[start:line_end]).split(b";")[0], 16)
        after = line_end + 2 + size + 2
        if len(body) + size > MAX_BODY_BYTES:
            raise BadRequest("a body of that length is not taken")
        if len(buffer) < after:
            return None, 0
        body += buffer[line_end + 2 : line_end + 2 + size]
        start = after
        if size == 0:
            return bytes(body), after


def _head(status: int, headers: dict[str, str]) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
