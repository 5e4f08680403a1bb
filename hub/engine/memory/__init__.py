"""The embedded engine: one process, nothing to install, nothing that survives a restart."""

from __future__ import annotations

import time
from collections.abc import Callable

from hub.delivery.options import DeliveryOptions
from hub.engine import Engine
from hub.engine.memory.broker import MemoryBroker
from hub.engine.memory.control import MemoryControl, MemoryHealth, MemoryLifecycle
from hub.engine.memory.devices import MemoryDevices
from hub.engine.memory.inboxes import Inboxes
from hub.engine.memory.jobs import MemoryJobs
from hub.engine.memory.lanes import MemoryLanes
from hub.engine.memory.ledger import MemoryLedger
from hub.engine.memory.presence import MemoryPresence
from hub.engine.memory.revocations import MemoryRevocations
from hub.engine.memory.wakes import Wakes


def memory_engine(
    clock_s: Callable[[], float] = time.monotonic,
    wall_s: Callable[[], float] = time.time,
    delivery: DeliveryOptions | None = None,
    max_revocations: int = 100_000,
) -> Engine:
    """A new, empty world of its own.

    ``clock_s`` decides when publications expire; ``wall_s``, unix time, when something is due.
    """

    def now_ms() -> int:
        return int(wall_s() * 1000)

    wakes = Wakes()
    jobs = MemoryJobs(wakes, now_ms)
    broker = MemoryBroker(clock_s, wall_s, jobs)
    inboxes = Inboxes(broker, wakes, delivery or DeliveryOptions(), now_ms)
    broker.on_sweep(jobs.sweep)
    return Engine(
        name="memory",
        lifecycle=MemoryLifecycle(),
        broker=broker,
        presence=MemoryPresence(),
        control=MemoryControl(),
        health=MemoryHealth(),
        ledger=MemoryLedger(inboxes, wakes),
        devices=MemoryDevices(inboxes),
        jobs=jobs,
        lanes=MemoryLanes(now_ms),
        revocations=MemoryRevocations(now_ms, max_revocations),
    )


__all__ = ["memory_engine"]
