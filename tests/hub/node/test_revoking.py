"""What follows from a rule on a node, as far as the wire does not show it."""

from __future__ import annotations

from typing import cast

import pytest

from hub.engine.memory import memory_engine
from hub.errors import LIMIT_EXCEEDED, HubError
from hub.fanout import LiveConnection, Registry
from hub.metrics import Limit, NopMetrics
from hub.node.revoking import Revoking


class Counting(NopMetrics):
    """Remembers which limits were reached."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    def limit_reached(self, limit: Limit) -> None:
        """One more."""
        self.reached.append(limit)


class Somebody:
    """A connection that counts how often it was told to look again."""

    device = ""

    def __init__(self, client: str, user: str) -> None:
        self.client, self.user, self.looks = client, user, 0

    def look_again(self) -> None:
        """Once more."""
        self.looks += 1


async def nobody_to_tell() -> None:
    """There is no other node."""


def revoking(registry: Registry, metrics: Counting, max_revocations: int = 10) -> Revoking:
    """Over an engine of its own."""
    store = memory_engine(max_revocations=max_revocations).revocations
    return Revoking(store, registry, metrics, nobody_to_tell)


async def test_a_limit_that_is_reached_is_counted() -> None:
    """And whoever revokes is told."""
    metrics = Counting()
    node = revoking(Registry(), metrics, max_revocations=1)
    await node.block("1", None)
    with pytest.raises(HubError) as refused:
        await node.block("2", None)
    assert refused.value.error is LIMIT_EXCEEDED
    assert metrics.reached == ["revocations"]


async def test_only_who_may_be_concerned_looks_again() -> None:
    """A user's connections for a rule about a user, everybody for a token, nobody for a rule that ends."""
    registry, metrics = Registry(), Counting()
    people = [Somebody("c1", "1"), Somebody("c2", "1"), Somebody("c3", "2")]
    for each in people:
        registry.add(cast(LiveConnection, each))
    node = revoking(registry, metrics)

    async def looks() -> list[int]:
        await node.refresh()
        return [each.looks for each in people]

    assert await looks() == [0, 0, 0]
    await node.block("1", None)
    assert await looks() == [1, 1, 0]
    await node.revoke_issued_before("2", 1, 2**50)
    assert await looks() == [1, 1, 1]
    await node.revoke_token("j", 2**50)
    assert await looks() == [2, 2, 2]
    await node.unblock("1")
    assert await looks() == [2, 2, 2]
