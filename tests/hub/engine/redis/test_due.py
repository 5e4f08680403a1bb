"""Workers know when something is due: by being told, by what they claim, and by looking now and then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from hub.delivery.options import DeliveryOptions
from hub.engine.redis.commands import Commands
from hub.engine.redis.due import DueTimes
from hub.engine.redis.keys import Keys
from hub.engine.redis.link import Link
from hub.engine.redis.options import RedisOptions
from hub.engine.redis.scripts import Script
from hub.errors import EngineUnavailable
from tests.hub.engine.redis.ledgers import LANE, LedgerParts, offsets_of, record, running_ledger
from tests.hub.engine.redis.links import quick
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

QUICK = DeliveryOptions(ack_wait_s=0.2, claim_s=0.4, again_s=0.1)
SOON_S = 0.3
"""How late a row that is due may be claimed."""


class Worker:
    """Claims a lane's rows as soon as they are due, and finishes them."""

    def __init__(self, parts: LedgerParts, name: str) -> None:
        self.parts, self.name = parts, name
        self.claimed: list[tuple[str, int, float]] = []
        self.claim_count = 0
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.parts.ledger.watch([LANE], lambda _lane: self._woken.set())
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            self._woken.clear()
            batch = await self.parts.ledger.claim(LANE, 10, self.name)
            self.claim_count += 1
            for row in batch.rows:
                self.claimed += [(row.user, offset, time.monotonic()) for offset in offsets_of(row)]
                await self.parts.push(row)
            wait_s = None
            if batch.next_due_ms is not None:
                wait_s = max(0.0, (batch.next_due_ms - batch.now_ms) / 1000)
            try:
                await asyncio.wait_for(self._woken.wait(), wait_s)
            except TimeoutError:
                pass


@pytest.fixture
async def parts(redis_options: RedisOptions) -> AsyncIterator[LedgerParts]:
    """A ledger by Redis' own clock, with short delays."""
    async with running_ledger(redis_options, delivery=QUICK, real_time=True) as made:
        yield made


async def notify_now(parts: LedgerParts, notification: str, user: str) -> None:
    """By the server's clock."""
    parts.clock.ms = int(time.time() * 1000)
    await parts.notify(notification, user)


async def test_what_is_due_at_once_is_claimed_at_once(parts: LedgerParts) -> None:
    """Workers hear of it; nobody has to look."""
    worker = Worker(parts, "w1")
    await worker.start()
    for number in range(8):
        user = f"user-{number}"
        await parts.register(user, token=f"token-{number}")
        started_s = time.monotonic()
        await notify_now(parts, "n1", user)
        await eventually(lambda number=number: len(worker.claimed) > number)  # type: ignore[misc]
        assert worker.claimed[-1][2] - started_s < SOON_S
    await worker.stop()


async def test_what_is_due_later_is_claimed_then(parts: LedgerParts) -> None:
    """Without asking in between."""
    worker = Worker(parts, "w1")
    await parts.register()
    await parts.hello()
    await worker.start()
    await asyncio.sleep(0)
    asked_before = worker.claim_count
    started_s = time.monotonic()
    await notify_now(parts, "n1", "ann")
    await eventually(lambda: bool(worker.claimed))
    late_s = worker.claimed[0][2] - started_s - QUICK.ack_wait_s
    assert -0.01 <= late_s < SOON_S
    assert worker.claim_count - asked_before <= 8
    await worker.stop()


async def test_several_workers_share_and_take_nothing_twice(redis_options: RedisOptions) -> None:
    """A claim is one step, whoever comes first."""
    delivery = DeliveryOptions()
    async with (
        running_ledger(redis_options, "a", delivery, real_time=True) as first,
        running_ledger(redis_options, "b", delivery, real_time=True) as second,
    ):
        workers = [Worker(first, "w1"), Worker(second, "w2")]
        for worker in workers:
            await worker.start()
        users = [f"user-{number}" for number in range(40)]
        for user in users:
            await first.register(user, token=f"token of {user}")
        await asyncio.gather(*(notify_now(first, f"n{n}", user) for user in users for n in range(3)))
        await eventually(lambda: sum(len(worker.claimed) for worker in workers) >= 120)
        taken = sorted((user, offset) for worker in workers for user, offset, _ in worker.claimed)
        assert taken == sorted((user, offset) for user in users for offset in (1, 2, 3))
        for worker in workers:
            await worker.stop()


async def test_a_wake_that_was_lost_is_made_up_for_by_looking(redis_options: RedisOptions) -> None:
    """Pub/Sub promises nothing."""
    async with running_ledger(redis_options, real_time=True) as parts:
        woken = asyncio.Event()
        due = DueTimes(parts.commands, parts.link, parts.keys, survey_every_s=0.2)
        await due.watch([LANE], lambda lane: woken.set() if lane else None)
        await parts.register()
        for tag in parts.keys.partition_tags:
            parts.link.unsubscribe(parts.keys.wake(tag))
        await notify_now(parts, "n1", "ann")
        await asyncio.wait_for(woken.wait(), 5)
        assert due.due_tags(LANE) == [parts.tag("ann")]
        await due.stop()


async def test_a_link_that_was_cut_is_made_up_for_too(shared_server: RedisServer) -> None:
    """Whatever was told meanwhile is found as soon as the link is back."""
    options = quick(shared_server.url, prefix="cut:")
    async with running_ledger(options, real_time=True) as parts:
        woken = asyncio.Event()
        due = DueTimes(parts.commands, parts.link, parts.keys, survey_every_s=600)
        await due.watch([LANE], lambda lane: woken.set() if lane else None)
        await parts.register()
        assert due.next_ms(LANE) is None
        await shared_server.kill_clients("pubsub")
        await notify_now(parts, "n1", "ann")
        await asyncio.wait_for(woken.wait(), 10)
        assert due.due_tags(LANE) == [parts.tag("ann")]
        await due.stop()


async def test_what_is_told_while_a_question_is_under_way_outlives_its_answer() -> None:
    """The answer may be of before."""
    options = RedisOptions("redis://127.0.0.1:1")
    keys = Keys(options.prefix, 4)
    commands = Commands(options, keys)
    due = DueTimes(commands, Link(options, keys, commands, "a"), keys, now_ms=lambda: 1000)
    due._lanes = frozenset([LANE])
    mark = due.mark
    due.on_message("p1", f"{LANE} 900".encode())
    due.note(LANE, "p1", 5000, mark)
    assert (due.next_ms(LANE), due.due_tags(LANE)) == (900, ["p1"])
    due.note(LANE, "p1", 5000, due.mark)
    assert (due.next_ms(LANE), due.due_tags(LANE)) == (5000, [])
    due.note(LANE, "p1", None, due.mark)
    assert due.next_ms(LANE) is None


async def test_only_what_comes_nearer_wakes(redis_options: RedisOptions) -> None:
    """A lane of somebody else's does not, nor what comes later than what is known; a job does."""
    async with running_ledger(redis_options) as parts:
        told: list[str] = []
        await parts.ledger.watch([LANE], told.append)
        await parts.register()
        await parts.devices.register("bob", "phone-of-bob-0001", record("fcm", app="other"))
        await parts.hello()
        await parts.notify("n1")
        await eventually(lambda: told == [LANE])
        await parts.notify("n2", "bob")
        await parts.notify("n3")
        tag = parts.keys.partition_tags[0]
        await parts.commands.call(tag, parts.commands.publish_verb, parts.keys.wake(tag), " 0")
        await eventually(lambda: "" in told)
        assert told == [LANE, ""]


async def test_a_claim_is_bounded_over_all_partitions(redis_options: RedisOptions) -> None:
    """A worker asks for no more than it can send."""
    async with running_ledger(redis_options) as parts:
        for number in range(30):
            await parts.register(f"user-{number}", token=f"token-{number}")
            await parts.notify("n1", f"user-{number}")
        counts = []
        while rows := await parts.due(limit=7):
            counts.append(len(rows))
        assert (sum(counts), max(counts)) == (30, 7)
        assert counts[:4] == [7, 7, 7, 7]


async def test_a_backlog_is_claimed_in_few_calls(
    redis_options: RedisOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once partitions are seen to have more than they are asked for; and all of it is claimed, once."""
    async with running_ledger(redis_options) as parts:
        users = [f"user-{number}" for number in range(200)]
        for user in users:
            await parts.register(user, token=f"token of {user}")
            await parts.notify("n1", user)
        run, asked = parts.commands.run, []

        async def counting(tag: str, script: Script, keys: Sequence[str], *rest: Any, **options: Any) -> Any:
            asked.append("hand_out" in script.text)
            return await run(tag, script, keys, *rest, **options)

        monkeypatch.setattr(parts.commands, "run", counting)
        calls, claimed = [], []
        while rows := await parts.due(limit=20):
            claimed += [row.user for row in rows]
            calls.append(sum(asked))
            asked.clear()
        assert sorted(claimed) == sorted(users)
        assert calls[:3] == [4, 2, 1]


async def test_a_claim_fails_when_nobody_answers(redis_options: RedisOptions) -> None:
    """And does not say that nothing is due."""
    async with running_ledger(redis_options) as parts:
        await parts.commands.stop()
        with pytest.raises(EngineUnavailable):
            await parts.due()
