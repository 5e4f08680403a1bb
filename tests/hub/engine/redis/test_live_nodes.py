"""Who lives, as scripts of the ledger are told."""

from __future__ import annotations

from hub.engine.redis.keys import CONTROL_TAG
from hub.engine.redis.live_nodes import LiveNodes, text_of
from hub.engine.redis.options import RedisOptions
from tests.hub.engine.redis.nodes import running_node


async def test_the_living_are_named_and_the_others_are_not(redis_options: RedisOptions) -> None:
    """Looking buries nobody, so whoever is no node may look."""
    async with running_node(redis_options, "a") as node, running_node(redis_options, "b") as other:
        await other.end_lease(other.leases.current)
        assert await LiveNodes(node.commands, node.keys).read() == "\na\n"
        assert await node.commands.call(CONTROL_TAG, "ZCARD", node.keys.nodes) == 2


async def test_during_grace_nobody_counts_as_dead(redis_options: RedisOptions) -> None:
    """It was Redis that was away."""
    async with running_node(redis_options, "a") as node:
        await node.commands.call(CONTROL_TAG, "SET", node.keys.grace, "99999999999999", "EX", 60)
        assert await LiveNodes(node.commands, node.keys).read() == ""


async def test_what_was_just_read_is_not_read_again(redis_options: RedisOptions) -> None:
    """For a second."""
    async with running_node(redis_options, "a") as node:
        nodes = LiveNodes(node.commands, node.keys)
        assert nodes.fresh is None
        assert await nodes.read() == "\na\n"
        await node.end_lease(node.leases.current)
        assert await nodes.read() == nodes.fresh == "\na\n"


def test_nobody_is_an_empty_text() -> None:
    """Which scripts take for: all may live."""
    assert text_of([]) == ""
    assert text_of(["b", "a", "b"]) == "\na\nb\n"
