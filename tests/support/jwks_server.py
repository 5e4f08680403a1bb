"""A real HTTP server that hands out a JWK set, and misbehaves when told to.

Speaks just enough HTTP/1.1: one GET per connection. Bound to a free port of 127.0.0.1.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class JWKSServer:
    """``async with JWKSServer(document) as server``; change the attributes at any time.

    ``hang`` keeps every request unanswered until it is unset, ``drop`` cuts the connection
    instead of an answer. ``request_count`` counts requests that arrived whole.
    """

    def __init__(self, document: bytes = b'{"keys":[]}') -> None:
        self.document = document
        self.status = 200
        self.headers: dict[str, str] = {}
        self.drop = False
        self.request_count = 0
        self.paths: list[str] = []
        self._answering = asyncio.Event()
        self._answering.set()
        self._arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None, "the server is not running"
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/keys?api_key=hidden"

    def hang(self) -> None:
        """Answer nobody until :meth:`answer_again`."""
        self._answering.clear()

    def answer_again(self) -> None:
        self._answering.set()

    async def wait_for_requests(self, count: int, timeout_s: float = 5.0) -> None:
        """Until ``count`` requests arrived since the start.

        Raises:
            TimeoutError: when they did not.
        """
        async with asyncio.timeout(timeout_s), self._arrived:
            await self._arrived.wait_for(lambda: self.request_count >= count)

    async def __aenter__(self) -> JWKSServer:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None, "the server is not running"
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "streams run their callback in a task"
        self._tasks.add(task)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        async with self._arrived:
            self.request_count += 1
            self.paths.append(head.split(b" ", 2)[1].decode())
            self._arrived.notify_all()
        await self._answering.wait()
        if self.drop:
            return
        headers = {"content-length": str(len(self.document)), "connection": "close"} | self.headers
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {self.status} X\r\n{lines}\r\n".encode() + self.document)
        await writer.drain()
        writer.write_eof()
        await reader.read()
