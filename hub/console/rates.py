"""The few numbers that the page draws, out of all that is measured.

Counters go out as they stand: whoever draws takes the difference of two looks, and a number that fell
means another process. Knows no metrics library: it is given samples by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hub.errors import EngineUnavailable

Sample = tuple[str, Mapping[str, str], float]
"""A metric's full name, its labels, its value."""

RateSource = Callable[[], Iterable[Sample]]
"""Everything that is measured on this port, up to date."""

_GAUGES: Mapping[str, str] = {
    "hub_connections": "connections",
    "hub_users": "users",
    "hub_channels": "channels",
    "hub_outbox_bytes": "outbox_bytes",
    "hub_outboxes_blocked": "slow_clients",
    "hub_loop_lag_seconds": "loop_lag_s",
    "hub_engine_probe_age_seconds": "engine_age_s",
    "hub_engine_up": "engine_up",
    "hub_resident_memory_bytes": "memory_bytes",
    "hub_draining": "draining",
}
_COUNTERS: Mapping[str, str] = {
    "hub_publications_received_total": "publications",
    "hub_deliveries_total": "deliveries",
    "hub_cpu_seconds_total": "cpu_s",
}
_PUSHES = "hub_push_attempts_total"


class Debts(Protocol):
    """What devices are owed, as far as it is asked about here."""

    async def waiting_count(self, lane: str) -> int:
        """Devices of a lane that are owed something, due now or later."""
        ...

    async def oldest_due_ms(self, lane: str) -> int | None:
        """Since when the oldest due device waits."""
        ...


@dataclass(frozen=True, slots=True)
class Rates:
    """Where the numbers come from. ``lanes`` are those whose debts are asked for, ``pushes_here`` whether
    attempts are counted in this process or in workers of their own."""

    source: RateSource | None
    debts: Debts
    lanes: tuple[str, ...]
    pushes_here: bool
    now_ms: Callable[[], int]

    async def read(self) -> dict[str, Any]:
        """A moment, ready for JSON. What cannot be known is left out."""
        told: dict[str, Any] = {"at": self.now_ms(), "measured": self.source is not None}
        if self.source is not None:
            told |= _picked(self.source())
            if not self.pushes_here:
                del told["pushes"]
        if self.lanes:
            told |= await self._debts()
        return told

    async def _debts(self) -> dict[str, Any]:
        waiting, oldest_age_s = 0, 0.0
        try:
            for lane in self.lanes:
                waiting += await self.debts.waiting_count(lane)
                due_ms = await self.debts.oldest_due_ms(lane)
                if due_ms is not None:
                    oldest_age_s = max(oldest_age_s, (self.now_ms() - due_ms) / 1000)
        except EngineUnavailable:
            # The page shows that the engine is away; a gap in this line says the same.
            return {}
        return {"debts": waiting, "oldest_due_s": oldest_age_s}


def _picked(samples: Iterable[Sample]) -> dict[str, Any]:
    gauges = dict.fromkeys(_GAUGES.values(), 0.0)
    counters = dict.fromkeys(_COUNTERS.values(), 0.0)
    pushes: dict[str, float] = {}
    for name, labels, value in samples:
        if name in _GAUGES:
            gauges[_GAUGES[name]] += value
        elif name in _COUNTERS:
            counters[_COUNTERS[name]] += value
        elif name == _PUSHES:
            outcome = labels.get("outcome", "")
            pushes[outcome] = pushes.get(outcome, 0.0) + value
    return {**gauges, "counters": counters, "pushes": pushes}
