"""The door of a simulator: a port that serves, refuses, hangs up or swallows, always the same one.

Knows HTTP/2 and HTTP/1.1 by their protocols, and no provider.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any, cast

from hub.testing.simulators.http import Connection, Exchange
from hub.testing.simulators.http1 import Http1Connection
from hub.testing.simulators.http2 import Http2Connection, Http2Options

MAX_VIOLATIONS = 1000


class Door(Enum):
    """What becomes of who connects."""

    OPEN = "is served"
    REFUSING = "finds nobody listening"
    HANGING_UP = "is accepted, and cut off at once"
    BLACK_HOLE = "is accepted, and never hears a byte, not even of TLS"


class Listener:
    """One port of a simulator. ``opened`` counts connections that were served, handshake included.

    ``violations`` is what clients did against HTTP. ``ssl_context`` None serves plain HTTP/1.1.
    """

    def __init__(
        self,
        on_request: Callable[[Exchange], None],
        ssl_context: ssl.SSLContext | None,
        http2: Http2Options,
    ) -> None:
        self._on_request = on_request
        self._ssl_context = ssl_context
        self.http2 = http2
        self.host = ""
        self.port = 0
        self.opened = 0
        self.door = Door.REFUSING
        self.violations: deque[str] = deque(maxlen=MAX_VIOLATIONS)
        self.connections: set[Connection] = set()
        self._transports: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None
        self._empty = asyncio.Event()

    @property
    def address(self) -> str:
        """Host and port, as URLs have them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes any, and keeps it.

        Raises:
            OSError: the port is not to be had.
        """
        self.host, self.port = host, port
        await self.set_door(Door.OPEN)

    async def stop(self) -> None:
        """Cut every connection and leave the port."""
        await self.set_door(Door.REFUSING)
        self.cut()
        while self._transports:
            self._empty.clear()
            await self._empty.wait()

    async def set_door(self, door: Door) -> None:
        """Treat new connections like this from now on; those that stand are left alone."""
        if door is self.door:
            return
        if self._server is not None:
            self._server.close()
            self._server = None
        self.door = door
        if door is Door.REFUSING:
            return
        loop = asyncio.get_running_loop()
        context = self._ssl_context if door is Door.OPEN else None
        self._server = await loop.create_server(
            lambda: _Entrance(self), self.host, self.port, ssl=context, reuse_address=True, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Cut every connection that stands, without a word."""
        for transport in tuple(self._transports):
            transport.abort()

    def enter(self, transport: asyncio.Transport) -> None:
        """Somebody is connected."""
        self._transports.add(transport)
        if self.door is Door.HANGING_UP:
            transport.abort()
        if self.door is not Door.OPEN:
            return
        self.opened += 1
        tls: Any = transport.get_extra_info("ssl_object")
        connection: Http1Connection | Http2Connection
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            connection = Http2Connection(
                self.opened, self.http2, self._on_request, self.leave, self.violations
            )
        else:
            connection = Http1Connection(self.opened, self._on_request, self.leave, self.violations)
        self.connections.add(connection)
        transport.set_protocol(connection)
        connection.connection_made(transport)

    def leave(self, connection: Connection) -> None:
        """A connection that was served is over."""
        self.connections.discard(connection)
        self.forget(connection.transport)

    def forget(self, transport: asyncio.Transport | None) -> None:
        """A transport is over."""
        if transport is not None:
            self._transports.discard(transport)
        if not self._transports:
            self._empty.set()


class _Entrance(asyncio.Protocol):
    """Stands until the handshake has told which protocol it will be."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Of its shape, though not always of its class: loops have transports of their own.
        self._transport = cast(asyncio.Transport, transport)
        self._listener.enter(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.forget(self._transport)
