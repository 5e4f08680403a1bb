"""Cutting what is left of a session."""

from __future__ import annotations

import asyncio
import socket

from workers.senders.sockets import Sockets


async def test_cutting_closes_every_connection_that_is_left() -> None:
    """Those that are closed already are no matter."""
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        ended.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        sockets = Sockets()
        left, closed = (sockets.make((socket.AF_INET, socket.SOCK_STREAM, 0)) for _ in range(2))
        closed.close()
        await asyncio.get_running_loop().sock_connect(left, server.sockets[0].getsockname())
        reader, writer = await asyncio.open_connection(sock=left)
        await sockets.cut()
        assert await reader.read() == b""
        await ended.wait()
        writer.close()
        await writer.wait_closed()
        assert left.fileno() == -1


async def test_cutting_nothing_returns_at_once() -> None:
    """A session that never connected."""
    await Sockets().cut()
