"""Another server takes over: behind Sentinels, and in a Cluster, where only those it concerns may be told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import pytest
import pytest_asyncio

from hub.engine.redis.keys import Keys
from tests.support.js_client import JsDriver
from tests.support.redis_server import (
    RedisCluster,
    RedisSentinels,
    RedisServer,
    redis_cluster,
    redis_sentinels,
    until,
)
from tests.support.swarm import Size, Swarm
from tests.system.redis.world import World, world

pytestmark = pytest.mark.asyncio(loop_scope="module")

MANY_CHANNELS = Size(phones=100, js=12, python=6, channels=8, server_side=4)
"""So many that every primary of a Cluster has some, almost certainly."""


@dataclass(frozen=True, slots=True)
class SentinelWorld:
    """Hubs on a primary with a replica, watched by three Sentinels."""

    world: World
    sentinels: RedisSentinels


@dataclass(frozen=True, slots=True)
class ClusterWorld:
    """Hubs on three primaries with a replica each."""

    world: World
    cluster: RedisCluster

    async def slots_of(self, swarm: Swarm) -> dict[str, int]:
        """In which slot each channel of the swarm lives."""
        keys = Keys("hub:", 64)
        found: dict[str, int] = {}
        for channel in swarm.channels:
            key = f"{{{keys.tag_of(channel)}}}"
            found[channel] = int(await self.cluster.servers[-1].order("CLUSTER", "KEYSLOT", key))
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory, js: JsDriver) -> AsyncIterator[SentinelWorld]:
    """Made anew for this module."""
    folder = tmp_path_factory.mktemp("watched")
    async with (
        redis_sentinels(folder, replica_count=2) as sentinels,
        world(sentinels.url, folder, js) as hubs,
    ):
        yield SentinelWorld(hubs, sentinels)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sharded(tmp_path_factory: pytest.TempPathFactory, js: JsDriver) -> AsyncIterator[ClusterWorld]:
    """Made anew for this module."""
    folder = tmp_path_factory.mktemp("sharded")
    async with (
        redis_cluster(folder, replicas_per_primary=1) as cluster,
        world(cluster.url, folder, js) as hubs,
    ):
        yield ClusterWorld(hubs, cluster)


async def is_replica(server: RedisServer) -> bool:
    """Whether it follows another one."""
    return (await server.info("replication"))["role"] == "slave"


@pytest.mark.slow
async def test_a_replica_takes_over_by_order(watched: SentinelWorld) -> None:
    """From a primary that works, and goes on for the 8 s that the Sentinels leave it."""
    async with watched.world.swarm() as swarm:
        former = await watched.sentinels.primary()
        await watched.sentinels.fail_over()
        # Until then it takes writes, which are lost with its time as a primary.
        await until(partial(is_replica, former))
        await swarm.heal()
    assert 0 < swarm.gap_count <= swarm.subscription_count


async def test_a_replica_takes_over_from_a_dead_primary(watched: SentinelWorld) -> None:
    """What the dead one had not passed on is lost, and nobody is told otherwise."""
    async with watched.world.swarm() as swarm:
        former = await watched.sentinels.primary()
        await former.kill()
        await watched.sentinels.wait_for_primary_after(former)
        await swarm.heal()
        await former.start()
    assert 0 < swarm.gap_count <= swarm.subscription_count


async def test_a_slot_moves(sharded: ClusterWorld) -> None:
    """Its channels go on at another primary, and nobody notices, neither there nor elsewhere."""
    async with sharded.world.swarm(MANY_CHANNELS) as swarm:
        slot = next(iter((await sharded.slots_of(swarm)).values()))
        source = await sharded.cluster.primary_of(slot)
        target = await sharded.cluster.primary_of((slot + 8000) % 16384)
        assert target is not source
        await sharded.cluster.move_slot(slot, target)
        await swarm.publisher.advance(5)
        await sharded.cluster.move_slot(slot, source)
        await swarm.heal()
    assert swarm.gap_count == 0
    assert swarm.checker.lost_connections == 0


async def test_a_primary_of_the_cluster_fails(sharded: ClusterWorld) -> None:
    """Its channels are told once at most, those of the other primaries never."""
    async with sharded.world.swarm(MANY_CHANNELS) as swarm:
        slots = await sharded.slots_of(swarm)
        owners = {channel: await sharded.cluster.primary_of(slot) for channel, slot in slots.items()}
        victim = next(iter(owners.values()))
        await sharded.cluster.fail_over(victim)
        await swarm.heal()
        concerned = {channel for channel, owner in owners.items() if owner is victim}
        await victim.start()
    assert set(swarm.checker.gaps) <= concerned
    assert 0 < swarm.gap_count
