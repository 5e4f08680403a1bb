"""The engines that the cases run against. A new one is a factory in :data:`ENGINES`, and no new case."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeAlias

from hub.engine import Engine
from hub.engine.memory import memory_engine


@dataclass(frozen=True, slots=True)
class World:
    """A new, empty engine as one node has it. ``advance`` lets seconds pass for everything that expires."""

    engine: Engine
    advance: Callable[[float], Awaitable[None]]


Factory: TypeAlias = Callable[[], AbstractAsyncContextManager[World]]


@contextlib.asynccontextmanager
async def memory_world() -> AsyncIterator[World]:
    """The embedded engine, by a clock that the test moves."""
    now_s = 1000.0

    async def advance(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    yield World(memory_engine(clock_s=lambda: now_s, wall_s=time.time), advance)


ENGINES: Mapping[str, Factory] = {"memory": memory_world}
