"""One listening server: WebSocket and HTTP on the same port, started and stopped by its owner.

HTTP parsing, the ASGI cycle and TLS settings are uvicorn's; the sockets, the clock for the Date
header and the end are ours. Installs no signal handler and configures no logging.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import ssl
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from hub.connection.link import Acceptor
from hub.errors import SHUTDOWN
from hub.metrics import Metrics, NopMetrics
from hub.transport.front_door import front_door_class
from hub.transport.listening import open_listeners
from hub.transport.options import ServerOptions, TransportOptions
from hub.transport.state import TransportState

if TYPE_CHECKING:
    from uvicorn._types import ASGIApplication

_log = logging.getLogger(__name__)

_DATE_EVERY_S = 1.0
_CLOSES_PER_TURN = 500
"""Links closed before other work gets a turn; a hundred thousand at once would stop the loop."""


class HubServer:
    """Serves ``app`` over HTTP and, where an acceptor is given, WebSockets.

    Args:
        app: the ASGI application; its lifespan events are not sent, the owner starts and ends it.
        options: where to listen and how to take connections.
        acceptor: opens a connection for each WebSocket; None serves none.
        metrics: told about connections that never became anything.
    """

    def __init__(
        self,
        app: ASGIApp,
        options: ServerOptions,
        acceptor: Acceptor | None,
        metrics: Metrics | None = None,
    ) -> None:
        self._options = options
        self._server_state = ServerState()
        self._state = TransportState(options.transport, acceptor, metrics or NopMetrics(), self._server_state)
        self._app = app
        self._servers: list[asyncio.Server] = []
        self._date_timer: asyncio.TimerHandle | None = None
        self._ssl: ssl.SSLContext | None = None
        self.addresses: tuple[tuple[str, int], ...] = ()
        """Address and port of each listening socket; empty before the start."""

    @property
    def links(self) -> int:
        """How many WebSockets are open now."""
        return len(self._state.links)

    @property
    def pending(self) -> int:
        """How many connections are HTTP, or have not said yet what they are."""
        return len(self._server_state.connections)

    @property
    def accepted_count(self) -> int:
        """TCP connections accepted since the start."""
        return self._state.accepted_count

    def adopt(self, options: TransportOptions) -> None:
        """Take the connections that come from now on by these options; those that are here keep theirs.

        Raises:
            ValueError: for an allowed origin that is none; nothing changed then.
        """
        self._state.adopt(options)

    def certificate_read_again(self) -> Callable[[], None]:
        """Look at the certificate's files; the call has whoever connects from now on see what is in them.

        Raises:
            OSError: when a file cannot be read or used (``ssl.SSLError`` is one).
        """
        tls, used = self._options.tls, self._ssl
        if tls is None or used is None:
            return lambda: None
        # One that nobody uses: a half-changed one would end every handshake.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            tls.certfile, tls.keyfile, tls.password
        )
        return lambda: used.load_cert_chain(tls.certfile, tls.keyfile, tls.password)

    async def start(self) -> None:
        """Listen. Nothing stays open when it fails.

        Raises:
            OSError: when an address cannot be bound, or a TLS file cannot be read.
        """
        door = front_door_class(self._state)
        config = self._config(door)
        config.load()
        self._ssl = config.ssl
        loop = asyncio.get_running_loop()
        listeners = await open_listeners(
            self._options.host, self._options.port, reuse_port=self._options.reuse_port
        )
        transport = self._options.transport
        tls_timeouts: dict[str, Any] = (
            {}
            if config.ssl is None
            else {
                "ssl_handshake_timeout": transport.handshake_timeout_s,
                "ssl_shutdown_timeout": transport.close_timeout_s,
            }
        )
        self._refresh_date(config)
        create_door = functools.partial(
            door, config=config, server_state=self._server_state, app_state={}, _loop=loop
        )
        self.addresses = tuple(listener.getsockname()[:2] for listener in listeners)
        try:
            for listener in listeners:
                server = await loop.create_server(
                    create_door,
                    sock=listener,
                    ssl=config.ssl,
                    backlog=self._options.backlog_count,
                    **tls_timeouts,
                )
                self._servers.append(server)
        except BaseException:
            for listener in listeners:
                listener.close()
            await self.stop(0)
            raise
        _log.info("= listening on %s", ", ".join(f"{host} port {port}" for host, port in self.addresses))

    def stop_accepting(self) -> None:
        """Close the listening sockets; live connections stay. Idempotent."""
        for server in self._servers:
            server.close()

    async def stop(self, deadline_s: float) -> None:
        """End everything: no new connection, answers under way are finished, links closed with 3001.

        What is not gone after ``deadline_s`` seconds is cut. Idempotent. A drain that spreads
        the disconnects out belongs before it.
        """
        self.stop_accepting()
        self._state.stopping = True
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + deadline_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(ends_at):
                for connection in list(self._server_state.connections):
                    connection.shutdown()
                for count, link in enumerate(list(self._state.links), start=1):
                    link.close(SHUTDOWN.code, SHUTDOWN.reason)
                    if count % _CLOSES_PER_TURN == 0:
                        await asyncio.sleep(0)
                await self._state.wait_until_empty()
        self._abort(self._state.links)
        self._abort(self._server_state.connections)
        await self._state.wait_until_empty()
        await self._end_requests(ends_at - loop.time())
        for server in self._servers:
            await server.wait_closed()
        if self._date_timer is not None:
            self._date_timer.cancel()
            self._date_timer = None

    def _config(self, door: type[asyncio.Protocol]) -> uvicorn.Config:
        tls = self._options.tls
        return uvicorn.Config(
            cast("ASGIApplication", self._app),
            interface="asgi3",
            http=door,
            ws=door,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # Ours reads X-Forwarded-For, by the same list as the WebSocket path.
            proxy_headers=False,
            timeout_keep_alive=self._options.http_keep_alive_s,
            ssl_certfile=tls.certfile if tls else None,
            ssl_keyfile=tls.keyfile if tls else None,
            ssl_keyfile_password=tls.password if tls else None,
        )

    def _refresh_date(self, config: uvicorn.Config) -> None:
        date = formatdate(time.time(), usegmt=True).encode()
        self._server_state.default_headers = [(b"date", date), *config.encoded_headers]
        self._date_timer = asyncio.get_running_loop().call_later(_DATE_EVERY_S, self._refresh_date, config)

    def _abort(self, connections: Iterable[Any]) -> None:
        for connection in list(connections):
            connection.abort()

    async def _end_requests(self, remaining_s: float) -> None:
        """Let the application's tasks finish whose clients are gone, then cancel the rest."""
        tasks = set(self._server_state.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=max(0, remaining_s))
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
