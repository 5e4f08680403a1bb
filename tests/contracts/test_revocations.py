"""What every engine promises of revocations: kept, merged, ended, and told as changes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest

from hub.engine import Engine, Revocations
from hub.engine.memory import memory_engine
from hub.engine.redis import redis_engine
from hub.engine.revocations import LIFTED, LIFTED_KEPT_MS, NO_VERSION, Rule, Version
from hub.errors import LIMIT_EXCEEDED, HubError
from hub.model import NodeId
from tests.contracts.engines import REDIS_AHEAD_S, World
from tests.support.shared_redis import empty_redis

FAR_MS = int((time.time() + 10 * REDIS_AHEAD_S) * 1000)


@pytest.fixture
def revocations(world: World) -> Revocations:
    """The revocations of the world."""
    return world.engine.revocations


async def all_rules(revocations: Revocations) -> dict[tuple[str, str], tuple[int | None, int]]:
    """End and bound of every rule there is."""
    changes = await revocations.changes(Version("no such epoch", 0))
    assert changes.complete
    return {rule.key: (rule.until_ms, rule.before_ms) for rule in changes.rules}


class TestRules:
    """What is kept."""

    async def test_nothing_at_first(self, revocations: Revocations) -> None:
        """And asking for it is no error."""
        assert (await revocations.changes(NO_VERSION)).rules == ()

    async def test_every_kind_comes_back_as_it_was_put(self, revocations: Revocations) -> None:
        """Names of any text, ends with and without a time."""
        strange = "a:b {x} \n é 'quoted'"
        await revocations.put(Rule("user", strange))
        await revocations.put(Rule("user", "7", FAR_MS))
        await revocations.put(Rule("token", strange, FAR_MS))
        await revocations.put(Rule("issued", "7", FAR_MS, before_ms=1_700_000_000_123))
        assert await all_rules(revocations) == {
            ("user", strange): (None, 0),
            ("user", "7"): (FAR_MS, 0),
            ("token", strange): (FAR_MS, 0),
            ("issued", "7"): (FAR_MS, 1_700_000_000_123),
        }

    async def test_a_block_replaces_the_former_one(self, revocations: Revocations) -> None:
        """In either direction."""
        for until_ms in (None, FAR_MS, FAR_MS - 5, None):
            await revocations.put(Rule("user", "7", until_ms))
            assert await all_rules(revocations) == {("user", "7"): (until_ms, 0)}

    async def test_a_revocation_only_grows(self, revocations: Revocations) -> None:
        """What comes later cannot make a token good again."""
        await revocations.put(Rule("issued", "7", FAR_MS, before_ms=2_000))
        await revocations.put(Rule("issued", "7", FAR_MS - 5, before_ms=1_000))
        await revocations.put(Rule("token", "j", FAR_MS))
        await revocations.put(Rule("token", "j", FAR_MS - 5))
        assert await all_rules(revocations) == {("issued", "7"): (FAR_MS, 2_000), ("token", "j"): (FAR_MS, 0)}
        await revocations.put(Rule("issued", "7", None, before_ms=3_000))
        await revocations.put(Rule("issued", "7", FAR_MS, before_ms=1))
        assert (await all_rules(revocations))["issued", "7"] == (None, 3_000)

    async def test_only_new_leaves_alone_what_there_is(self, revocations: Revocations) -> None:
        """Also what was lifted."""
        await revocations.put(Rule("user", "7", FAR_MS))
        await revocations.put(Rule("user", "8"))
        await revocations.lift("user", "8")
        for user in ("7", "8", "9"):
            await revocations.put(Rule("user", user), only_new=True)
        assert await all_rules(revocations) == {
            ("user", "7"): (FAR_MS, 0),
            ("user", "8"): (LIFTED, 0),
            ("user", "9"): (None, 0),
        }

    async def test_lifting_what_is_not_there_changes_nothing(self, revocations: Revocations) -> None:
        """It is no error either; nor is lifting twice."""
        await revocations.put(Rule("user", "7"))
        lifted = await revocations.lift("user", "7")
        assert await revocations.lift("user", "7") == lifted
        assert await revocations.lift("user", "8") == lifted

    async def test_what_is_over_is_forgotten(self, revocations: Revocations, world: World) -> None:
        """With the next change; what was lifted a day later."""
        now_ms = int(time.time() * 1000)
        await world.advance(REDIS_AHEAD_S)
        await revocations.put(Rule("user", "short", now_ms + 4 * int(REDIS_AHEAD_S) * 1000))
        await revocations.put(Rule("user", "long"))
        await revocations.put(Rule("token", "lifted", FAR_MS))
        await revocations.lift("token", "lifted")
        assert len(await all_rules(revocations)) == 3
        await world.advance(LIFTED_KEPT_MS / 1000 + 10 * REDIS_AHEAD_S)
        await revocations.put(Rule("user", "new"))
        assert set(await all_rules(revocations)) == {("user", "long"), ("user", "new")}


class TestChanges:
    """Copies ask for what is new."""

    async def test_only_what_is_new_is_told(self, revocations: Revocations) -> None:
        """A change of a rule that is known is new as well."""
        await revocations.put(Rule("user", "1"))
        first = await revocations.put(Rule("user", "2"))
        await revocations.put(Rule("user", "1", FAR_MS))
        last = await revocations.lift("user", "2")
        changes = await revocations.changes(first)
        assert (changes.version, changes.complete) == (last, False)
        assert sorted((rule.subject, rule.until_ms) for rule in changes.rules) == [
            ("1", FAR_MS),
            ("2", LIFTED),
        ]
        assert {rule.number for rule in changes.rules} == {first.number + 1, first.number + 2}

    async def test_a_copy_that_is_up_to_date_gets_nothing(self, revocations: Revocations) -> None:
        """The usual answer, once a second."""
        version = await revocations.put(Rule("user", "1"))
        changes = await revocations.changes(version)
        assert (changes.version, changes.rules, changes.complete) == (version, (), False)

    @pytest.mark.parametrize("ahead", [0, 1])
    async def test_a_copy_of_another_state_gets_everything(
        self, revocations: Revocations, ahead: int
    ) -> None:
        """One of another epoch, and one that knows more than the store."""
        version = await revocations.put(Rule("user", "1"))
        stranger = Version(version.epoch if ahead else "other", version.number + ahead)
        changes = await revocations.changes(stranger)
        assert changes.complete
        assert [rule.subject for rule in changes.rules] == ["1"]

    async def test_many_at_once_are_all_told(self, revocations: Revocations) -> None:
        """No two changes have one number."""
        before = (await revocations.put(Rule("user", "x"))).number
        await asyncio.gather(*(revocations.put(Rule("token", str(n), FAR_MS)) for n in range(50)))
        changes = await revocations.changes(Version((await revocations.lift("user", "no")).epoch, before))
        assert {rule.subject for rule in changes.rules} == set(map(str, range(50)))
        assert len({rule.number for rule in changes.rules}) == 50


@contextlib.asynccontextmanager
async def opened(engine: Engine) -> AsyncIterator[Revocations]:
    """The revocations of an engine that runs for the length of the block."""
    await engine.lifecycle.start()
    try:
        yield engine.revocations
    finally:
        await engine.lifecycle.stop()


@pytest.fixture(params=["memory", "redis"])
def small(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[Revocations]:
    """Room for two rules."""
    if request.param == "memory":
        return opened(memory_engine(max_revocations=2))
    options = replace(empty_redis("standalone", request), max_revocations=2)
    return opened(redis_engine(options, NodeId("a"), namespaces={}))


async def test_no_more_than_there_may_be(small: AbstractAsyncContextManager[Revocations]) -> None:
    """The next one is refused, and said so; what is there can still be changed and lifted."""
    async with small as revocations:
        await revocations.put(Rule("user", "1"))
        await revocations.put(Rule("user", "2"))
        with pytest.raises(HubError) as refused:
            await revocations.put(Rule("user", "3"))
        assert refused.value.error is LIMIT_EXCEEDED
        await revocations.put(Rule("user", "2", FAR_MS))
        await revocations.lift("user", "1")
        assert await all_rules(revocations) == {("user", "1"): (LIFTED, 0), ("user", "2"): (FAR_MS, 0)}
