"""Phones that come and go all the time, and everything that can happen at once, by a seed that is told."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from redis.exceptions import RedisError

from tests.support.js_client import JsDriver
from tests.system.redis.world import SingleWorld, single_world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory, js: JsDriver) -> AsyncIterator[SingleWorld]:
    """One world for all tests here."""
    async with single_world(tmp_path_factory.mktemp("chaos"), js) as started:
        yield started


class Faults:
    """What can happen to hubs and to the link to Redis; each puts right what it broke."""

    def __init__(self, world: SingleWorld, chance: random.Random) -> None:
        self._world = world
        self._chance = chance
        self.log: list[str] = []

    async def link(self, ends_at_s: float) -> None:
        """The link to Redis, and Redis' patience with its clients."""
        link = self._world.link

        async def cut() -> None:
            link.cut()
            await self._pause(0.1, 2)
            link.restore()

        async def stall() -> None:
            link.stall()
            await self._pause(0.1, 3)
            link.restore()

        async def kill_clients() -> None:
            # It may be away itself just now.
            with contextlib.suppress(RedisError, OSError):
                await self._world.redis.kill_clients(self._chance.choice(["pubsub", "normal"]))

        await self._go_on(ends_at_s, [cut, stall, kill_clients])

    async def hub(self, index: int, ends_at_s: float) -> None:
        """One hub: killed and replaced, or frozen."""
        hub = self._world.hubs[index]

        async def replace() -> None:
            await hub.kill()
            await self._pause(0, 1)
            # A hub does not start on a Redis that is away; its supervisor tries again.
            while True:
                with contextlib.suppress(AssertionError):
                    await hub.start()
                    return

        async def freeze() -> None:
            hub.freeze()
            await self._pause(0.5, 4)
            hub.thaw()

        await self._go_on(ends_at_s, [replace, freeze])

    async def redis(self, ends_at_s: float) -> None:
        """Redis itself crashes and comes back with its data."""

        async def restart() -> None:
            await self._world.redis.restart(crash=True)

        await self._go_on(ends_at_s, [restart])

    async def _go_on(self, ends_at_s: float, faults: list[Callable[[], Awaitable[None]]]) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < ends_at_s:
            await self._pause(0.2, 3)
            fault = self._chance.choice(faults)
            self.log.append(f"{fault.__qualname__.split('.')[1]}.{fault.__name__}")
            await fault()

    async def _pause(self, least_s: float, most_s: float) -> None:
        await asyncio.sleep(self._chance.uniform(least_s, most_s))


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("redis_restarts", [False, True])
async def test_everything_at_once(world: SingleWorld, seed: int, redis_restarts: bool) -> None:
    """Whatever happens: nothing twice, nothing out of order, nothing lost without a word."""
    chance = random.Random(seed)
    faults = Faults(world, chance)
    ends_at_s = asyncio.get_running_loop().time() + 30
    async with world.swarm() as swarm:
        async with swarm.churning(chance, 0.05), asyncio.TaskGroup() as tasks:
            tasks.create_task(faults.link(ends_at_s))
            for index in range(2):
                tasks.create_task(faults.hub(index, ends_at_s))
            if redis_restarts:
                tasks.create_task(faults.redis(ends_at_s))
        await swarm.heal()
    assert redis_restarts or swarm.gap_count == 0, faults.log
