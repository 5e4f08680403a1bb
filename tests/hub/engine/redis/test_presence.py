"""Presence over Redis: counted in and out, put back after a loss, taken out after a failure."""

from __future__ import annotations

import asyncio

import pytest

from hub.engine.redis.keys import CONTROL_TAG
from hub.engine.redis.leases import LeaseOptions
from hub.engine.redis.options import RedisOptions
from hub.engine.redis.presence import RedisPresence
from hub.errors import EngineUnavailable
from hub.model import ClientInfo, PresenceStats
from tests.hub.engine.redis.nodes import NodeParts, member, running_node
from tests.support.redis_server import until


async def test_members_are_seen_from_every_node(redis_options: RedisOptions) -> None:
    """With everything that is known of them, byte for byte."""
    info = ClientInfo("ünä\n\x00", "c1", b"\x00\xff", b"")
    bare = ClientInfo("", "c2", None, None)
    async with running_node(redis_options, "a") as a, running_node(redis_options, "b") as b:
        await a.presence.add("room", info)
        await b.presence.add("room", bare)
        assert (
            await a.presence.members("room") == await b.presence.members("room") == {"c1": info, "c2": bare}
        )
        assert await b.presence.members("another") == {}


async def test_statistics_count_clients_and_distinct_users(redis_options: RedisOptions) -> None:
    """A user with two connections is one user, until the last of them leaves."""
    async with running_node(redis_options, "a") as a, running_node(redis_options, "b") as b:
        await a.presence.add("room", member("c1", "ann"))
        await b.presence.add("room", member("c2", "ann"))
        await b.presence.add("room", member("c3", ""))
        assert await a.presence.stats("room") == PresenceStats(3, 2)
        await a.presence.remove("room", "c1")
        assert await a.presence.stats("room") == PresenceStats(2, 2)
        await b.presence.remove("room", "c2")
        assert await a.presence.stats("room") == PresenceStats(1, 1)


async def test_adding_again_replaces_what_is_known(redis_options: RedisOptions) -> None:
    """The same client never counts twice, not even as another user."""
    async with running_node(redis_options, "a") as a:
        await a.presence.add("room", member("c1", "ann"))
        await a.presence.add("room", member("c1", "ann"))
        assert await a.presence.stats("room") == PresenceStats(1, 1)
        await a.presence.add("room", member("c1", "bob"))
        assert await a.presence.members("room") == {"c1": member("c1", "bob")}
        assert await a.presence.stats("room") == PresenceStats(1, 1)


async def test_nothing_is_left_in_redis_when_everybody_has_left(redis_options: RedisOptions) -> None:
    """The last one takes every key along; unknown clients are passed over."""
    async with running_node(redis_options, "a") as a:
        await a.presence.add("room", member("c1"))
        await a.presence.add("other", member("c1"))
        await a.presence.remove("room", "nobody")
        await a.presence.remove("room", "c1")
        await a.presence.remove("room", "c1")
        await a.presence.remove("other", "c1")
        assert await a.names() == set()


async def test_ten_thousand_members_are_listed_while_the_loop_goes_on(redis_options: RedisOptions) -> None:
    """One read of Redis, and nobody else on the node waits for it to be taken apart."""
    members = {f"c{n}": member(f"c{n}", f"u{n % 5000}") for n in range(10_000)}
    async with running_node(redis_options, "a") as a:
        for start in range(0, 10_000, 500):
            batch = list(members.values())[start : start + 500]
            await asyncio.gather(*(a.presence.add("room", info) for info in batch))
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counter = asyncio.create_task(count_turns())
        found = await a.presence.members("room")
        counter.cancel()
        assert found == members
        assert turns >= 10
        assert await a.presence.stats("room") == PresenceStats(10_000, 5000)


async def test_an_entry_that_nobody_can_read_hides_no_other(redis_options: RedisOptions) -> None:
    """A broken entry is passed over."""
    async with running_node(redis_options, "a") as a:
        await a.presence.add("room", member("c1"))
        tag = a.keys.tag_of("room")
        await a.commands.call(tag, "HSET", a.keys.presence(tag, "room"), "c2", "no such thing")
        assert set(await a.presence.members("room")) == {"c1"}


async def test_after_a_lost_lease_the_own_members_are_put_back(redis_options: RedisOptions) -> None:
    """A node that was frozen for long adds what is its own, and only that, under its new lease."""
    async with running_node(redis_options, "a") as a, running_node(redis_options, "b") as b:
        for number in range(250):
            await b.presence.add("room", member(f"b{number}"))
        await b.presence.add("other", member("b0"))
        await a.presence.add("room", member("a0"))
        await b.end_lease("b/1")
        await a.janitor.sweep()
        assert set(await a.presence.members("room")) == {"a0"}
        await b.presence.remove("room", "b0")
        await b.leases.renew()
        await b.presence.audit()
        assert set(await a.presence.members("room")) == {"a0", *(f"b{n}" for n in range(1, 250))}
        assert set(await a.presence.members("other")) == {"b0"}
        await a.janitor.sweep()
        assert await a.presence.stats("room") == PresenceStats(250, 1)


async def test_an_emptied_redis_is_filled_again(redis_options: RedisOptions) -> None:
    """The started node does so by itself with its next renewal."""
    lively = LeaseOptions(lease_s=1.0, renew_s=0.05)
    async with running_node(redis_options, "a", lively) as a:
        await a.presence.start()
        try:
            await a.presence.add("room", member("c1"))
            await a.commands.call(CONTROL_TAG, "FLUSHALL")

            async def is_filled() -> bool:
                return await a.presence.stats("room") == PresenceStats(1, 1)

            await until(is_filled)
            assert await a.presence.members("room") == {"c1": member("c1")}
        finally:
            await a.presence.stop()


async def test_a_lost_partition_is_filled_again_although_the_lease_lives(redis_options: RedisOptions) -> None:
    """One primary of a Cluster came back empty, another one holds the leases."""
    async with running_node(redis_options, "a") as a:
        await a.presence.add("room", member("c1"))
        await a.presence.audit()
        tag = a.keys.tag_of("room")
        await a.commands.call(tag, "DEL", *keys_of_partition(a, tag, "room"))
        await a.presence.audit()
        assert await a.presence.members("room") == {"c1": member("c1")}
        assert await a.presence.stats("room") == PresenceStats(1, 1)


async def test_a_new_term_puts_back_values_that_a_failover_lost(redis_options: RedisOptions) -> None:
    """The numbers may agree while what stands behind them is old."""
    async with running_node(redis_options, "a") as a:
        await a.presence.add("room", member("c1", "old"))
        await a.presence.audit()
        tag = a.keys.tag_of("room")
        names = [a.keys.presence(tag, "room"), a.keys.presence_users(tag, "room")]
        before = [await a.commands.call(tag, "DUMP", name) for name in names]
        await a.presence.add("room", member("c1", "new"))
        for name, content in zip(names, before, strict=True):
            await a.commands.call(tag, "RESTORE", name, 0, content, "REPLACE")
        await a.presence.audit()
        assert await a.presence.members("room") == {"c1": member("c1", "old")}
        await a.commands.call(tag, "HINCRBY", a.keys.term(tag), "term", 1)
        await a.presence.audit()
        assert await a.presence.members("room") == {"c1": member("c1", "new")}
        assert await a.presence.stats("room") == PresenceStats(1, 1)


def keys_of_partition(node: NodeParts, tag: str, channel: str) -> list[str]:
    """All keys that hold the presence of one channel."""
    keys, lease = node.keys, node.leases.current
    return [
        keys.presence(tag, channel),
        keys.presence_users(tag, channel),
        keys.owned(tag, lease),
        keys.owners(tag),
    ]


class LosingCommands:
    """Commands whose writes are lost on the way, or whose answers are, when told so."""

    def __init__(self, inner: NodeParts) -> None:
        self._commands = inner.commands
        self.lose_write = False
        self.lose_answer = False

    async def run(self, *args: object, repeatable: bool = False) -> object:
        if self.lose_write and not repeatable:
            raise EngineUnavailable
        answer = await self._commands.run(*args, repeatable=repeatable)  # type: ignore[arg-type]
        if self.lose_answer and not repeatable:
            raise EngineUnavailable
        return answer

    async def call(self, *args: object, repeatable: bool = False) -> object:
        return await self._commands.call(*args, repeatable=repeatable)  # type: ignore[arg-type]


@pytest.mark.parametrize("lost", ["write", "answer"])
async def test_a_leave_of_unknown_outcome_leaves_no_ghost(redis_options: RedisOptions, lost: str) -> None:
    """The next audit takes out whoever left while Redis could not be told."""
    async with running_node(redis_options, "a") as a:
        losing = LosingCommands(a)
        presence = RedisPresence(losing, a.keys, a.leases)  # type: ignore[arg-type]
        await presence.add("room", member("c1"))
        setattr(losing, f"lose_{lost}", True)
        with pytest.raises(EngineUnavailable):
            await presence.remove("room", "c1")
        setattr(losing, f"lose_{lost}", False)
        await presence.audit()
        assert await presence.stats("room") == PresenceStats(0, 0)
        assert await a.names() == set()


@pytest.mark.parametrize("lost", ["write", "answer"])
async def test_a_failed_join_counts_nobody_in(redis_options: RedisOptions, lost: str) -> None:
    """The caller was told that it failed, so the entry goes even if it got there."""
    async with running_node(redis_options, "a") as a:
        losing = LosingCommands(a)
        presence = RedisPresence(losing, a.keys, a.leases)  # type: ignore[arg-type]
        await presence.add("room", member("c1", "old"))
        setattr(losing, f"lose_{lost}", True)
        with pytest.raises(EngineUnavailable):
            await presence.add("room", member("c1", "new"))
        with pytest.raises(EngineUnavailable):
            await presence.add("room", member("c2"))
        await presence.audit()
        setattr(losing, f"lose_{lost}", False)
        await presence.audit()
        assert await presence.members("room") == {"c1": member("c1", "old")}
        assert await presence.stats("room") == PresenceStats(1, 1)


async def test_an_audit_that_finds_everything_right_writes_nothing(redis_options: RedisOptions) -> None:
    """In quiet times it is one small question per partition."""
    async with running_node(redis_options, "a") as a:
        await a.presence.add("room", member("c1"))
        await a.presence.audit()
        tag = a.keys.tag_of("room")
        before = await a.commands.call(tag, "INFO", "commandstats")
        await a.presence.audit()
        after = await a.commands.call(tag, "INFO", "commandstats")
        assert written(before) == written(after)


def written(stats: bytes) -> list[str]:
    """The counts of commands that write."""
    return [
        line.split(",")[0]
        for line in stats.decode().splitlines()
        if line.startswith(
            ("cmdstat_hset", "cmdstat_sadd", "cmdstat_srem", "cmdstat_hdel", "cmdstat_smembers")
        )
    ]
