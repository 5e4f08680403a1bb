"""Cleaning up behind nodes that ended without a word."""

from __future__ import annotations

import asyncio

from hub.engine.redis.keys import CONTROL_TAG
from hub.engine.redis.leases import LeaseOptions
from hub.engine.redis.options import RedisOptions
from hub.model import PresenceStats
from tests.hub.engine.redis.nodes import NodeParts, member, running_node
from tests.support.redis_server import until

CHANNELS = [f"room{n}" for n in range(20)]


async def fill(node: NodeParts, clients: int) -> None:
    """The same clients of this node in every channel."""
    for channel in CHANNELS:
        names = (f"{node.leases.node_id}{n}" for n in range(clients))
        await asyncio.gather(*(node.presence.add(channel, member(name)) for name in names))


async def total(node: NodeParts) -> int:
    """Clients in all channels together."""
    return sum([(await node.presence.stats(channel)).num_clients for channel in CHANNELS])


async def is_empty(node: NodeParts) -> bool:
    """Whether nobody is present anywhere."""
    return not await node.names()


async def test_entries_of_a_dead_node_go_and_all_others_stay(redis_options: RedisOptions) -> None:
    """Batch by batch, until no key remembers it."""
    async with running_node(redis_options, "a") as a, running_node(redis_options, "b") as b:
        await fill(a, 2)
        await fill(b, 30)
        await b.end_lease("b/1")
        await a.janitor.look()
        assert await total(a) == 2 * len(CHANNELS)
        assert not {name for name in await a.names() if "b/1" in name}
        assert await a.presence.stats("room0") == PresenceStats(2, 1)


async def test_two_janitors_at_once_do_no_harm(redis_options: RedisOptions) -> None:
    """They share the work and remove nothing twice."""
    async with (
        running_node(redis_options, "a") as a,
        running_node(redis_options, "b") as b,
        running_node(redis_options, "c") as c,
    ):
        await fill(a, 3)
        await fill(b, 3)
        await fill(c, 30)
        await c.end_lease("c/1")
        await asyncio.gather(a.janitor.look(), b.janitor.look(), a.janitor.sweep(), b.janitor.sweep())
        assert await total(a) == 6 * len(CHANNELS)
        assert await a.presence.stats("room0") == PresenceStats(6, 1)
        assert not {name for name in await a.names() if "c/1" in name}


async def test_entries_vanish_soon_after_a_node_fell_silent(redis_options: RedisOptions) -> None:
    """By the wall clock: the lease, a look each second, and the sweep."""
    speaking, silent = LeaseOptions(0.5, 0.1), LeaseOptions(0.5, 60.0)
    async with running_node(redis_options, "a", speaking) as a, running_node(redis_options, "b", silent) as b:
        await fill(b, 5)
        await a.janitor.start()
        try:
            await until(lambda: is_empty(a), timeout_s=0.5 + 3)
        finally:
            await a.janitor.stop()


async def test_a_frozen_node_that_wakes_is_not_cleaned_away_again(redis_options: RedisOptions) -> None:
    """It writes under its old lease before it notices; what is put back survives every sweep."""
    async with running_node(redis_options, "a") as a, running_node(redis_options, "b") as b:
        await fill(b, 3)
        await b.end_lease("b/1")
        await a.janitor.look()
        await b.presence.add("room0", member("late"))
        await b.leases.renew()
        await asyncio.gather(a.janitor.sweep(), b.presence.audit())
        await b.presence.audit()
        await a.janitor.sweep()
        assert await total(a) == 3 * len(CHANNELS) + 1
        assert not {name for name in await a.names() if "b/1" in name}


async def test_what_an_ended_node_left_is_found_by_the_next_one_to_start(redis_options: RedisOptions) -> None:
    """No witness of its end is needed."""
    async with running_node(redis_options, "a") as a:
        await fill(a, 3)
    async with running_node(redis_options, "b") as b:
        await b.commands.call(CONTROL_TAG, "DEL", b.keys.grace)
        await b.janitor.look()
        assert await b.names() == set()


async def test_nobody_judges_before_the_leases_are_back(redis_options: RedisOptions) -> None:
    """The primary that holds the leases lost them; living nodes keep their presence."""
    async with running_node(redis_options, "a") as a, running_node(redis_options, "b") as b:
        await fill(a, 1)
        await fill(b, 1)
        await a.commands.call(CONTROL_TAG, "DEL", a.keys.nodes, a.keys.node_info, a.keys.grace)
        await a.janitor.sweep()
        await a.leases.renew()
        await a.janitor.sweep()
        assert await total(a) == 2 * len(CHANNELS)
        await b.leases.renew()
        await asyncio.gather(a.presence.audit(), b.presence.audit())
        await a.commands.call(CONTROL_TAG, "DEL", a.keys.grace)
        await a.janitor.sweep()
        assert await total(a) == 2 * len(CHANNELS)
        assert not {name for name in await a.names() if name in ("owned:a/1", "owned:b/1")}


async def test_partitions_that_are_out_of_use_are_cleaned_too(redis_options: RedisOptions) -> None:
    """There were more of them once."""
    async with running_node(redis_options, "a") as a:
        tag = "p7"
        await a.commands.call(tag, "SADD", a.keys.owners(tag), "old/1")
        await a.commands.call(tag, "SADD", a.keys.owned(tag, "old/1"), "c1\nroom")
        await a.commands.call(tag, "HSET", a.keys.presence(tag, "room"), "c1", b"old/1\n3\nann\x92\xc0\xc0")
        await a.commands.call(tag, "HSET", a.keys.presence_users(tag, "room"), "ann", 1)
        await a.commands.call(CONTROL_TAG, "DEL", a.keys.grace)
        a.janitor.widen(8)
        await a.janitor.sweep()
        names = [a.keys.owners(tag), a.keys.presence(tag, "room"), a.keys.presence_users(tag, "room")]
        assert await a.commands.call(tag, "EXISTS", *names) == 0
