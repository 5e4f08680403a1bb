"""The orderly goodbye to clients: first load balancers notice, then connections leave in paced waves.

Clients that all lose their hub at once come back at once, to hubs that are there for others. Knows
connections by what may be asked of them, and neither sockets nor signals.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from hub.errors import SHUTDOWN, Disconnect
from hub.metrics import Metrics

log = logging.getLogger(__name__)

WAVES_SHARE = 0.8
"""Of the time there is, for the waves; the rest is for the last goodbyes, and for requests under way."""

_WAVE_EVERY_S = 0.1
_TOLD_EVERY_S = 1.0
_AT_ONCE = 500
"""Connections ended before other work gets a turn."""


class Leaving(Protocol):
    """A connection that is to go."""

    def disconnect(self, why: Disconnect) -> None:
        """End it. Returns at once; it is not in its collection any more then."""
        ...


class Connections(Protocol):
    """Those that are here now."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Leaving]: ...


@dataclass(frozen=True, slots=True)
class DrainOptions:
    """How much time the goodbye takes.

    ``connections_per_s`` are closed each second, all at once with 0; more where they would not
    be gone within ``deadline_s`` otherwise.
    """

    ready_wait_s: float = 0.0
    connections_per_s: int = 0
    deadline_s: float = 10.0


class Drain:
    """One drain of one hub, to be made when it begins."""

    def __init__(self, options: DrainOptions, connections: Connections, metrics: Metrics) -> None:
        self._options = options
        self._connections = connections
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._ends_at_s = self._loop.time() + options.deadline_s
        self._told_at_s = 0.0

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self._ends_at_s - self._loop.time())

    async def wait_for_balancers(self) -> None:
        """Serve on for as long as load balancers need to see that this hub is not ready any more."""
        wait_s = self._options.ready_wait_s
        if wait_s > 0:
            log.info("x not ready any more; waiting %g s for load balancers", wait_s)
            self._metrics.draining(len(self._connections))
            await asyncio.sleep(wait_s)
        # The deadline is for what comes now.
        self._ends_at_s = self._loop.time() + self._options.deadline_s

    async def send_everybody_away(self) -> None:
        """Close all connections with 3001, by the pace; those too that are opened meanwhile."""
        count = len(self._connections)
        per_s = self._pace(count)
        self._told_at_s = self._loop.time()
        log.info("x draining: %d connections%s", count, f", {per_s:g} per second" if per_s else "")
        self._metrics.draining(count)
        if per_s:
            await self._in_waves(per_s)
        else:
            await self._close(count)
            await self._close(len(self._connections))
        left = len(self._connections)
        self._metrics.draining(left)
        if left:
            log.warning("! %d connections did not leave in time", left)
        elif count:
            log.info("x drained")

    def _pace(self, count: int) -> float:
        wanted = self._options.connections_per_s
        needed = count / (self._options.deadline_s * WAVES_SHARE)
        if not wanted or needed <= wanted:
            return wanted
        log.warning(
            "! %d connections at %d per second would not be gone within %g s: closing %d per second. "
            "Raise shutdown.deadline_s, and the time that whatever stops this process gives it",
            count,
            wanted,
            self._options.deadline_s,
            needed,
        )
        return needed

    async def _in_waves(self, per_s: float) -> None:
        every_s = max(_WAVE_EVERY_S, 1 / per_s)
        earned = 0.0
        next_at_s = self._loop.time()
        while len(self._connections) and self.remaining_s > 0:
            earned += per_s * every_s
            wave, earned = int(earned), earned % 1
            await self._close(wave)
            # From now, not from when this wave was due: what was missed in a busy moment is not made up for.
            next_at_s = max(next_at_s, self._loop.time() - every_s / 2) + every_s
            if len(self._connections):
                await asyncio.sleep(next_at_s - self._loop.time())

    async def _close(self, count: int) -> None:
        while count > 0 and len(self._connections):
            for connection in list(islice(self._connections, min(count, _AT_ONCE))):
                connection.disconnect(SHUTDOWN)
            count -= _AT_ONCE
            if count > 0:
                await asyncio.sleep(0)
        self._tell()

    def _tell(self) -> None:
        left = len(self._connections)
        self._metrics.draining(left)
        now_s = self._loop.time()
        if left and now_s - self._told_at_s >= _TOLD_EVERY_S:
            self._told_at_s = now_s
            log.info("x draining: %d connections left", left)
