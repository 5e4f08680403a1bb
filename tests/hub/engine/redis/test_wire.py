"""A connection to a server that says what the test wants."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub.engine.redis.wire import ReplyError, Wire, error_code, pack
from tests.support.waiting import eventually


class Told:
    """What a wire told."""

    def __init__(self, wire: Wire) -> None:
        self.replies: list[Any] = []
        self.losses: list[str] = []
        wire.on_reply = self.replies.append
        wire.on_lost = self.losses.append


@contextlib.asynccontextmanager
async def wire_to_a_server() -> AsyncIterator[tuple[Wire, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A wire, and the server's end of it."""
    accepted: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    accepted = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(
        lambda reader, writer: accepted.set_result((reader, writer)), "127.0.0.1", 0
    )
    host, port = server.sockets[0].getsockname()[:2]
    wire = Wire()
    await asyncio.get_running_loop().create_connection(lambda: wire, host, port)
    reader, writer = await accepted
    try:
        yield wire, reader, writer
    finally:
        wire.abort()
        writer.close()
        server.close()
        await server.wait_closed()


async def test_replies_come_in_order_however_they_are_cut() -> None:
    """Errors are values, and bytes stay bytes."""
    async with wire_to_a_server() as (wire, _, writer):
        told = Told(wire)
        for piece in (b"+O", b"K\r\n:7\r\n$3\r\nab", b"c\r\n-MOVED 1 a:1\r\n*2\r\n$1\r\na\r\n$-1\r\n"):
            writer.write(piece)
            await writer.drain()
        await eventually(lambda: len(told.replies) == 5)
        assert told.replies[:3] == [b"OK", 7, b"abc"]
        assert isinstance(told.replies[3], ReplyError)
        assert error_code(told.replies[3]) == "MOVED"
        assert told.replies[4] == [b"a", None]


async def test_a_flood_lets_the_loop_breathe() -> None:
    """Thousands of replies that arrive together are handled in slices."""
    async with wire_to_a_server() as (wire, _, writer):
        told = Told(wire)
        seen: list[int] = []

        def look() -> None:
            seen.append(len(told.replies))
            if len(told.replies) < 5000:
                asyncio.get_running_loop().call_soon(look)

        look()
        writer.write(b":1\r\n" * 5000)
        await eventually(lambda: len(told.replies) == 5000)
        assert max(after - before for before, after in itertools.pairwise(seen)) <= 512


async def test_a_server_that_speaks_something_else_is_lost() -> None:
    """Its bytes mean nothing."""
    async with wire_to_a_server() as (wire, _, writer):
        told = Told(wire)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await eventually(lambda: bool(told.losses))
        assert "not the Redis protocol" in told.losses[0]
        assert wire.lost


async def test_the_end_of_a_connection_is_told_once() -> None:
    """With a reason."""
    async with wire_to_a_server() as (wire, _, writer):
        told = Told(wire)
        writer.close()
        await eventually(lambda: bool(told.losses))
        wire.write(pack(("PING",)))
        wire.abort()
        assert told.losses == ["the server closed the connection"]


async def test_an_aborted_wire_tells_nothing() -> None:
    """Not even what was read before."""
    async with wire_to_a_server() as (wire, reader, _):
        told = Told(wire)
        wire.abort()
        assert await reader.read() == b""
        assert (told.replies, told.losses) == ([], [])


async def test_asking_fails_when_the_wire_is_lost() -> None:
    """Before or meanwhile."""
    async with wire_to_a_server() as (wire, _, writer):
        asking = asyncio.create_task(wire.ask([("PING",)]))
        await asyncio.sleep(0)
        writer.close()
        with pytest.raises(ConnectionError):
            await asking
        with pytest.raises(ConnectionError):
            await wire.ask([("PING",)])
