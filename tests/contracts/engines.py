"""The engines that the cases run against. A new one is a factory in :data:`ENGINES`, and no new case."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeAlias

import pytest

from hub.engine import Engine
from hub.engine.memory import memory_engine
from hub.engine.redis import RedisOptions, redis_engine
from hub.model import NodeId
from tests.support.shared_redis import empty_redis

REDIS_AHEAD_S = 3600.0
"""How far the clock of a test goes before the server's, so that no key expires by the latter."""


@dataclass(frozen=True, slots=True)
class World:
    """A new, empty engine as one node has it. ``advance`` lets seconds pass for everything that expires."""

    engine: Engine
    advance: Callable[[float], Awaitable[None]]


Factory: TypeAlias = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[World]]


@contextlib.asynccontextmanager
async def memory_world() -> AsyncIterator[World]:
    """The embedded engine, by a clock that the test moves."""
    started_s, now_s = time.time(), 1000.0

    async def advance(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    engine = memory_engine(clock_s=lambda: now_s, wall_s=lambda: started_s + now_s)
    await engine.lifecycle.start()
    yield World(engine, advance)
    await engine.lifecycle.stop()


@contextlib.asynccontextmanager
async def redis_world(options: RedisOptions) -> AsyncIterator[World]:
    """The engine over a real Redis; its streams by a clock that the test moves, all else by the server's."""
    now_s = time.time() + REDIS_AHEAD_S

    async def advance(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    engine = redis_engine(options, NodeId("a"), namespaces={}, now_ms=lambda: int(now_s * 1000))
    await engine.lifecycle.start()
    try:
        yield World(engine, advance)
    finally:
        await engine.lifecycle.stop()


ENGINES: Mapping[str, Factory] = {
    "memory": lambda request: memory_world(),
    "redis": lambda request: redis_world(empty_redis("standalone", request)),
    "redis cluster": lambda request: redis_world(empty_redis("cluster", request)),
}
"""Each engine in turn."""

LEDGER_ENGINES = ("memory", "redis", "redis cluster")
"""Those of them that keep a ledger, devices, jobs and lanes."""
