"""The schema: who may start beside whom, and what is said when not."""

from __future__ import annotations

import pytest

from hub.engine.redis import schema as schema_module
from hub.engine.redis.keys import CONTROL_TAG, Keys
from hub.engine.redis.leases import NodeLeases
from hub.engine.redis.options import RedisOptions
from hub.engine.redis.schema import (
    SCHEMA,
    Agreement,
    Policy,
    SchemaMismatch,
    join_hubs,
    policy_hash,
    policy_text,
    read_schema,
    renew_agreement,
)
from hub.errors import EngineUnavailable
from hub.model import NodeId
from tests.hub.engine.redis.nodes import STILL, NodeParts, running_node

POLICY: Policy = {"": {}, "chat": {"history_size": 10, "history_ttl_s": 60}, "news": {"presence": True}}
OTHER: Policy = {"": {}, "chat": {"history_size": 20, "history_ttl_s": 60}, "sport": {}}


async def claim_as_newcomer(
    node: NodeParts, policy: Policy, partitions: int = 4, *, name: str = "new", replace_policy: bool = False
) -> Agreement:
    """What a hub that starts agrees on; its lease is given back at once."""
    keys = Keys(node.keys.prefix, partitions)
    leases = NodeLeases(node.commands, keys, NodeId(name), STILL, {})
    held = await join_hubs(node.commands, keys, policy, leases, replace_policy=replace_policy)
    await leases.start()
    await leases.stop()
    return held


async def test_the_first_hub_decides_and_publishers_read_it(redis_options: RedisOptions) -> None:
    """Everything that a publisher needs stands there."""
    async with running_node(redis_options, "a") as a:
        assert await read_schema(a.commands, a.keys) is None
        await claim_as_newcomer(a, POLICY)
        held = await read_schema(a.commands, a.keys)
        assert held is not None
        assert (held.schema, held.partitions, held.namespaces) == (SCHEMA, 4, POLICY)
        assert held.policy == policy_hash(policy_text(POLICY))


async def test_hubs_with_the_same_settings_start_side_by_side(redis_options: RedisOptions) -> None:
    """In whatever order their namespaces and options were written."""
    turned = {name: dict(reversed(list(options.items()))) for name, options in reversed(list(POLICY.items()))}
    async with running_node(redis_options, "a") as a:
        await claim_as_newcomer(a, POLICY)
        await claim_as_newcomer(a, turned)


async def test_other_partitions_are_refused_while_a_hub_lives(redis_options: RedisOptions) -> None:
    """Whatever is asked for: the same channel would lie under two keys."""
    async with running_node(redis_options, "a") as a:
        await claim_as_newcomer(a, POLICY)
        with pytest.raises(SchemaMismatch, match=r"partitions 8 here, 4 there.*stop those hubs first"):
            await claim_as_newcomer(a, POLICY, partitions=8, replace_policy=True)


async def test_another_policy_is_refused_and_the_difference_is_named(redis_options: RedisOptions) -> None:
    """By namespace and option; values are nobody's business."""
    async with running_node(redis_options, "a") as a:
        await claim_as_newcomer(a, POLICY)
        with pytest.raises(SchemaMismatch) as refused:
            await claim_as_newcomer(a, OTHER)
        text = str(refused.value)
        assert "1 living hub " in text
        assert "namespace chat: history_size;" in text
        assert "namespace news only there" in text
        assert "namespace sport only here" in text
        assert "replace_policy" in text
        held = await read_schema(a.commands, a.keys)
        assert held is not None
        assert held.namespaces == POLICY


async def test_a_policy_can_be_replaced_on_purpose(redis_options: RedisOptions) -> None:
    """Hubs are then restarted one by one."""
    async with running_node(redis_options, "a") as a:
        await claim_as_newcomer(a, POLICY)
        await claim_as_newcomer(a, OTHER, replace_policy=True)
        held = await read_schema(a.commands, a.keys)
        assert held is not None
        assert held.namespaces == OTHER
        with pytest.raises(SchemaMismatch):
            await claim_as_newcomer(a, POLICY)


async def test_without_a_living_hub_whoever_comes_decides(redis_options: RedisOptions) -> None:
    """It is remembered how many partitions there ever were, so that they can be cleaned."""
    async with running_node(redis_options, "a") as a:
        await claim_as_newcomer(a, POLICY)
        await a.end_lease("a/1")
        await claim_as_newcomer(a, OTHER, partitions=2)
        held = await claim_as_newcomer(a, OTHER, partitions=2)
        assert (held.partitions, held.most_partitions, held.namespaces) == (2, 4, OTHER)


async def test_a_running_hub_writes_it_again_into_an_emptied_redis(redis_options: RedisOptions) -> None:
    """Its own lease does not stand against it, another hub's does."""
    async with running_node(redis_options, "a") as a:
        await renew_agreement(a.commands, a.keys, POLICY, a.leases)
        await renew_agreement(a.commands, a.keys, OTHER, a.leases)
        async with running_node(redis_options, "b"):
            with pytest.raises(SchemaMismatch):
                await renew_agreement(a.commands, a.keys, POLICY, a.leases)


async def test_of_two_that_start_at_once_the_second_sees_the_first(redis_options: RedisOptions) -> None:
    """A hub counts from the moment it agreed, not only once it has begun to renew."""
    async with running_node(redis_options, "a") as a:
        await a.leases.stop()
        first, second = (NodeLeases(a.commands, a.keys, NodeId(name), STILL, {}) for name in "bc")
        await join_hubs(a.commands, a.keys, POLICY, first)
        with pytest.raises(SchemaMismatch, match="1 living hub "):
            await join_hubs(a.commands, a.keys, OTHER, second)
        await first.start()
        assert first.current == "b/1"
        assert (await first.survey()).living == {"b/1"}
        await first.stop()


@pytest.mark.parametrize("number", [SCHEMA + 1, SCHEMA - 1])
async def test_neighbouring_schemas_run_side_by_side(
    redis_options: RedisOptions, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The newer one stays written."""
    async with running_node(redis_options, "a") as a:
        await claim_as_newcomer(a, POLICY)
        monkeypatch.setattr(schema_module, "SCHEMA", number)
        held = await claim_as_newcomer(a, POLICY)
        assert held.schema == max(number, SCHEMA)


async def test_schemas_too_far_apart_are_refused(
    redis_options: RedisOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of hubs and publishers alike."""
    async with running_node(redis_options, "a") as a:
        await claim_as_newcomer(a, POLICY)
        monkeypatch.setattr(schema_module, "SCHEMA", SCHEMA + 2)
        with pytest.raises(SchemaMismatch, match="schema"):
            await claim_as_newcomer(a, POLICY)
        with pytest.raises(SchemaMismatch, match="schema"):
            await read_schema(a.commands, a.keys)


async def test_a_publisher_with_other_partitions_is_refused(redis_options: RedisOptions) -> None:
    """It would write where nobody listens."""
    async with running_node(redis_options, "a") as a:
        await claim_as_newcomer(a, POLICY)
        with pytest.raises(SchemaMismatch, match="partitions 16 here, 4 there"):
            await read_schema(a.commands, a.keys, 16)


async def test_a_broken_schema_is_written_anew(redis_options: RedisOptions) -> None:
    """Half of it says nothing."""
    async with running_node(redis_options, "a") as a:
        await a.commands.call(CONTROL_TAG, "HSET", a.keys.schema, "schema", "1")
        assert await read_schema(a.commands, a.keys) is None
        await claim_as_newcomer(a, POLICY)
        assert await read_schema(a.commands, a.keys) is not None


async def test_without_redis_nothing_is_agreed(redis_options: RedisOptions) -> None:
    """Which is said as such."""
    async with running_node(redis_options, "a") as a:
        await a.commands.stop()
        with pytest.raises(EngineUnavailable):
            await claim_as_newcomer(a, POLICY)
