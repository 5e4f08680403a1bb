"""Large calls, step by step: everybody once, whoever dies on the way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest

from hub.delivery.model import NewEntry, Notified
from hub.delivery.notification import Notification
from hub.engine import Engine, Ledger
from hub.engine.jobs import NewNotice, NoticeStatus
from hub.engine.notifying import notice_of, notify, withdraw
from hub.errors import EngineUnavailable
from tests.support.waiting import eventually, eventually_true
from workers.jobs import ExpanderOptions, JobExpander
from workers.metrics import NopWorkerMetrics
from workers.tracing import NopWorkerTracer

USERS = [f"user{n}" for n in range(1200)]


class Counting(NopWorkerMetrics):
    """Remembers the steps."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def job_step_finished(self, users: int, failed: int) -> None:
        self.steps.append((users, failed))


class Tripping:
    """A ledger that fails from the given call on, as often as asked."""

    def __init__(self, ledger: Any, after: int, times: int) -> None:
        self._ledger = ledger
        self._after = after
        self._times = times
        self.written: list[str] = []
        self.asked = 0
        self.delay_s = 0.0

    async def notify(self, user: str, entry: NewEntry) -> Notified:
        self.asked += 1
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if len(self.written) >= self._after and self._times:
            self._times -= 1
            raise EngineUnavailable("gone for a moment")
        done: Notified = await self._ledger.notify(user, entry)
        if not done.duplicate:
            self.written.append(user)
        return done

    async def withdraw(self, user: str, notification: str) -> bool:
        raise AssertionError("nobody cancelled anything")


@contextlib.asynccontextmanager
async def expanding(engine: Engine, metrics: NopWorkerMetrics, claim_s: float = 3.0) -> AsyncIterator[None]:
    """An expander at work."""
    options = ExpanderOptions(claim_s=claim_s, survey_s=0.2)
    expander = JobExpander(engine.ledger, engine.jobs, options, metrics, lambda: 0.0, NopWorkerTracer())
    task = asyncio.create_task(expander.run())
    if isinstance(engine.ledger, Tripping | TakenBack):
        expander.wake()
    else:
        await engine.ledger.watch((), lambda lane: expander.wake())
    try:
        yield
    finally:
        expander.begin_stop()
        await asyncio.wait_for(task, 5)


def call(notification: str = "big") -> Notification:
    """What is said to many."""
    return Notification(round(time.time() * 1000), notification, b"{}", {"title": "Hello"})


async def done(engine: Engine, notice: str = "big") -> NoticeStatus:
    """Wait for the end of a call."""

    async def through() -> bool:
        found = await engine.jobs.status(notice)
        return found is not None and not found.running

    await eventually_true(through, every_s=0.01)
    status = await engine.jobs.status(notice)
    assert status is not None
    return status


async def test_a_large_call_is_expanded_in_steps(engine: Engine) -> None:
    """Each user has it once, and the call says so."""
    metrics = Counting()
    async with expanding(engine, metrics):
        await notify(engine.ledger, engine.jobs, call(), USERS)
        status = await done(engine)
    assert (status.users, status.done, status.failed) == (1200, 1200, 0)
    assert metrics.steps == [(500, 0), (500, 0), (200, 0)]
    assert {(await engine.ledger.summary(user)).unread for user in USERS} == {1}


async def test_a_step_that_was_cut_short_is_done_again_and_doubles_nothing(engine: Engine) -> None:
    """Half of it was written before the engine went away; the claim of that step runs out first."""
    ledger = Tripping(engine.ledger, after=700, times=1)
    tripping = replace(engine, ledger=ledger)  # type: ignore[arg-type]
    async with expanding(tripping, NopWorkerMetrics(), claim_s=0.3):
        await notify(engine.ledger, engine.jobs, call(), USERS)
        status = await done(engine)
    assert (status.done, status.failed) == (1200, 0)
    assert sorted(ledger.written) == sorted(USERS)


async def test_a_small_call_that_was_cut_short_is_completed_by_the_same_call(engine: Engine) -> None:
    """Until then it says that it runs; whoever made it was given no answer, and has to ask again."""
    users = USERS[:100]
    ledger = Tripping(engine.ledger, after=64, times=100)
    with pytest.raises(EngineUnavailable):
        await notify(cast(Ledger, ledger), engine.jobs, call(), users)
    assert await engine.jobs.status("big") == NoticeStatus(running=True, users=100, done=0, failed=0)
    again = await notify(engine.ledger, engine.jobs, call(), users)
    assert again.duplicate
    assert {(await engine.ledger.summary(user)).unread for user in users} == {1}
    assert await engine.jobs.status("big") == NoticeStatus(running=False, users=100, done=100, failed=0)


async def test_a_small_call_that_was_cut_short_and_taken_back_is_over(engine: Engine) -> None:
    """The same call, tried once more by whoever never heard of it, brings it to nobody."""
    users = USERS[:100]
    ledger = Tripping(engine.ledger, after=64, times=100)
    with pytest.raises(EngineUnavailable):
        await notify(cast(Ledger, ledger), engine.jobs, call(), users)
    assert await withdraw(engine.ledger, engine.jobs, "big", None) == 64
    status = await engine.jobs.status("big")
    assert status is not None
    assert not status.running
    await notify(engine.ledger, engine.jobs, call(), users)
    assert {(await engine.ledger.summary(user)).unread for user in users} == {0}


class TakenBack:
    """A ledger in whose midst the call is cancelled, before somebody in a step under way has it."""

    def __init__(self, engine: Engine, before: str) -> None:
        self._engine = engine
        self._before = before

    async def notify(self, user: str, entry: NewEntry) -> Notified:
        if user == self._before:
            await withdraw(self._engine.ledger, self._engine.jobs, "big", None)
        return await self._engine.ledger.notify(user, entry)

    async def withdraw(self, user: str, notification: str) -> bool:
        return await self._engine.ledger.withdraw(user, notification)


async def test_who_gets_it_while_it_is_taken_back_has_it_no_longer(engine: Engine) -> None:
    """Also those that the cancelling call had passed before the step under way came to them."""
    ledger = TakenBack(engine, before="user250")
    async with expanding(replace(engine, ledger=ledger), NopWorkerMetrics()):  # type: ignore[arg-type]
        await notify(engine.ledger, engine.jobs, call(), USERS)
        await done(engine)

        async def nobody_has_it() -> bool:
            return {(await engine.ledger.summary(user)).unread for user in USERS} == {0}

        await eventually_true(nobody_has_it, every_s=0.05)
    assert (await engine.ledger.summary("user250")).top.offset == 1


async def test_a_step_that_another_worker_ended_is_not_taken_back(engine: Engine) -> None:
    """A slow worker that comes late finds the call through, which is no cancelling."""
    users = USERS[:200]
    await engine.jobs.open(notice_of(call(), users, as_job=True))
    ledger = Tripping(engine.ledger, after=0, times=0)
    slow = JobExpander(
        cast(Ledger, ledger),
        engine.jobs,
        ExpanderOptions(claim_s=0.05),
        NopWorkerMetrics(),
        lambda: 0.0,
        NopWorkerTracer(),
    )
    ledger.delay_s = 0.3
    late = asyncio.create_task(slow.run())
    await eventually(lambda: ledger.asked > 0)
    async with expanding(engine, NopWorkerMetrics()):
        await done(engine)
        slow.begin_stop()
        await asyncio.wait_for(late, 5)
    assert {(await engine.ledger.summary(user)).unread for user in users} == {1}


async def test_two_workers_share_one_call(engine: Engine) -> None:
    """No step is taken twice."""
    one, two = Counting(), Counting()
    async with expanding(engine, one), expanding(engine, two):
        await notify(engine.ledger, engine.jobs, call(), USERS)
        await done(engine)
        await eventually(lambda: sum(users for users, _ in one.steps + two.steps) == 1200)


async def test_who_has_another_notification_of_that_id_is_counted_as_failed(engine: Engine) -> None:
    """And all others have it."""
    other = Notification(1, "big", b'{"other":1}', {}, ttl_s=60)
    await engine.ledger.notify("user7", other.entry())
    async with expanding(engine, NopWorkerMetrics()):
        await notify(engine.ledger, engine.jobs, call(), USERS)
        status = await done(engine)
    assert status.failed == 1


async def test_a_call_that_nobody_can_read_stands_in_nobodys_way(engine: Engine) -> None:
    """Its users are counted as failed, and the next call goes through."""
    users = USERS[:200]
    await engine.jobs.open(NewNotice("broken", "hash", b"\xff", users, as_job=True))
    async with expanding(engine, NopWorkerMetrics()):
        await notify(engine.ledger, engine.jobs, call(), USERS)
        status = await done(engine, "broken")
        assert (status.users, status.failed) == (200, 200)
        assert (await done(engine)).failed == 0
