"""Node leases: who lives by the server's clock, and that a lost lease never comes back."""

from __future__ import annotations

import asyncio

import pytest

from hub.engine.redis.keys import CONTROL_TAG
from hub.engine.redis.leases import LeaseOptions, node_of
from hub.engine.redis.options import RedisOptions
from hub.errors import EngineUnavailable
from tests.hub.engine.redis.nodes import NodeParts, running_node
from tests.support.redis_server import until
from tests.support.waiting import eventually


async def nodes_seen_by(node: NodeParts) -> set[str]:
    """Who lives, read anew."""
    survey = await node.leases.survey()
    return {node_of(lease) for lease in survey.living}


async def test_a_started_node_is_seen_by_all(redis_options: RedisOptions) -> None:
    """Its first lease is taken before start returns."""
    async with running_node(redis_options, "a") as a, running_node(redis_options, "b") as b:
        assert await nodes_seen_by(a) == await nodes_seen_by(b) == {"a", "b"}
        assert await a.leases.live_nodes() == {"a", "b"}


async def test_an_orderly_end_gives_the_lease_back_at_once(redis_options: RedisOptions) -> None:
    """The others need not wait for the lease to run out, and its description goes with it."""
    async with running_node(redis_options, "a") as a:
        async with running_node(redis_options, "b"):
            pass
        assert await nodes_seen_by(a) == {"a"}
        described = await a.commands.call(CONTROL_TAG, "HKEYS", a.keys.node_info)
        assert described == [a.leases.current.encode()]


async def test_a_silent_node_is_gone_when_its_lease_has_run_out(redis_options: RedisOptions) -> None:
    """One that renews stays, one that does not is buried."""
    speaking, silent = LeaseOptions(0.3, 0.1), LeaseOptions(0.3, 60.0)
    async with running_node(redis_options, "a", speaking) as a, running_node(redis_options, "b", silent) as b:
        lease = b.leases.current

        async def is_alone() -> bool:
            return await nodes_seen_by(a) == {"a"}

        await until(is_alone)
        survey = await a.leases.survey()
        assert lease not in survey.living | survey.expired
        assert a.leases.current == "a/1"


async def test_a_buried_node_gets_a_lease_of_another_name(redis_options: RedisOptions) -> None:
    """What it owned under the old name may be cleaned away at any time, the new is its own."""
    lost: list[str] = []
    async with running_node(redis_options, "a") as a, running_node(redis_options, "b") as b:
        b.leases.on_lost(lambda: lost.append(b.leases.current))
        await b.end_lease("b/1")
        assert await nodes_seen_by(a) == {"a"}
        await b.leases.renew()
        assert lost == ["b/2"]
        assert b.leases.current == "b/2"
        assert await nodes_seen_by(a) == {"a", "b"}


async def test_a_lease_that_ran_out_unseen_is_renewed(redis_options: RedisOptions) -> None:
    """A node that was slow, while nobody missed it, loses nothing."""
    async with running_node(redis_options, "a") as a, running_node(redis_options, "b") as b:
        await b.end_lease("b/1")
        await b.leases.renew()
        assert b.leases.current == "b/1"
        assert await nodes_seen_by(a) == {"a", "b"}


async def test_when_all_leases_ran_out_together_nobody_is_buried(redis_options: RedisOptions) -> None:
    """It was Redis that was away: each node has one lease's time to come back."""
    async with running_node(redis_options, "a") as a, running_node(redis_options, "b") as b:
        await a.end_lease("a/1")
        await b.end_lease("b/1")
        before = await b.leases.survey()
        assert before.expired == {"a/1", "b/1"}
        await a.leases.renew()
        during = await a.leases.survey()
        assert (during.living, during.expired, during.grace) == ({"a/1"}, {"b/1"}, True)
        await a.commands.call(CONTROL_TAG, "DEL", a.keys.grace)
        after = await a.leases.survey()
        assert (after.living, after.expired, after.grace) == ({"a/1"}, frozenset(), False)


async def test_an_emptied_redis_makes_every_node_take_a_new_lease(redis_options: RedisOptions) -> None:
    """The next renewal notices by itself that everything is gone."""
    async with (
        running_node(redis_options, "a", LeaseOptions(1.0, 0.05)) as a,
        running_node(redis_options, "b", LeaseOptions(1.0, 0.05)) as b,
    ):
        await a.commands.call(CONTROL_TAG, "FLUSHALL")
        await eventually(lambda: a.leases.current == "a/2" and b.leases.current == "b/2")
        survey = await a.leases.survey()
        assert survey.living == {"a/2", "b/2"}
        assert survey.grace


async def test_the_list_of_living_nodes_is_read_once_a_second_at_most(redis_options: RedisOptions) -> None:
    """Many who ask at once share one answer, and soon after nobody asks Redis at all."""
    async with running_node(redis_options, "a") as a:
        before = await looks_at_leases(a)
        answers = await asyncio.gather(*(a.leases.live_nodes() for _ in range(50)))
        assert set(answers) == {frozenset({"a"})}
        assert await looks_at_leases(a) == before + 1


async def looks_at_leases(node: NodeParts) -> int:
    """How often this Redis was asked for the leases; each look takes two reads."""
    text = (await node.commands.call(CONTROL_TAG, "INFO", "commandstats")).decode()
    rows = [line for line in text.splitlines() if line.startswith("cmdstat_zrangebyscore:")]
    return sum(int(row.split("calls=")[1].split(",")[0]) for row in rows) // 2


async def test_there_is_no_lease_before_start_and_after_stop(redis_options: RedisOptions) -> None:
    """Nothing can be owned then."""
    async with running_node(redis_options, "a") as a:
        await a.leases.stop()
        with pytest.raises(EngineUnavailable):
            a.leases.current
