"""A TCP proxy that breaks connections on purpose: cut, stalled or half closed, and whole again.

Knows bytes only. Using it against its own state (restoring what is whole, cutting what is cut) is
a mistake in the test and raises :class:`ProxyMisuse`.

What is unrealistic in it: both ends see a fault at the same instant, and at once; a cut is a reset
from a machine that answers, where a dead network would be silent (stall both ways for that); a new
connection during a cut is accepted and then reset, not refused; bytes are never lost, doubled,
reordered or delayed one by one; while stalled, the proxy's own kernel still acknowledges what is
sent, so that a sender sees progress until the buffers on its way are full.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from enum import Enum

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ProxyMisuse(RuntimeError):
    """The test asked for a fault that makes no sense now."""


class Side(Enum):
    """The two ends between which the proxy sits."""

    CLIENT = "client"
    SERVER = "server"


BOTH = frozenset(Side)


class _End(asyncio.Protocol):
    """One of the two sockets of a connection through the proxy."""

    def __init__(self, proxy: TcpProxy, side: Side) -> None:
        self._proxy = proxy
        self.side = side
        self.peer: _End | None = None
        self.transport: asyncio.Transport | None = None
        self.finished_writing = False
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.side is Side.CLIENT:
            transport.pause_reading()
            self._proxy.on_client(self)
        elif self.peer is not None:
            self.peer.follow()

    def data_received(self, data: bytes) -> None:
        if self.peer is not None:
            self.peer.write(data)

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.finished_writing:
            self.transport.write(data)

    def eof_received(self) -> bool:
        if self.peer is not None:
            self.peer.finish_writing()
        return True  # the other direction goes on

    def finish_writing(self) -> None:
        """Send the end of the stream; what still comes for this end is dropped."""
        if self.finished_writing or self.transport is None:
            return
        self.finished_writing = True
        self.transport.write_eof()
        if self.peer is not None and self.peer.finished_writing:
            self.transport.close()

    def pause_writing(self) -> None:
        self._full = True
        self.follow()

    def resume_writing(self) -> None:
        self._full = False
        self.follow()

    def follow(self) -> None:
        """Read from the other end only as fast as this one takes it, and not at all while stalled."""
        peer = self.peer
        if peer is None or peer.transport is None or peer.transport.is_closing():
            return
        if self._full or self._proxy.is_stalled(toward=self.side):
            peer.transport.pause_reading()
        else:
            peer.transport.resume_reading()

    def reset(self) -> None:
        """End with a TCP reset."""
        if self.transport is None:
            return
        # Not by transport.abort() alone, which says goodbye politely when nothing waits.
        sock = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._proxy.on_lost(self)
        if self.peer is not None and self.peer.transport is not None:
            if exc is None:
                self.peer.transport.close()
            else:
                self.peer.reset()


class TcpProxy:
    """Connections to ``address`` are carried to ``upstream``. :func:`tcp_proxy` starts and ends one."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._ends: set[_End] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._stalled: frozenset[Side] = frozenset()
        self._is_cut = False
        self._server: asyncio.Server | None = None
        self.accepted_count = 0

    @property
    def address(self) -> tuple[str, int]:
        """Where to connect to."""
        host, port = self._running().sockets[0].getsockname()[:2]
        return host, port

    @property
    def connection_count(self) -> int:
        """Connections through it that are open at both ends."""
        return sum(end.side is Side.SERVER for end in self._ends)

    async def start(self) -> None:
        """Listen on a free port."""
        if self._server is not None:
            raise ProxyMisuse("the proxy runs already")
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _End(self, Side.CLIENT), "127.0.0.1", 0)

    async def stop(self) -> None:
        """End everything."""
        server, self._server = self._running(), None
        server.close()
        self._reset_all()
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        await server.wait_closed()

    def cut(self) -> None:
        """Reset every connection, and every new one until :meth:`restore`."""
        self._running()
        if self._is_cut:
            raise ProxyMisuse("it is cut already")
        self._is_cut = True
        self._stalled = frozenset()
        self._reset_all()

    def stall(self, toward: frozenset[Side] = BOTH) -> None:
        """Carry nothing more toward these ends, on old connections and new ones; all stay open."""
        self._running()
        if self._is_cut:
            raise ProxyMisuse("nothing can stall while it is cut")
        if not toward or toward <= self._stalled:
            raise ProxyMisuse("that is stalled already, or nothing at all")
        self._stalled |= toward
        self._follow_all()

    def half_close(self, toward: Side) -> None:
        """Send the end of the stream toward one end of every connection, and carry only the other way."""
        self._running()
        ends = [end for end in self._ends if end.side is toward and not end.finished_writing]
        if not ends:
            raise ProxyMisuse("there is no connection that could be half closed")
        for end in ends:
            end.finish_writing()

    def restore(self) -> None:
        """Carry everything again; what was held back by a stall arrives now. A half close stays."""
        self._running()
        if not self._is_cut and not self._stalled:
            raise ProxyMisuse("there is nothing to restore")
        self._is_cut = False
        self._stalled = frozenset()
        self._follow_all()

    def is_stalled(self, toward: Side) -> bool:
        """Whether nothing is carried toward this end."""
        return toward in self._stalled

    def on_client(self, client: _End) -> None:
        """Somebody connected."""
        self.accepted_count += 1
        self._ends.add(client)
        if self._is_cut or self._server is None:
            client.reset()
            return
        task = asyncio.create_task(self._connect(client))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def on_lost(self, end: _End) -> None:
        """One end is gone."""
        self._ends.discard(end)

    async def _connect(self, client: _End) -> None:
        loop = asyncio.get_running_loop()
        server = _End(self, Side.SERVER)
        client.peer, server.peer = server, client
        try:
            await loop.create_connection(lambda: server, *self._upstream)
        except OSError:
            client.reset()
            return
        if client.transport is None:
            server.reset()
            return
        self._ends.add(server)
        server.follow()

    def _reset_all(self) -> None:
        for end in list(self._ends):
            end.reset()

    def _follow_all(self) -> None:
        for end in self._ends:
            end.follow()

    def _running(self) -> asyncio.Server:
        if self._server is None:
            raise ProxyMisuse("the proxy does not run")
        return self._server


@contextlib.asynccontextmanager
async def tcp_proxy(upstream: tuple[str, int]) -> AsyncIterator[TcpProxy]:
    """A proxy in front of ``upstream`` for the length of the block."""
    proxy = TcpProxy(upstream)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
