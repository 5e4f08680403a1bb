"""What all connections of one server share: options, the acceptor, and who is here right now."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from uvicorn.server import ServerState

from hub.connection.link import Acceptor
from hub.metrics import Metrics
from hub.transport.admission import Admission
from hub.transport.options import TransportOptions
from hub.transport.origins import OriginPolicy

if TYPE_CHECKING:
    from hub.transport.http_connection import HttpConnection
    from hub.transport.websocket import WebSocketLink


class TransportState:
    """Shared by the connections of one server; used on the loop's thread only.

    ``acceptor`` None means that no WebSocket is served here. ``accepted_count`` counts TCP
    connections since the start. ``stopping`` is set once nobody is welcome any more.
    """

    __slots__ = (
        "_quiet",
        "_waiting",
        "accepted_count",
        "acceptor",
        "admission",
        "links",
        "metrics",
        "options",
        "origins",
        "server_state",
        "stopping",
    )

    def __init__(
        self,
        options: TransportOptions,
        acceptor: Acceptor | None,
        metrics: Metrics,
        server_state: ServerState,
    ) -> None:
        self.options = options
        self.acceptor = acceptor
        self.metrics = metrics
        self.admission = Admission(options.admission, metrics, time.monotonic)
        self.origins = OriginPolicy(options.allowed_origins)
        self.server_state = server_state
        self.links: set[WebSocketLink] = set()
        self.accepted_count = 0
        self.stopping = False
        self._quiet: asyncio.Event | None = None
        self._waiting: dict[HttpConnection, None] = {}

    def adopt(self, options: TransportOptions) -> None:
        """Take the connections that come from now on by these options; those that are here keep theirs.

        Raises:
            ValueError: for an allowed origin that is none; nothing changed then.
        """
        self.origins = OriginPolicy(options.allowed_origins)
        self.options = options
        self.admission.replace(options.admission)

    def waits(self, connection: HttpConnection) -> None:
        """It is the client's turn: to ask, to send the rest of a body, or to take an answer.

        Of those beyond the limit the one that waited longest is cut off. That is never somebody who
        is being served, and however many hold connections, the next one is let in.
        """
        self._waiting.setdefault(connection)
        most = self.options.max_http_connections
        while most and len(self._waiting) > most:
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            self.metrics.limit_reached("http_connections")
            longest.abort()

    def is_served(self, connection: HttpConnection) -> None:
        """It is our turn, or nobody's any more. Idempotent."""
        self._waiting.pop(connection, None)

    def departed(self) -> None:
        """To be called by every connection that is gone, after it has left the sets."""
        if self._quiet is not None and not self.links and not self.server_state.connections:
            self._quiet.set()

    async def wait_until_empty(self) -> None:
        """Return once no connection of any kind is left. Safe to cancel; one waiter at a time."""
        if self.links or self.server_state.connections:
            self._quiet = asyncio.Event()
            try:
                await self._quiet.wait()
            finally:
                self._quiet = None
