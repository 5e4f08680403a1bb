"""The proxy that breaks connections in tests does break them, and only as it was told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from tests.support.tcp_proxy import BOTH, ProxyMisuse, Side, TcpProxy, tcp_proxy
from tests.support.waiting import eventually

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_TIMEOUT_S = 5.0


class Echo:
    """A server that answers every byte with itself, and the end with the end."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.ends: list[str] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._writers.append(writer)
        try:
            while data := await reader.read(65536):
                self.received += data
                writer.write(data)
            self.ends.append("end")
        except ConnectionResetError:
            self.ends.append("reset")
        finally:
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, tuple[str, int]]]:
    """A running echo server and where it is."""
    running = Echo()
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    async with server:
        yield running, server.sockets[0].getsockname()[:2]


@pytest.fixture
async def proxy(echo: tuple[Echo, tuple[str, int]]) -> AsyncIterator[TcpProxy]:
    """A proxy before it."""
    async with tcp_proxy(echo[1]) as running:
        yield running


@contextlib.asynccontextmanager
async def connected(proxy: TcpProxy) -> AsyncIterator[Streams]:
    """A client through the proxy, closed for certain."""
    reader, writer = await asyncio.open_connection(*proxy.address)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def exchange(streams: Streams, data: bytes) -> bytes:
    """Send ``data`` and read as much back."""
    reader, writer = streams
    writer.write(data)
    async with asyncio.timeout(_TIMEOUT_S):
        return await reader.readexactly(len(data))


async def test_carries_both_ways(proxy: TcpProxy) -> None:
    """More than any buffer on the way holds."""
    data = bytes(range(256)) * 20_000
    async with connected(proxy) as streams:
        assert await exchange(streams, data) == data
        assert proxy.connection_count == 1


async def test_an_end_passes_through(proxy: TcpProxy) -> None:
    """A client that says it is done still reads what was on its way, then the end."""
    async with connected(proxy) as (reader, writer):
        writer.write(b"last words")
        writer.write_eof()
        async with asyncio.timeout(_TIMEOUT_S):
            assert await reader.read() == b"last words"
        await eventually(lambda: proxy.connection_count == 0)


async def test_cut_resets_both_ends(proxy: TcpProxy, echo: tuple[Echo, tuple[str, int]]) -> None:
    """Neither end is told goodbye, and nobody gets through until it is restored."""
    async with connected(proxy) as (reader, writer):
        await exchange((reader, writer), b"x")
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(_TIMEOUT_S):
                await reader.read()
    await eventually(lambda: echo[0].ends == ["reset"])
    with pytest.raises(ConnectionResetError):
        async with connected(proxy) as (reader, _), asyncio.timeout(_TIMEOUT_S):
            await reader.read()
    proxy.restore()
    async with connected(proxy) as streams:
        assert await exchange(streams, b"x") == b"x"


async def test_stall_holds_back_and_restore_lets_go(
    proxy: TcpProxy, echo: tuple[Echo, tuple[str, int]]
) -> None:
    """What was sent meanwhile arrives afterwards, in order, once; a new connection stalls too."""
    async with connected(proxy) as old:
        await exchange(old, b"1")
        proxy.stall()
        old[1].write(b"2")
        async with connected(proxy) as new:
            new[1].write(b"3")
            await eventually(lambda: proxy.connection_count == 2)
            assert bytes(echo[0].received) == b"1"
            old[1].write(b"4")
            proxy.restore()
            async with asyncio.timeout(_TIMEOUT_S):
                assert await old[0].readexactly(2) == b"24"
                assert await new[0].readexactly(1) == b"3"


async def test_stall_in_one_direction(proxy: TcpProxy, echo: tuple[Echo, tuple[str, int]]) -> None:
    """The other direction goes on."""
    async with connected(proxy) as streams:
        await exchange(streams, b"1")
        proxy.stall(toward=frozenset({Side.CLIENT}))
        streams[1].write(b"2")
        await eventually(lambda: bytes(echo[0].received) == b"12")
        proxy.restore()
        async with asyncio.timeout(_TIMEOUT_S):
            assert await streams[0].readexactly(1) == b"2"


async def test_half_close_ends_one_direction(proxy: TcpProxy, echo: tuple[Echo, tuple[str, int]]) -> None:
    """The server reads the end, while the client was told nothing yet."""
    async with connected(proxy) as streams:
        await exchange(streams, b"1")
        proxy.half_close(toward=Side.SERVER)
        await eventually(lambda: echo[0].ends == ["end"])


def _cut(proxy: TcpProxy) -> None:
    proxy.cut()


def _stall(proxy: TcpProxy) -> None:
    proxy.stall(toward=BOTH)


def _stall_nothing(proxy: TcpProxy) -> None:
    proxy.stall(toward=frozenset())


def _half_close(proxy: TcpProxy) -> None:
    proxy.half_close(toward=Side.CLIENT)


def _restore(proxy: TcpProxy) -> None:
    proxy.restore()


@pytest.mark.parametrize(
    ("before", "misuse"),
    [
        ([], _restore),
        ([], _half_close),
        ([], _stall_nothing),
        ([_cut], _cut),
        ([_cut], _stall),
        ([_stall], _stall),
    ],
)
async def test_refuses_misuse(
    proxy: TcpProxy, before: list[Callable[[TcpProxy], None]], misuse: Callable[[TcpProxy], None]
) -> None:
    """A fault that makes no sense now is a mistake in the test."""
    for step in before:
        step(proxy)
    with pytest.raises(ProxyMisuse):
        misuse(proxy)


async def test_refuses_to_break_what_does_not_run(echo: tuple[Echo, tuple[str, int]]) -> None:
    """Before it is started there is nothing to break."""
    with pytest.raises(ProxyMisuse):
        TcpProxy(echo[1]).cut()
