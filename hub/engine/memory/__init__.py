"""The embedded engine: one process, nothing to install, nothing that survives a restart."""

from __future__ import annotations

import time
from collections.abc import Callable

from hub.engine import Engine
from hub.engine.memory.broker import MemoryBroker
from hub.engine.memory.control import MemoryControl, MemoryHealth, MemoryLifecycle
from hub.engine.memory.presence import MemoryPresence


def memory_engine(
    clock_s: Callable[[], float] = time.monotonic, wall_s: Callable[[], float] = time.time
) -> Engine:
    """A new, empty world of its own."""
    return Engine(
        name="memory",
        lifecycle=MemoryLifecycle(),
        broker=MemoryBroker(clock_s, wall_s),
        presence=MemoryPresence(),
        control=MemoryControl(),
        health=MemoryHealth(),
    )


__all__ = ["memory_engine"]
