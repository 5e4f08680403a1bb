"""The engine's parts begin and end in order, and a node that lost its lease agrees anew."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from hub.delivery.options import DeliveryOptions
from hub.engine.redis.commands import Commands
from hub.engine.redis.janitor import Janitor
from hub.engine.redis.keys import CONTROL_TAG, Keys
from hub.engine.redis.leases import LeaseOptions, NodeLeases
from hub.engine.redis.ledger import RedisLedger
from hub.engine.redis.lifecycle import RedisLifecycle
from hub.engine.redis.link import Link
from hub.engine.redis.live_nodes import LiveNodes
from hub.engine.redis.options import RedisOptions
from hub.engine.redis.presence import RedisPresence
from hub.engine.redis.schema import Policy, SchemaMismatch, read_schema
from hub.errors import EngineUnavailable
from hub.model import NodeId, PresenceStats
from tests.hub.engine.redis.nodes import member
from tests.support.redis_server import redis_server, until

POLICY: Policy = {"chat": {"history_size": 10}}


class Parts:
    """What the lifecycle of one node keeps."""

    def __init__(self, options: RedisOptions, name: str, policy: Policy = POLICY) -> None:
        self.keys = Keys(options.prefix, options.partitions)
        self.commands = Commands(options, self.keys)
        self.link = Link(options, self.keys, self.commands, name)
        lease_options = LeaseOptions(options.lease_s, options.lease_renew_s)
        self.leases = NodeLeases(self.commands, self.keys, NodeId(name), lease_options, {})
        self.presence = RedisPresence(self.commands, self.keys, self.leases, audit_interval_s=0.1)
        janitor = Janitor(self.commands, self.keys, self.leases)
        nodes = LiveNodes(self.commands, self.keys)
        ledger = RedisLedger(self.commands, self.link, self.keys, nodes, DeliveryOptions())
        self.lifecycle = RedisLifecycle(
            self.commands, self.link, self.keys, self.leases, self.presence, janitor, ledger, policy
        )


def own_tasks() -> set[asyncio.Task[object]]:
    """Every task but that of the test."""
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


async def test_between_start_and_stop_the_node_is_one_of_all(redis_options: RedisOptions) -> None:
    """Afterwards neither a task nor a lease is left."""
    before = own_tasks()
    watcher = Parts(redis_options, "b")
    await watcher.lifecycle.start()
    parts = Parts(redis_options, "a")
    await parts.lifecycle.start()
    assert await parts.leases.live_nodes() == {"a", "b"}
    await parts.lifecycle.stop()
    await parts.lifecycle.stop()
    assert (await watcher.leases.survey()).living == {"b/1"}
    await watcher.lifecycle.stop()
    assert own_tasks() == before


async def test_a_refused_hub_leaves_nothing_behind(redis_options: RedisOptions) -> None:
    """It takes no lease and keeps no connection."""
    first = Parts(redis_options, "a")
    await first.lifecycle.start()
    before = own_tasks()
    refused = Parts(redis_options, "b", {"chat": {"history_size": 11}})
    with pytest.raises(SchemaMismatch, match="history_size"):
        await refused.lifecycle.start()
    assert own_tasks() == before
    assert (await first.leases.survey()).living == {"a/1"}
    await first.lifecycle.stop()


async def test_without_redis_the_start_fails_and_leaves_nothing(redis_options: RedisOptions) -> None:
    """With the exception that says so."""
    before = own_tasks()
    nowhere = replace(redis_options, url="redis://127.0.0.1:1", connect_timeout_s=0.5, command_timeout_s=0.5)
    with pytest.raises(EngineUnavailable):
        await Parts(nowhere, "a").lifecycle.start()
    assert own_tasks() == before


async def test_an_emptied_redis_gets_lease_presence_and_schema_again(redis_options: RedisOptions) -> None:
    """Without anybody doing anything."""
    parts = Parts(replace(redis_options, lease_s=1.0, lease_renew_s=0.1), "a")
    await parts.lifecycle.start()
    await parts.presence.add("room", member("c1"))
    await parts.commands.call(CONTROL_TAG, "FLUSHALL")

    async def is_back() -> bool:
        schema = await read_schema(parts.commands, parts.keys)
        return schema is not None and "c1" in await parts.presence.members("room")

    await until(is_back)
    assert parts.leases.current == "a/2"
    await parts.lifecycle.stop()


LIVELY = {"lease_s": 5.0, "lease_renew_s": 0.2, "command_timeout_s": 1.0, "probe_interval_s": 0.1}


async def test_a_redis_that_restarts_empty_is_filled_by_all_nodes(tmp_path: Path) -> None:
    """Each adds its own again; nobody cleans away what the other has put back."""
    async with redis_server(tmp_path) as server:
        nodes = [Parts(RedisOptions(server.url, partitions=4, **LIVELY), name) for name in "ab"]
        for node in nodes:
            await node.lifecycle.start()
            name = node.leases.node_id
            await asyncio.gather(*(node.presence.add("room", member(f"{name}{n}")) for n in range(150)))
        await server.restart(crash=True)

        async def all_are_back() -> bool:
            with contextlib.suppress(EngineUnavailable):
                known = (await nodes[0].leases.survey()).living
                count = (await nodes[0].presence.stats("room")).num_clients
                return known == {"a/2", "b/2"} and count == 300
            return False

        await until(all_are_back)
        assert await nodes[1].presence.stats("room") == PresenceStats(300, 1)
        for node in nodes:
            await node.lifecycle.stop()


async def test_a_redis_that_was_away_for_longer_than_a_lease_costs_nobody_anything(tmp_path: Path) -> None:
    """All leases ran out, none is buried, and what Redis kept stays as it was."""
    async with redis_server(tmp_path, keeps_data=True) as server:
        nodes = [Parts(RedisOptions(server.url, partitions=4, **LIVELY), name) for name in "ab"]
        for node in nodes:
            await node.lifecycle.start()
            await node.presence.add("room", member(node.leases.node_id))
        # As if Redis had been away for longer than a lease.
        keys = nodes[0].keys
        await nodes[0].commands.call(CONTROL_TAG, "ZADD", keys.nodes, 1, "a/1", 1, "b/1")
        await server.restart()

        async def both_renewed() -> bool:
            with contextlib.suppress(EngineUnavailable):
                return (await nodes[0].leases.survey()).living == {"a/1", "b/1"}
            return False

        await until(both_renewed)
        assert set(await nodes[1].presence.members("room")) == {"a", "b"}
        for node in nodes:
            await node.lifecycle.stop()
