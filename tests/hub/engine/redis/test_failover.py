"""Commands and link over Sentinels and over a Cluster: failovers, slots that move, and what is told of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from hub.engine.redis.commands import Commands
from hub.engine.redis.link import Link
from hub.engine.redis.topology import slot_of
from hub.errors import EngineUnavailable
from tests.hub.engine.redis.links import (
    INCREMENT,
    RecordingListener,
    quick,
    running_commands,
    running_link,
    script,
)
from tests.support.redis_server import (
    RedisCluster,
    RedisSentinels,
    RedisServer,
    redis_cluster,
    redis_sentinels,
    until,
)
from tests.support.waiting import eventually

TAGS = ["p0", "p1", "p2", "p3"]


@pytest.fixture
async def sentinels(tmp_path: Path) -> AsyncIterator[RedisSentinels]:
    async with redis_sentinels(tmp_path) as running:
        yield running


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[RedisCluster]:
    async with redis_cluster(tmp_path) as running:
        yield running


@pytest.fixture
async def cluster_with_replicas(tmp_path: Path) -> AsyncIterator[RedisCluster]:
    async with redis_cluster(tmp_path, replicas_per_primary=1) as running:
        yield running


def name_of(tag: str) -> str:
    return f"hub:{{{tag}}}:ch:{tag}"


async def listen(link: Link, *tags: str) -> RecordingListener:
    """One channel of each tag, called as the tag."""
    listener = RecordingListener()
    await asyncio.gather(*(link.subscribe(tag, name_of(tag), listener, tag) for tag in tags))
    return listener


async def increment(commands: Commands, tag: str) -> int:
    return int(await commands.run(tag, INCREMENT, [f"hub:{{{tag}}}:n"], []))


async def hears(commands: Commands, listener: RecordingListener, tag: str) -> None:
    """Publishes until the listener hears it."""
    async with asyncio.timeout(10):
        while (tag, b"again") not in listener.messages:
            with contextlib.suppress(EngineUnavailable):
                await commands.call(tag, commands.publish_verb, name_of(tag), "again")
            await asyncio.sleep(0.01)


async def _works(commands: Commands, tag: str) -> bool:
    with contextlib.suppress(EngineUnavailable):
        return await increment(commands, tag) > 0
    return False


async def term_of(server: RedisServer, tag: str) -> str:
    return str(await server.order("HGET", f"hub:{{{tag}}}:term", "term"))


async def _fail_over_by_order(sentinels: RedisSentinels) -> None:
    await sentinels.fail_over()


async def _fail_over_by_death(sentinels: RedisSentinels) -> None:
    former = await sentinels.primary()
    await former.kill()
    await sentinels.wait_for_primary_after(former)


async def _fail_over_by_freeze(sentinels: RedisSentinels) -> None:
    former = await sentinels.primary()
    former.pause()
    await sentinels.wait_for_primary_after(former)


@pytest.mark.parametrize(
    "fail_over",
    [_fail_over_by_order, _fail_over_by_death, _fail_over_by_freeze],
    ids=["order", "death", "freeze"],
)
async def test_a_sentinel_failover_is_followed(
    sentinels: RedisSentinels, fail_over: Callable[[RedisSentinels], Awaitable[None]]
) -> None:
    """Commands and link go to the new primary, in a new term; what may be missed is doubted."""
    async with running_link(quick(sentinels.url)) as (commands, link):
        listener = await listen(link, "p1", "p2")
        assert await increment(commands, "p1") == 1
        before = int(await term_of(await sentinels.primary(), "p1"))
        await fail_over(sentinels)
        await until(lambda: _works(commands, "p1"))
        await eventually(lambda: listener.doubted == {"p1", "p2"}, timeout_s=10)
        await hears(commands, listener, "p2")
        primary = await sentinels.primary()
        assert int(await term_of(primary, "p1")) > before
        assert await increment(commands, "p1") == int(await primary.order("GET", "hub:{p1}:n"))
        await eventually(lambda: link.healthy)


async def test_a_cluster_serves_every_tag_at_its_primary(cluster: RedisCluster) -> None:
    """Scripts, sharded Pub/Sub, and a probe of each primary."""
    async with running_link(quick(cluster.url)) as (commands, link):
        listener = await listen(link, *TAGS)
        for tag in TAGS:
            assert await increment(commands, tag) == 1
            await hears(commands, listener, tag)
        await link.probe()
        assert link.healthy
        assert commands.publish_verb == "SPUBLISH"
        assert {await server.calls_of("ssubscribe") > 0 for server in cluster.servers} == {True}


async def test_a_slot_that_moves_takes_its_keys_and_channels_along(cluster: RedisCluster) -> None:
    """No call fails, the term stays (nothing was lost), and its channels are doubted, no others."""
    async with running_link(quick(cluster.url)) as (commands, link):
        listener = await listen(link, *TAGS)
        await asyncio.gather(*(increment(commands, tag) for tag in TAGS))
        source = await cluster.primary_of(slot_of("p1"))
        target = await cluster.primary_of(slot_of("p2"))
        assert source is not target
        before = await term_of(source, "p1")
        await cluster.move_slot(slot_of("p1"), target)
        assert await increment(commands, "p1") == 2
        assert await term_of(target, "p1") == before
        await eventually(lambda: listener.doubted == {"p1"})
        await hears(commands, listener, "p1")
        await eventually(lambda: link.healthy)


async def test_commands_work_while_a_slot_is_on_its_way(cluster: RedisCluster) -> None:
    """Keys that went already are asked for there; a script that needs both halves waits for the rest."""
    async with running_commands(quick(cluster.url)) as commands:
        both = script("redis.call('INCR', KEYS[1]) return redis.call('INCR', KEYS[2])")
        keys = ["hub:{p1}:n", "hub:{p1}:m"]
        assert await commands.run("p1", both, keys, []) == 1
        slot = slot_of("p1")
        target = await cluster.primary_of(slot_of("p2"))
        source = await cluster.begin_move(slot, target)
        await source.order("MIGRATE", *target.address, keys[0], 0, 5000)
        assert await increment(commands, "p1") == 2
        waiting = asyncio.create_task(commands.run("p1", both, keys, []))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await cluster.move_keys(slot, source, target)
        await cluster.finish_move(slot, source, target)
        assert await waiting == 2
        assert await increment(commands, "p1") == 4


async def test_a_cluster_failover_of_one_primary_is_followed(cluster_with_replicas: RedisCluster) -> None:
    """Its partitions go on in a new term and are doubted; the others notice nothing."""
    cluster = cluster_with_replicas
    async with running_link(quick(cluster.url)) as (commands, link):
        listener = await listen(link, *TAGS)
        await asyncio.gather(*(increment(commands, tag) for tag in TAGS))
        dying = await cluster.primary_of(slot_of("p1"))
        owners = {tag: await cluster.primary_of(slot_of(tag)) for tag in TAGS}
        hit = {tag for tag, owner in owners.items() if owner is dying}
        before = {tag: await term_of(owner, tag) for tag, owner in owners.items()}
        promoted = await cluster.fail_over(dying)
        for tag in TAGS:
            await until(lambda tag=tag: _works(commands, tag))  # type: ignore[misc]
        await eventually(lambda: listener.doubted == hit, timeout_s=10)
        for tag in TAGS:
            await hears(commands, listener, tag)
        assert all([int(await term_of(promoted, tag)) > int(before[tag]) for tag in hit])
        assert all([await term_of(owners[tag], tag) == before[tag] for tag in set(TAGS) - hit])
        await eventually(lambda: link.healthy)


async def test_the_link_to_one_primary_alone_is_unhealthy(cluster: RedisCluster) -> None:
    """One frozen primary is not covered by the others, and costs them nothing."""
    options = quick(cluster.url, command_timeout_s=0.5, connect_timeout_s=0.3)
    async with running_link(options) as (commands, link):
        frozen = await cluster.primary_of(slot_of("p1"))
        assert await cluster.primary_of(slot_of("p2")) is not frozen
        frozen.pause()
        await eventually(lambda: not link.healthy)
        assert await increment(commands, "p2") == 1
        with pytest.raises(EngineUnavailable):
            await increment(commands, "p1")
        frozen.resume()
        await eventually(lambda: link.healthy, timeout_s=10)
