"""How long a connection may live: until it says who it is, while it answers pings, until its token ends.

Decides when, never what happens then beyond naming the code. Knows no command and no channel.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from hub.connection.wheel import Timer
from hub.errors import CONNECTION_EXPIRED, NO_PONG, STALE, WRITE_ERROR
from hub.session import State

if TYPE_CHECKING:
    from hub.connection.connection import Connection


class Lifetime:
    """The deadlines of one connection, on the shared wheel. Sets none once it was stopped."""

    __slots__ = (
        "_connection",
        "_expiry_timer",
        "_phase_timer",
        "_unsent_bytes",
        "_write_timer",
        "expire_at_s",
    )

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self.expire_at_s: int | None = None
        """Unix time by which the connection should have been refreshed; None for never."""
        self._expiry_timer: Timer | None = None
        self._write_timer: Timer | None = None
        self._unsent_bytes = 0
        # One timer for the phase the connection is in: waiting for connect, then ping and pong.
        services = connection.services
        self._phase_timer: Timer | None = services.wheel.after(
            services.options.connect_timeout_s, self._on_stale
        )

    def opened(self) -> None:
        """The client is in: ping it from now on."""
        if self._connection is None:
            return
        interval_s = self._connection.services.options.ping_interval_s
        # Spread, so that ten thousand who came at once are not all pinged at once.
        first_s = interval_s * random.uniform(0.5, 1.0)
        self._next_phase(first_s, self._on_ping_due)

    def turned_away(self) -> None:
        """The connect was answered with an error: the client should leave, or is made to."""
        if self._connection is not None:
            self._next_phase(self._connection.services.options.refused_linger_s, self._on_stale)

    def expire_at(self, expire_at_s: int | None) -> None:
        """Set when the connection must have been refreshed, in unix seconds; None for never."""
        self.expire_at_s = expire_at_s
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
            self._expiry_timer = None
        if self._connection is None:
            return
        remaining_s = self._connection.remaining_s(expire_at_s)
        if remaining_s is not None:
            services = self._connection.services
            late_s = remaining_s + services.options.connection_expire_grace_s
            self._expiry_timer = services.wheel.after(late_s, self._on_expired)

    def on_writable(self, writable: bool) -> None:
        """The socket is full, or has room again: it may not take nothing at all for too long."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        if not writable and self._connection is not None:
            self._wait_for_writing(self._connection)

    def _wait_for_writing(self, connection: Connection) -> None:
        services = connection.services
        self._unsent_bytes = connection.unsent_bytes
        self._write_timer = services.wheel.after(services.options.write_timeout_s, self._on_write_due)

    def stop(self) -> None:
        """The connection is over."""
        # They hold each other otherwise, and a connection that is gone would wait for the collector.
        self._connection = None
        for timer in (self._phase_timer, self._expiry_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._phase_timer = self._expiry_timer = self._write_timer = None

    def _next_phase(self, delay_s: float, callback: Callable[[], None]) -> None:
        if self._connection is None:
            return
        if self._phase_timer is not None:
            self._phase_timer.cancel()
        self._phase_timer = self._connection.services.wheel.after(delay_s, callback)

    def _on_stale(self) -> None:
        connection = self._connection
        if connection is not None:
            if connection.session.state is State.NEW:
                connection.services.metrics.limit_reached("connect_timeout")
            connection.disconnect(STALE)

    def _on_write_due(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if connection.unsent_bytes < self._unsent_bytes:
            # A slow network, and a client that does read.
            self._wait_for_writing(connection)
            return
        connection.services.metrics.limit_reached("write_timeout")
        connection.disconnect(WRITE_ERROR)

    def _on_expired(self) -> None:
        if self._connection is not None:
            self._connection.disconnect(CONNECTION_EXPIRED)

    def _on_ping_due(self) -> None:
        connection = self._connection
        if connection is None:
            return
        # One may be outstanding that asked for proof of receipt: its pong is a sign of life as well.
        connection.session.answered = False
        connection.ping()
        self._next_phase(connection.services.options.pong_timeout_s, self._on_pong_due)

    def _on_pong_due(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if not connection.session.answered:
            connection.disconnect(NO_PONG)
            return
        options = connection.services.options
        rest_s = max(0.0, options.ping_interval_s - options.pong_timeout_s)
        self._next_phase(rest_s, self._on_ping_due)
