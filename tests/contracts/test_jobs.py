"""What every queue of jobs promises: a call is noted once, and expanded by one worker at a time."""

from __future__ import annotations

import asyncio
import itertools
import zlib
from collections.abc import Sequence

import pytest

from hub.engine import Broker, Jobs
from hub.engine.jobs import JOB_STEP_USERS, MAX_JOBS, JobStep, NewNotice, NoticeStatus
from hub.errors import JOB_QUEUE_FULL, HubError
from hub.model import NO_HISTORY, HistoryFilter, HistoryPolicy, Publication
from tests.contracts.engines import World

KEEP = HistoryPolicy(size=100, ttl_s=300)
CLAIM_S = 30.0


@pytest.fixture
def jobs(ledger_world: World) -> Jobs:
    """The jobs of the world."""
    return ledger_world.engine.jobs


@pytest.fixture
def broker(ledger_world: World) -> Broker:
    """The broker of the world."""
    return ledger_world.engine.broker


def some_users(count: int) -> list[str]:
    """Users, one with an id that no text protocol likes."""
    return ["é \n user0", *(f"user{number}" for number in range(1, count))]


def notice(
    name: str = "n1", users: Sequence[str] = ("ann", "bob"), *, as_job: bool = True, body: str = "hash"
) -> NewNotice:
    """A call of notify."""
    return NewNotice(name, body, b"body \x00 of " + name.encode(), users, as_job)


async def next_step(jobs: Jobs) -> JobStep:
    """The next step, which there must be."""
    step = await jobs.claim_step(CLAIM_S)
    assert step is not None
    return step


class TestNotices:
    """One call, known by its id."""

    async def test_the_first_call_and_the_same_again(self, jobs: Jobs) -> None:
        """Another body under the same id is a conflict."""
        assert await jobs.open(notice(as_job=False)) == "first"
        assert await jobs.open(notice(as_job=False)) == "again"
        assert await jobs.open(notice(as_job=False, body="other")) == "conflict"

    async def test_a_conflict_is_told_beforehand(self, jobs: Jobs) -> None:
        """For calls that come with a publication: that must not go out without them."""
        assert not await jobs.conflicts(notice())
        await jobs.open(notice())
        assert not await jobs.conflicts(notice())
        assert await jobs.conflicts(notice(body="other"))

    async def test_its_users_are_known(self, jobs: Jobs) -> None:
        """In the order given; of an unknown one there are none."""
        await jobs.open(notice(users=some_users(1203)))
        assert await jobs.users("n1") == some_users(1203)
        assert await jobs.users("n2") == []
        assert await jobs.status("n2") is None

    async def test_whoever_expands_it_says_when_it_is_through(self, jobs: Jobs) -> None:
        """Until then it runs, and no worker gets it."""
        await jobs.open(notice(as_job=False))
        assert await jobs.status("n1") == NoticeStatus(running=True, users=2, done=0, failed=0)
        assert await jobs.claim_step(CLAIM_S) is None
        await jobs.close("n1", done=1, failed=1)
        assert await jobs.status("n1") == NoticeStatus(running=False, users=2, done=1, failed=1)
        await jobs.close("unknown", done=1, failed=1)
        assert await jobs.status("unknown") is None

    async def test_many_at_once_open_one(self, jobs: Jobs) -> None:
        """The others are told that it came before."""
        answers = await asyncio.gather(*(jobs.open(notice()) for _ in range(10)))
        assert sorted(answers) == ["again"] * 9 + ["first"]


class TestSteps:
    """A large call, by workers."""

    async def test_every_user_comes_once(self, jobs: Jobs) -> None:
        """In steps, with the body of the call, and what failed is counted."""
        users = some_users(2 * JOB_STEP_USERS + 3)
        await jobs.open(notice(users=users))
        got: list[str] = []
        failed = 0
        for number in range(3):
            step = await next_step(jobs)
            assert (step.id, step.body) == ("n1", b"body \x00 of n1")
            assert (step.cursor, len(step.users)) == (len(got), min(JOB_STEP_USERS, len(users) - len(got)))
            got += step.users
            await jobs.finish_step(step, number)
            failed += number
            assert await jobs.status("n1") == NoticeStatus(number < 2, len(users), len(got) - failed, failed)
        assert got == users
        assert await jobs.claim_step(CLAIM_S) is None

    async def test_one_worker_has_a_job_at_a_time(self, jobs: Jobs) -> None:
        """Other workers get other jobs, or nothing."""
        await jobs.open(notice("n1"))
        await jobs.open(notice("n2"))
        steps = await asyncio.gather(*(jobs.claim_step(CLAIM_S) for _ in range(3)))
        assert sorted(step.id for step in steps if step is not None) == ["n1", "n2"]

    async def test_a_step_of_a_worker_that_died_comes_again(self, jobs: Jobs, ledger_world: World) -> None:
        """After its claim; what it says too late is not counted."""
        await jobs.open(notice())
        first = await next_step(jobs)
        await ledger_world.advance(29)
        assert await jobs.claim_step(CLAIM_S) is None
        await ledger_world.advance(1.1)
        second = await next_step(jobs)
        assert (second.users, second.cursor) == (first.users, 0)
        await jobs.finish_step(first, 2)
        assert await jobs.status("n1") == NoticeStatus(running=True, users=2, done=0, failed=0)
        await jobs.finish_step(second, 0)
        await jobs.finish_step(second, 0)
        assert await jobs.status("n1") == NoticeStatus(running=False, users=2, done=2, failed=0)

    async def test_a_cancelled_job_hands_out_nothing_more(self, jobs: Jobs) -> None:
        """The step that is under way is still counted."""
        await jobs.open(notice(users=some_users(JOB_STEP_USERS + 1)))
        step = await next_step(jobs)
        await jobs.cancel("n1")
        await jobs.cancel("unknown")
        await jobs.finish_step(step, 1)
        assert await jobs.claim_step(CLAIM_S) is None
        status = NoticeStatus(running=False, users=JOB_STEP_USERS + 1, done=JOB_STEP_USERS - 1, failed=1)
        assert await jobs.status("n1") == status

    async def test_a_call_that_its_caller_expands_cannot_be_cancelled(self, jobs: Jobs) -> None:
        """It is through in a moment anyway."""
        await jobs.open(notice(as_job=False))
        await jobs.cancel("n1")
        status = await jobs.status("n1")
        assert status is not None
        assert status.running

    async def test_workers_are_woken(self, jobs: Jobs, ledger_world: World) -> None:
        """By the lane without a name."""
        woken: list[str] = []
        told = asyncio.Event()

        def on_wake(lane: str) -> None:
            woken.append(lane)
            told.set()

        await ledger_world.engine.ledger.watch(["apns:shop:production"], on_wake)
        await jobs.open(notice())
        await asyncio.wait_for(told.wait(), 10)
        assert set(woken) == {""}


class TestPublishing:
    """A publication takes a job along, in the same step."""

    async def test_both_or_neither(self, broker: Broker, jobs: Jobs) -> None:
        """One that is not published again queues nothing again."""
        for _ in range(2):
            await broker.publish("news", Publication(b"{}"), KEEP, idempotency_key="k", job=notice())
        step = await next_step(jobs)
        assert (step.id, step.users, step.body) == ("n1", ("ann", "bob"), b"body \x00 of n1")
        await jobs.finish_step(step, 0)
        assert await jobs.claim_step(CLAIM_S) is None
        assert await jobs.status("n1") == NoticeStatus(running=False, users=2, done=2, failed=0)
        assert await jobs.open(notice()) == "again"

    async def test_it_goes_with_channels_that_keep_nothing(self, broker: Broker, jobs: Jobs) -> None:
        """What is kept of the publication is no matter of the notification."""
        await broker.publish("news", Publication(b"{}"), NO_HISTORY, job=notice(users=some_users(700)))
        first = await next_step(jobs)
        await jobs.finish_step(first, 0)
        second = await next_step(jobs)
        assert [*first.users, *second.users] == some_users(700)
        assert await jobs.users("n1") == some_users(700)

    @pytest.mark.parametrize("channel", ["news", "sport", "n1"])
    async def test_it_is_known_before_anybody_claims_it(
        self, broker: Broker, jobs: Jobs, channel: str
    ) -> None:
        """Asking for it changes nothing: all of its users come, once."""
        await broker.publish(channel, Publication(b"{}"), KEEP, job=notice("n0"))
        await broker.publish(channel, Publication(b"{}"), KEEP, job=notice())
        assert await jobs.status("n1") == NoticeStatus(running=True, users=2, done=0, failed=0)
        assert await jobs.users("n1") == ["ann", "bob"]
        assert await jobs.status("unknown") is None
        assert await jobs.waiting_count() == 2
        steps = [await next_step(jobs), await next_step(jobs)]
        assert sorted(step.id for step in steps) == ["n0", "n1"]
        assert await jobs.claim_step(CLAIM_S) is None

    async def test_it_is_cancelled_before_anybody_claims_it(self, broker: Broker, jobs: Jobs) -> None:
        """Whoever takes it back asks for its users first."""
        await broker.publish("news", Publication(b"{}"), KEEP, job=notice())
        assert await jobs.users("n1") == ["ann", "bob"]
        await jobs.cancel("n1")
        assert await jobs.claim_step(CLAIM_S) is None
        assert await jobs.status("n1") == NoticeStatus(running=False, users=2, done=0, failed=0)

    async def test_jobs_that_wait_are_counted(self, jobs: Jobs) -> None:
        """Until their last step is through; calls that their callers expand are none."""
        assert await jobs.waiting_count() == 0
        await jobs.open(notice("n1"))
        await jobs.open(notice("n2", as_job=False))
        assert await jobs.waiting_count() == 1
        step = await next_step(jobs)
        assert await jobs.waiting_count() == 1
        await jobs.finish_step(step, 0)
        assert await jobs.waiting_count() == 0

    async def test_a_known_notice_is_not_queued_again(self, broker: Broker, jobs: Jobs) -> None:
        """The publication goes out, nobody is notified twice."""
        await jobs.open(notice(as_job=False))
        result = await broker.publish("news", Publication(b"{}"), KEEP, job=notice())
        assert not result.duplicate
        assert await jobs.claim_step(CLAIM_S) is None

    async def test_with_too_many_waiting_nothing_is_published(self, broker: Broker, jobs: Jobs) -> None:
        """Whoever comes back later has both."""

        async def publish(number: int) -> None:
            job = notice(f"n{number}", ["ann"])
            await broker.publish(
                "news", Publication(b"{}"), KEEP, idempotency_key=f"k{number}", version=number + 1, job=job
            )

        for number in range(MAX_JOBS):
            await publish(number)
        with pytest.raises(HubError) as refused:
            await publish(MAX_JOBS)
        assert refused.value.error == JOB_QUEUE_FULL
        page = await broker.history("news", HistoryFilter(), KEEP)
        assert page.top.offset == MAX_JOBS
        await jobs.finish_step(await next_step(jobs), 0)
        await publish(MAX_JOBS)
        page = await broker.history("news", HistoryFilter(), KEEP)
        assert page.top.offset == MAX_JOBS + 1


async def test_too_many_jobs_are_refused(jobs: Jobs) -> None:
    """Nothing is noted of the one refused. Partitions have limits of their own, so all are for one."""
    names = (name for number in itertools.count() if zlib.crc32((name := f"n{number}").encode()) % 64 == 0)
    first = list(itertools.islice(names, MAX_JOBS))
    assert set(await asyncio.gather(*(jobs.open(notice(name)) for name in first))) == {"first"}
    refused = next(names)
    assert await jobs.open(notice(refused)) == "full"
    assert await jobs.status(refused) is None
    assert await jobs.open(notice(refused, as_job=False)) == "first"
