"""The loop of a lane when the engine makes trouble: it backs off, goes on, and loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from hub.delivery.model import ClaimBatch, Finish
from hub.engine import Engine
from hub.errors import EngineUnavailable
from tests.support.push_worlds import APNS, QUICK, notify, owed, plan, register, working
from tests.support.scripted_sender import ACCEPTED, LATER, STOPPED, ScriptedSender
from tests.support.waiting import eventually
from workers.metrics import NopWorkerMetrics
from workers.push import Kind, Outcome, Push, Verdict


class FlakyLedger:
    """The real ledger, but for the calls that fail before, or after, they were carried out."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger
        self.claims_fail = 0
        self.finishes_fail = 0
        self.finishes_answer_late = 0
        self.claims = 0
        self.wakes = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def watch(self, lanes: Any, on_wake: Any) -> None:
        await self._ledger.watch(lanes, lambda lane: on_wake(lane) if self.wakes else None)

    async def claim(self, lane: str, limit: int, worker: str) -> ClaimBatch:
        self.claims += 1
        if self.claims_fail:
            self.claims_fail -= 1
            raise EngineUnavailable("gone for a moment")
        batch: ClaimBatch = await self._ledger.claim(lane, limit, worker)
        return batch

    async def finish(self, end: Finish) -> bool:
        if self.finishes_fail:
            self.finishes_fail -= 1
            raise EngineUnavailable("gone for a moment")
        done: bool = await self._ledger.finish(end)
        if self.finishes_answer_late:
            self.finishes_answer_late -= 1
            raise EngineUnavailable("whether it happened is unknown")
        return done


class Counting(NopWorkerMetrics):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.claimed: list[int] = []
        self.attempts: list[tuple[Kind, Verdict]] = []
        self.lost = 0
        self.dead = 0
        self.breaker: list[bool] = []
        self.most_in_flight = 0

    def rows_claimed(self, lane: str, count: int) -> None:
        self.claimed.append(count)

    def attempt_finished(self, lane: str, kind: Kind, outcome: Outcome, latency_s: float) -> None:
        assert latency_s >= 0
        self.attempts.append((kind, outcome.verdict))

    def in_flight(self, lane: str, count: int) -> None:
        self.most_in_flight = max(self.most_in_flight, count)

    def breaker_changed(self, lane: str, is_open: bool) -> None:
        self.breaker.append(is_open)

    def dead_letters(self, lane: str, count: int) -> None:
        self.dead += count

    def claim_lost(self, lane: str) -> None:
        self.lost += 1


@pytest.fixture
async def flaky(engine: Engine) -> AsyncIterator[tuple[Engine, FlakyLedger]]:
    """The engine with a ledger that can be told to fail."""
    ledger = FlakyLedger(engine.ledger)
    yield replace(engine, ledger=ledger), ledger


async def nothing_owed(engine: Engine, user: str) -> None:
    """Wait until the phones of ``user`` have everything."""
    async with asyncio.timeout(5):
        while await owed(engine, user):  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)


async def test_claims_that_fail_are_made_again(flaky: tuple[Engine, FlakyLedger]) -> None:
    """The lane backs off, and then goes on as if nothing had been."""
    engine, ledger = flaky
    await register(engine, "alice")
    ledger.claims_fail = 3
    sender = ScriptedSender()
    async with working(engine, [plan(APNS, sender)]):
        await notify(engine, "alice", "n-1")
        await eventually(lambda: sender.told == ["n-1"])


async def test_an_end_is_told_until_it_is_heard(flaky: tuple[Engine, FlakyLedger]) -> None:
    """The provider was asked once, and the debt is closed."""
    engine, ledger = flaky
    await register(engine, "alice")
    ledger.finishes_fail = 3
    sender, metrics = ScriptedSender(), Counting()
    async with working(engine, [plan(APNS, sender)], metrics=metrics):
        await notify(engine, "alice", "n-1")
        await nothing_owed(engine, "alice")
        await asyncio.sleep(0.2)
    assert len(sender.asked) == 1
    assert metrics.lost == 0
    assert metrics.attempts == [("notify", Verdict.ACCEPTED)]


async def test_an_end_that_was_heard_but_not_answered_does_no_harm(
    flaky: tuple[Engine, FlakyLedger],
) -> None:
    """Told again, it meets a claim that is over; nothing is sent twice for it."""
    engine, ledger = flaky
    await register(engine, "alice")
    ledger.finishes_answer_late = 1
    sender = ScriptedSender()
    async with working(engine, [plan(APNS, sender)]):
        await notify(engine, "alice", "n-1")
        await nothing_owed(engine, "alice")
        await asyncio.sleep(0.2)
    assert len(sender.asked) == 1


async def test_a_lost_wake_is_made_good_by_the_survey(flaky: tuple[Engine, FlakyLedger]) -> None:
    """Later, but not never."""
    engine, ledger = flaky
    ledger.wakes = False
    await register(engine, "alice")
    sender = ScriptedSender()
    async with working(engine, [plan(APNS, sender)]):
        await eventually(lambda: ledger.claims == 1)
        await notify(engine, "alice", "n-1")
        await eventually(lambda: sender.told == ["n-1"], timeout_s=2.0)


async def test_an_idle_lane_leaves_the_engine_alone(flaky: tuple[Engine, FlakyLedger]) -> None:
    """One look at the start, and none until the survey."""
    engine, ledger = flaky
    options = replace(QUICK, dispatcher=replace(QUICK.dispatcher, survey_s=60.0))
    async with working(engine, [plan(APNS, ScriptedSender())], options):
        await asyncio.sleep(0.3)
        assert ledger.claims == 1


async def test_many_wakes_make_few_claims(flaky: tuple[Engine, FlakyLedger]) -> None:
    """However fast the notifications come."""
    engine, ledger = flaky
    users = [f"user{n}" for n in range(200)]
    for user in users:
        await register(engine, user)
    sender, metrics = ScriptedSender(), Counting()
    async with working(engine, [plan(APNS, sender, concurrency=50)], metrics=metrics):
        for user in users:
            await notify(engine, user, f"to-{user}")
            await asyncio.sleep(0)
        await eventually(lambda: len(sender.accepted) == len(users))
    assert ledger.claims <= 40
    assert sum(metrics.claimed) == len(users)
    assert metrics.most_in_flight <= 50


async def test_what_is_due_later_is_claimed_when_it_is_due(flaky: tuple[Engine, FlakyLedger]) -> None:
    """By the time that the claim before it told, and not by looking again and again."""
    engine, ledger = flaky
    device = await register(engine, "alice")
    wait = Outcome(Verdict.LATER, "TooManyRequests", status=429, retry_after_s=0.6)
    sender = ScriptedSender(wait)
    options = replace(QUICK, dispatcher=replace(QUICK.dispatcher, survey_s=60.0))
    async with working(engine, [plan(APNS, sender)], options):
        await notify(engine, "alice", "n-1")
        await eventually(lambda: len(sender.asked) == 1)
        refused_at_s = asyncio.get_running_loop().time()
        await eventually(lambda: sender.told == ["n-1"])
        late_s = asyncio.get_running_loop().time() - refused_at_s - 0.6
    assert device
    assert late_s < 0.3
    assert ledger.claims <= 8


async def test_the_breaker_is_counted_and_every_attempt_too(flaky: tuple[Engine, FlakyLedger]) -> None:
    """Opened once for the many that fail together, closed by the probe."""
    engine, _ = flaky
    for number in range(8):
        await register(engine, f"user{number}")
        await notify(engine, f"user{number}", f"n-{number}")
    sender, metrics = ScriptedSender(*[LATER] * 8), Counting()
    async with working(engine, [plan(APNS, sender)], metrics=metrics):
        await eventually(lambda: len(sender.accepted) == 8)
    assert metrics.breaker == [True, False]
    assert [verdict for _, verdict in metrics.attempts].count(Verdict.LATER) == 8


async def test_after_a_pause_a_lane_takes_up_its_work_step_by_step(engine: Engine) -> None:
    """One device, two, and one more for each that succeeds; all get theirs."""
    users = [f"user{n}" for n in range(80)]
    for user in users:
        await register(engine, user)
        await notify(engine, user, f"to-{user}")
    too_many: list[int] = []

    def judged(push: Push) -> Outcome:
        if sender.under_way + 1 > 1 + len(sender.accepted):
            too_many.append(sender.under_way + 1)
        return ACCEPTED

    sender = ScriptedSender(always=STOPPED)
    async with working(engine, [plan(APNS, sender, concurrency=30)]):
        await eventually(lambda: len(sender.asked) >= 31)
        sender.always = judged
        await eventually(lambda: len(sender.accepted) == len(users))
    assert too_many == []


async def test_a_sender_that_raises_loses_no_row(engine: Engine) -> None:
    """Against its promise; the row is tried again."""

    class Raising(ScriptedSender):
        async def send(self, push: Any) -> Outcome:
            if not self.asked:
                self.asked.append(push)
                raise ZeroDivisionError
            return await super().send(push)

    await register(engine, "alice")
    sender = Raising()
    async with working(engine, [plan(APNS, sender)]):
        await notify(engine, "alice", "n-1")
        await eventually(lambda: sender.told == ["n-1"])


async def test_a_claim_that_is_nearly_over_starts_no_attempt(flaky: tuple[Engine, FlakyLedger]) -> None:
    """The row is given back untried, and comes again at once."""
    engine, ledger = flaky
    await register(engine, "alice")
    sender = ScriptedSender()
    claim = ledger.claim
    slow = 1

    async def slow_claim(lane: str, limit: int, worker: str) -> ClaimBatch:
        nonlocal slow
        batch = await claim(lane, limit, worker)
        if batch.rows and slow:
            slow -= 1
            # The answer took so long that half of the claim is gone.
            await asyncio.sleep(1.6)
        return batch

    with contextlib.ExitStack() as patched:
        ledger.claim = slow_claim  # type: ignore[method-assign]
        patched.callback(delattr, ledger, "claim")
        async with working(engine, [plan(APNS, sender)]):
            await notify(engine, "alice", "n-1")
            await eventually(lambda: sender.told == ["n-1"])
    assert len(sender.asked) == 1


@pytest.mark.parametrize("unstarted", ["redis"], indirect=True)
async def test_a_lane_whose_machine_is_an_hour_behind_is_tried_when_its_pause_is_over(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the worker starts while the lane is stopped, and the engine told it no time yet."""
    await register(engine, "alice")
    await notify(engine, "alice", "n-1")
    await engine.lanes.open_breaker(APNS, 0.3, "503")
    now_s = time.time
    monkeypatch.setattr(time, "time", lambda: now_s() - 3600)
    sender = ScriptedSender()
    async with working(engine, [plan(APNS, sender)]):
        await eventually(lambda: sender.told == ["n-1"], timeout_s=3.0)
