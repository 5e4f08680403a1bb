"""Three hubs on one Redis, one thing after the other broken, and a swarm that must hardly notice.

A fault that Redis survives costs nobody anything: no publication, and no ``recovered: false`` either.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.js_client import JsDriver
from tests.support.swarm import Size
from tests.support.tcp_proxy import Side
from tests.support.waiting import eventually_true
from tests.system.redis.world import SingleWorld, single_world

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORTER_THAN_REAL_S = 3.0
"""Longer than every timeout of the hubs here, as 30 s are longer than those of real life."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory, js: JsDriver) -> AsyncIterator[SingleWorld]:
    """One world for all tests here; each begins with all hubs ready and ends with a swarm that is whole."""
    async with single_world(tmp_path_factory.mktemp("single"), js) as started:
        yield started


async def test_phones_come_and_go(world: SingleWorld) -> None:
    """Each resumes where it left, at whichever hub it comes to, in the midst of publications."""
    async with world.swarm() as swarm:
        async with swarm.churning(random.Random(1), 0.01):
            await swarm.publisher.advance(20)
        await swarm.heal()
    assert swarm.gap_count == 0
    assert swarm.checker.lost_connections > 100


async def test_a_hub_is_killed(world: SingleWorld) -> None:
    """Its clients go on at the others, and at the one that takes its place."""
    async with world.swarm() as swarm:
        await world.hubs[0].kill()
        await swarm.publisher.advance(5)
        await world.hubs[0].start()
        await world.hubs[1].kill()
        await world.hubs[1].start()
        await swarm.heal()
    assert swarm.gap_count == 0


async def test_hubs_are_replaced_one_by_one(world: SingleWorld) -> None:
    """A deployment under load: each sends its clients to the others before it ends."""
    async with world.swarm() as swarm:
        for hub in world.hubs:
            await hub.stop()
            await hub.start()
            await hub.becomes_ready()
        await swarm.heal()
    assert swarm.gap_count == 0


async def freeze_a_hub(world: SingleWorld, for_s: float) -> None:
    """Nothing may be lost over it."""
    async with world.swarm() as swarm:
        world.hubs[0].freeze()
        await asyncio.sleep(for_s)
        world.hubs[0].thaw()
        await swarm.heal()
    assert swarm.gap_count == 0


async def test_a_hub_is_frozen(world: SingleWorld) -> None:
    """Past its lease: impatient clients leave it, the others and the hub itself go on when it thaws."""
    await freeze_a_hub(world, 5)


async def test_the_link_to_redis_is_cut(world: SingleWorld) -> None:
    """Nobody loses a connection; what could not be published meanwhile comes afterwards, once."""
    async with world.swarm() as swarm:
        world.link.cut()
        await asyncio.sleep(2)
        world.link.restore()
        await swarm.heal()
    assert swarm.gap_count == 0
    assert swarm.checker.lost_connections == 0


async def stall_the_link(world: SingleWorld, for_s: float) -> None:
    """Nobody may notice it."""
    async with world.swarm() as swarm:
        world.link.stall()
        await asyncio.sleep(for_s)
        world.link.restore()
        await swarm.heal()
    assert swarm.gap_count == 0
    assert swarm.checker.lost_connections == 0


async def test_the_link_to_redis_stalls(world: SingleWorld) -> None:
    """As a cut, but that every side believes for a while that the other is there."""
    await stall_the_link(world, SHORTER_THAN_REAL_S)


async def test_the_answers_of_redis_stall(world: SingleWorld) -> None:
    """Publications are taken and nobody is told: the repeat with the same key publishes nothing."""
    async with world.swarm() as swarm:
        world.link.stall(toward=frozenset({Side.CLIENT}))
        await asyncio.sleep(SHORTER_THAN_REAL_S)
        world.link.restore()
        await swarm.heal()
    assert swarm.publisher.repeated_count > 0
    assert swarm.gap_count == 0
    assert swarm.checker.lost_connections == 0


async def are_connected(world: SingleWorld, kind: str) -> bool:
    """Whether every hub has a connection of this kind."""
    clients = await world.redis.order("CLIENT", "LIST", "TYPE", kind)
    return sum("cmd=client" not in line for line in clients.splitlines()) >= len(world.hubs)


async def test_connections_are_killed_by_redis(world: SingleWorld) -> None:
    """Those that listen, again and again, then those that publish."""
    async with world.swarm() as swarm:
        for kind in ("pubsub", "pubsub", "pubsub", "normal", "normal"):
            await eventually_true(partial(are_connected, world, kind), 10)
            await world.redis.kill_clients(kind)
            await swarm.publisher.advance(2)
        await swarm.heal()
    assert swarm.gap_count == 0
    assert swarm.checker.lost_connections == 0


async def test_output_buffers_overflow(world: SingleWorld) -> None:
    """Redis ends every connection that a large publication is meant for, before it got it."""
    limit = (await world.redis.order("CONFIG", "GET", "client-output-buffer-limit"))[1]
    async with world.swarm(Size(phones=60)) as swarm:
        await world.redis.order("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1 1 1")
        swarm.publisher.padding = "x" * 20_000
        await swarm.publisher.advance(3)
        swarm.publisher.padding = ""
        await world.redis.order("CONFIG", "SET", "client-output-buffer-limit", limit)
        await swarm.heal()
    assert "overcoming of output buffer limits" in (world.redis.folder / "server.log").read_text()
    assert swarm.gap_count == 0
    assert swarm.checker.lost_connections == 0


async def test_redis_crashes_and_comes_back(world: SingleWorld) -> None:
    """With its data, but nobody can know that nothing is missing: everybody is told, once."""
    async with world.swarm() as swarm:
        await world.redis.restart(crash=True)
        await swarm.heal()
    assert swarm.gap_count == swarm.subscription_count


async def test_redis_comes_back_empty(world: SingleWorld) -> None:
    """Everybody is told, nobody takes a new stream for the old one."""
    async with world.swarm() as swarm:
        await world.redis.kill()
        shutil.rmtree(world.redis.folder / "appendonlydir")
        await world.redis.start()
        await swarm.heal()
    assert swarm.gap_count == swarm.subscription_count


async def test_redis_is_flushed(world: SingleWorld) -> None:
    """Scripts and streams are gone at once while everything is connected."""
    async with world.swarm() as swarm:
        await world.redis.order("FLUSHALL")
        await world.redis.order("SCRIPT", "FLUSH")
        await swarm.heal()
    assert swarm.gap_count == swarm.subscription_count


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_real_delays(tmp_path: Path, js: JsDriver) -> None:
    """With the settings of production: a link that is silent for 30 s, a hub that is frozen for 10 s."""
    async with single_world(tmp_path, js, settings={}) as world:
        await stall_the_link(world, 30)
        await freeze_a_hub(world, 10)
