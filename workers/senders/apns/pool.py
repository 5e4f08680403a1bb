"""The connections of one lane: the pool of ``aioapns`` with another way to wait, to connect and to give up.

The library's own pool asks every 10 ms whether a slot is free, holds a lock for over a minute while one peer
does not answer, and comes back at once to a peer that just closed. Here waiting callers are woken in order,
one task connects within a deadline, and after a failure nobody connects for a while. Knows no pushes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from aioapns.client import APNs
from aioapns.common import NotificationRequest, NotificationResult
from aioapns.connection import APNsBaseConnectionPool
from aioapns.exceptions import ConnectionClosed

from workers.senders.apns.connection import ApnsConnection
from workers.senders.apns.liveness import Timing
from workers.senders.apns.options import ApnsOptions

logger = logging.getLogger(__name__)

_FIRST_BACKOFF_S: Final = 0.5
_MAX_BACKOFF_S: Final = 30.0
_SETTLING_S: Final = 1.0
"""How long a connection that has not answered yet is waited for before another one is opened beside it: the
provider may allow one stream only until it has seen a valid token."""
_GOODBYE_S: Final = 1.0
_MAX_CONNECTS: Final = 20
_CONNECTS_WINDOW_S: Final = 60.0
"""A provider that ends every connection soon is not to be stormed: Apple takes that for an attack."""


class CannotConnect(Exception):
    """No connection, so nothing was sent; ``retry_after_s`` is when the next try to connect may be made."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class ApnsPool(APNsBaseConnectionPool):
    """Up to ``max_connections`` connections to one gateway. To be made inside a running loop."""

    connections: list[ApnsConnection]  # type: ignore[assignment]  # the library's list names the base class
    protocol_class: type[ApnsConnection]

    def __init__(
        self, options: ApnsOptions, context: ssl.SSLContext, wall_s: Callable[[], float], rng: random.Random
    ) -> None:
        super().__init__(topic=options.bundle_id, max_connections=options.max_connections)
        self.ssl_context = context
        self.protocol_class = ApnsConnection
        self._options = options
        self._wall_s = wall_s
        self._rng = rng
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._leaving: set[ApnsConnection] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._failures = 0
        self._connects: deque[float] = deque(maxlen=_MAX_CONNECTS)
        self._not_before_s = 0.0
        self._last_failure = ""
        self._stopped = False

    async def send_notification(self, request: NotificationRequest) -> NotificationResult:
        """Send by the first connection with room, once.

        Raises:
            CannotConnect: there is no connection, and none is to be had now.
            NotProcessed, OutcomeUnknown: as the connection's own.
        """
        # Nothing may come between finding room and taking it: both happen in one step of the loop.
        connection = await self.acquire()
        return await connection.send_notification(request)

    async def acquire(self) -> ApnsConnection:
        """A connection with room for one request, as soon as there is one.

        Raises:
            CannotConnect: there is no connection, and none is to be had now.
        """
        before = False
        while True:
            for connection in self.connections:
                if not connection.is_busy:
                    return connection
            self._connect_if_wise()
            await self._wait(first=before)
            before = True

    async def create_connection(self) -> ApnsConnection:
        """A connection that may be used: TLS is up and the peer has said its SETTINGS.

        Raises:
            OSError: the peer cannot be reached or is not who it should be.
            TimeoutError: it did not get that far in time.
            ConnectionClosed: it closed before.
        """
        options = self._options
        authority = options.gateway if options.port == 443 else f"{options.gateway}:{options.port}"
        factory = partial(
            self.protocol_class,
            self.apns_topic or "",
            self.loop,
            self.discard_connection,
            None,
            authority=authority,
            timing=Timing(options.ping_after_s, options.ping_timeout_s, options.idle_close_s),
            max_streams=options.max_streams,
            on_room=self._on_room,
            wall_s=self._wall_s,
        )
        async with asyncio.timeout(options.connect_timeout_s):
            return await self._create_connection(factory)

    async def _create_connection(self, apns_protocol_factory: Callable[[], Any]) -> ApnsConnection:
        # The name is looked up anew for each connection: the provider spreads load by it.
        _, protocol = await self.loop.create_connection(
            apns_protocol_factory,
            self._options.gateway,
            self._options.port,
            ssl=self.ssl_context,
            ssl_handshake_timeout=self._options.connect_timeout_s,
            ssl_shutdown_timeout=_GOODBYE_S,
        )
        connection: ApnsConnection = protocol
        try:
            await connection.ready
        except BaseException:
            connection.abort()
            raise
        return connection

    def discard_connection(self, connection: Any) -> None:
        """It takes no more requests, whether it is lost or finishes what it has."""
        if not connection.closed.done():
            self._leaving.add(connection)
            connection.closed.add_done_callback(lambda _: self._leaving.discard(connection))
        if connection not in self.connections:
            return
        self.connections.remove(connection)
        if not connection.answered_once:
            self._back_off("connection closed before it answered")
        self._wake(1 if self.connections else len(self._waiting))

    async def stop(self) -> None:
        """Close everything at once."""
        self._stopped = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        self._wake(len(self._waiting))
        for connection in [*self.connections, *self._leaving]:
            connection.close()
        closing = {connection.closed for connection in self._leaving}
        if closing:
            await asyncio.wait(closing, timeout=_GOODBYE_S)
        for connection in list(self._leaving):
            connection.abort()
        closing = {connection.closed for connection in self._leaving}
        if closing:
            await asyncio.wait(closing)

    # -- waiting for room --

    async def _wait(self, *, first: bool) -> None:
        waiter: asyncio.Future[None] = self.loop.create_future()
        (self._waiting.appendleft if first else self._waiting.append)(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                # Woken and gone at the same time: the room is for the next one.
                self._wake(1)
            else:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(waiter)
            raise

    def _wake(self, count: int) -> None:
        while count > 0 and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1

    def _on_room(self, connection: ApnsConnection) -> None:
        if connection.answered_once:
            self._failures = 0
        if self._waiting:
            self._wake(connection.room)

    # -- connecting --

    def _connect_if_wise(self) -> None:
        if self._stopped:
            raise CannotConnect("stopped")
        if self._connecting is not None or len(self.connections) >= self.max_connections:
            return
        now = self.loop.time()
        if len(self._connects) == _MAX_CONNECTS and now < self._connects[0] + _CONNECTS_WINDOW_S:
            self._not_before_s = max(self._not_before_s, self._connects[0] + _CONNECTS_WINDOW_S)
            self._last_failure = "too many connections in a minute"
        if now < self._not_before_s:
            if not self.connections:
                raise CannotConnect(self._last_failure, self._not_before_s - now)
            return
        for connection in self.connections:
            if not connection.answered_once and now - connection.made_at_s < _SETTLING_S:
                return
        self._connects.append(now)
        self._connecting = asyncio.create_task(self._connect(), name="apns-connect")

    async def _connect(self) -> None:
        try:
            connection = await self.create_connection()
        except (OSError, ConnectionClosed) as error:
            self._back_off(_why(error))
            logger.warning(
                "cannot connect to APNs at %s for %s: %s",
                self._options.gateway,
                self._options.label,
                self._last_failure,
            )
            if not self.connections:
                self._connecting = None
                self._wake(len(self._waiting))
        else:
            self.connections.append(connection)
            self._wake(connection.room)
            self.loop.call_later(_SETTLING_S, self._on_settled)
        finally:
            self._connecting = None

    def _on_settled(self) -> None:
        """Whoever still waits may think about another connection."""
        self._wake(1)

    def _back_off(self, reason: str) -> None:
        longest_s = min(_MAX_BACKOFF_S, _FIRST_BACKOFF_S * 2 ** min(self._failures, 16))
        self._failures += 1
        self._last_failure = reason
        self._not_before_s = self.loop.time() + longest_s * self._rng.uniform(0.5, 1.0)


class ApnsClient(APNs):
    """The client of ``aioapns`` over our pool."""

    pool: ApnsPool

    def __init__(self, pool: ApnsPool) -> None:
        # The library's own constructor does nothing but choose one of its two pools.
        self.pool = pool
        self.err_func = _say_nothing


async def _say_nothing(request: NotificationRequest, result: NotificationResult) -> None:
    """The outcome says it all; the library would log each refusal as an error."""


def _why(error: BaseException) -> str:
    """A reason that names no address and no certificate."""
    if isinstance(error, TimeoutError):
        return "connect timeout"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "server certificate not trusted"
    if isinstance(error, ssl.SSLError):
        return "tls handshake failed"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return "no connection"
