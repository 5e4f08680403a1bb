"""The copy of the revocations: right again, whatever happened to it or to the engine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from hub.engine import Engine
from hub.engine.memory import memory_engine
from hub.engine.redis import redis_engine
from hub.engine.redis.keys import Keys
from hub.engine.revocations import Changes, Rule, Version
from hub.engine.revoked import RevokedCopy
from hub.errors import INVALID_TOKEN, USER_BLOCKED, EngineUnavailable
from hub.model import NodeId
from tests.support.redis_server import RedisServer
from tests.support.shared_redis import empty_redis, shared_server
from tests.support.waiting import eventually

__all__ = ["shared_server"]

FAR_MS = int((time.time() + 3_600) * 1000)
NAMES = Keys("hub:", 4)


async def copy_of(engine: Engine) -> RevokedCopy:
    """A copy that has read once and looks no more by itself."""
    copy = RevokedCopy(engine.revocations)
    await copy.refresh()
    return copy


class TestAnswers:
    """Who is kept out."""

    async def test_nobody_at_first(self) -> None:
        """Nothing is known against anybody."""
        copy = await copy_of(memory_engine())
        assert copy.refusal("7", "j", None) is None
        assert copy.refusal("", "", None) is None

    async def test_each_rule_says_its_code(self) -> None:
        """A block comes first: its code is the one that tells what to do."""
        engine = memory_engine()
        copy = await copy_of(engine)
        await engine.revocations.put(Rule("token", "j", FAR_MS))
        await engine.revocations.put(Rule("issued", "7", FAR_MS, before_ms=10_000))
        await copy.refresh()
        assert copy.refusal("8", "j", None) is INVALID_TOKEN
        assert copy.refusal("8", "k", None) is None
        assert copy.refusal("7", "k", 9) is INVALID_TOKEN
        assert copy.refusal("7", "k", None) is INVALID_TOKEN
        assert copy.refusal("7", "k", 10) is None
        await engine.revocations.put(Rule("user", "7"))
        await copy.refresh()
        assert copy.refusal("7", "j", 9) is USER_BLOCKED
        assert not copy.is_blocked("8")

    async def test_a_rule_ends_at_its_time(self) -> None:
        """By this process' clock, and what is over is not kept."""
        now_s = 1_000.0
        engine = memory_engine(wall_s=lambda: now_s)
        copy = RevokedCopy(engine.revocations, wall_s=lambda: now_s, look_every_s=0.01)
        await engine.revocations.put(Rule("user", "7", 1_500_000))
        await copy.start()
        try:
            assert copy.is_blocked("7")
            now_s = 1_499.9
            assert copy.is_blocked("7")
            now_s = 1_500.0
            assert not copy.is_blocked("7")
            await eventually(lambda: not copy._any)
        finally:
            await copy.stop()


class TestLooking:
    """A change that no message told of."""

    async def test_it_is_found_within_the_interval(self) -> None:
        """And told to whoever acts on it, once."""
        engine = memory_engine()
        told: list[Rule] = []

        def on_change(rules: Sequence[Rule]) -> None:
            told.extend(rules)

        copy = RevokedCopy(engine.revocations, on_change, look_every_s=0.01)
        await copy.start()
        try:
            await engine.revocations.put(Rule("user", "7"))
            await eventually(lambda: copy.is_blocked("7"))
            await engine.revocations.lift("user", "7")
            await eventually(lambda: not copy.is_blocked("7"))
        finally:
            await copy.stop()
        assert [rule.subject for rule in told] == ["7", "7"]

    async def test_an_engine_that_is_away_leaves_what_is_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """And is asked again; for too long, and the copy says that it is stale."""
        engine = memory_engine()
        away = True

        class Fickle:
            """The engine's revocations, when it is there."""

            put, lift = engine.revocations.put, engine.revocations.lift

            async def changes(self, since: Version) -> Changes:
                """As the engine."""
                if away:
                    raise EngineUnavailable
                return await engine.revocations.changes(since)

        copy = RevokedCopy(Fickle(), look_every_s=0.01)
        with pytest.raises(EngineUnavailable):
            await copy.start()
        assert copy.is_stale
        away = False
        await engine.revocations.put(Rule("user", "7"))
        await copy.start()
        try:
            assert not copy.is_stale
            away = True
            monkeypatch.setattr("hub.engine.revoked.STALE_AFTER_S", 0.05)
            await eventually(lambda: copy.is_stale)
            assert copy.is_blocked("7")
            away = False
            await engine.revocations.lift("user", "7")
            await eventually(lambda: not copy.is_blocked("7") and not copy.is_stale)
        finally:
            await copy.stop()


@pytest.fixture
async def engine(request: pytest.FixtureRequest, shared_server: RedisServer) -> AsyncIterator[Engine]:
    """A node on an empty Redis."""
    async with contextlib.AsyncExitStack() as stack:
        made = redis_engine(empty_redis("standalone", request), NodeId("a"), namespaces={})
        await made.lifecycle.start()
        stack.push_async_callback(made.lifecycle.stop)
        yield made


class TestForgottenByTheEngine:
    """A Redis that lost something gets it back from those who know it."""

    async def test_an_emptied_redis_learns_all_again(
        self, engine: Engine, shared_server: RedisServer
    ) -> None:
        """Nobody who was kept out is let in meanwhile; and what was unblocked since stays so."""
        copies = [await copy_of(engine) for _ in range(2)]
        await engine.revocations.put(Rule("user", "7"))
        await engine.revocations.put(Rule("token", "j", FAR_MS))
        await engine.revocations.put(Rule("issued", "8", FAR_MS, before_ms=9_000))
        await engine.revocations.put(Rule("user", "8"))
        for copy in copies:
            await copy.refresh()
        await shared_server.order("FLUSHALL")
        # Somebody is faster than those who look.
        await engine.revocations.put(Rule("user", "9"))
        await engine.revocations.put(Rule("user", "8", FAR_MS))
        await engine.revocations.lift("user", "8")
        for copy in copies:
            await copy.refresh()
        newcomer = await copy_of(engine)
        for copy in (*copies, newcomer):
            await copy.refresh()
            assert [copy.is_blocked(user) for user in ("7", "8", "9")] == [True, False, True]
            assert copy.refusal("1", "j", None) is INVALID_TOKEN
            assert copy.refusal("8", "k", 8) is INVALID_TOKEN

    async def test_a_failover_that_lost_the_last_writes(
        self, engine: Engine, shared_server: RedisServer
    ) -> None:
        """The same numbers come again with other content: whoever knew more gives it back."""
        copy = await copy_of(engine)
        await engine.revocations.put(Rule("user", "1"))
        await engine.revocations.put(Rule("user", "2"))
        await engine.revocations.put(Rule("user", "3"))
        await copy.refresh()
        for subject in ("2", "3"):
            await shared_server.order("HDEL", NAMES.revocations, f"user:{subject}")
            await shared_server.order("ZREM", NAMES.revocation_order, f"user:{subject}")
            await shared_server.order("ZREM", NAMES.revocation_ends, f"user:{subject}")
        await shared_server.order("HSET", NAMES.revocations, "number", 1)
        await copy.refresh()
        newcomer = await copy_of(engine)
        for each in (copy, newcomer):
            await each.refresh()
            assert [each.is_blocked(user) for user in ("1", "2", "3")] == [True, True, True]

    async def test_what_could_not_be_given_back_is_tried_again(
        self, engine: Engine, shared_server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And holds here meanwhile."""
        copy = await copy_of(engine)
        for user in ("1", "2"):
            await engine.revocations.put(Rule("user", user))
        await copy.refresh()
        await shared_server.order("FLUSHALL")
        put = engine.revocations.put

        async def fails(*_: object, **__: object) -> Version:
            raise EngineUnavailable

        monkeypatch.setattr(engine.revocations, "put", fails)
        for _ in range(2):
            with pytest.raises(EngineUnavailable):
                await copy.refresh()
            assert copy.is_blocked("1")
            assert copy.is_blocked("2")
        # Somebody else gives one of them back, and it is lifted, before this copy can.
        await put(Rule("user", "2"))
        await engine.revocations.lift("user", "2")
        with pytest.raises(EngineUnavailable):
            await copy.refresh()
        assert not copy.is_blocked("2")
        monkeypatch.setattr(engine.revocations, "put", put)
        await copy.refresh()
        newcomer = await copy_of(engine)
        for each in (copy, newcomer):
            await each.refresh()
            assert each.is_blocked("1")
            assert not each.is_blocked("2")


def test_rules_of_one_key_are_told_apart_by_it() -> None:
    """Whatever else they say."""
    rule = Rule("user", "7")
    assert replace(rule, until_ms=5).key == rule.key != Rule("issued", "7").key
