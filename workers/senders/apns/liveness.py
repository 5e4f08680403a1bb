"""Whether the peer of one connection is still there, and whether anybody still needs the connection.

Knows three moments (something was heard, something was sent, an answer is overdue) and no frames: how to ping
and what to do about silence come as functions.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_SHORTEST_LOOK_S: Final = 0.01
_TCP_PROBE_AFTER_S: Final = 60
_TCP_GIVE_UP_MS: Final = 15_000


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one connection waits for what; seconds.

    Nothing heard for ``ping_after_s``: a ping, which must be answered within ``ping_timeout_s``. Nothing sent
    for ``idle_close_s``: nobody needs it.
    """

    ping_after_s: float
    ping_timeout_s: float
    idle_close_s: float


class Liveness:
    """Watches one connection from :meth:`start` to :meth:`stop`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timing: Timing,
        *,
        ping: Callable[[], None],
        on_dead: Callable[[], None],
        on_idle: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._timing = timing
        self._ping = ping
        self._on_dead = on_dead
        self._on_idle = on_idle
        self._heard_at_s = self._used_at_s = loop.time()
        self._look: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.doubted = False
        """Whether an answer is overdue and the peer has not shown since that it lives."""

    def start(self) -> None:
        """Begin to watch."""
        now = self._loop.time()
        timing = self._timing
        if now - self._used_at_s >= timing.idle_close_s:
            self._on_idle()
            return
        silent_s = now - self._heard_at_s
        if silent_s >= timing.ping_after_s:
            self._ask()
            silent_s = 0.0
        left_s = min(timing.ping_after_s - silent_s, timing.idle_close_s - (now - self._used_at_s))
        self._look = self._loop.call_later(max(left_s, _SHORTEST_LOOK_S), self.start)

    def stop(self) -> None:
        """The connection is lost."""
        for timer in (self._look, self._deadline):
            if timer is not None:
                timer.cancel()

    def heard(self) -> None:
        """The peer said something."""
        self._heard_at_s = self._loop.time()

    def used(self) -> float:
        """A request was begun; the moment, by the loop's clock."""
        self._used_at_s = self._loop.time()
        return self._used_at_s

    def doubt(self, since_s: float) -> None:
        """A request of that moment got no answer in time: unless anything came since, ask."""
        if not self.doubted and self._heard_at_s <= since_s:
            self.doubted = True
            self._ask()

    def answered(self) -> None:
        """The ping was answered."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.doubted = False

    def _ask(self) -> None:
        if self._deadline is None:
            self._ping()
            self._deadline = self._loop.call_later(self._timing.ping_timeout_s, self._on_dead)


def keep_alive(sock: socket.socket | None) -> None:
    """Let the kernel notice a peer that went without a word, and keep a NAT's memory of us."""
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", _TCP_PROBE_AFTER_S), ("TCP_USER_TIMEOUT", _TCP_GIVE_UP_MS)):
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
