"""Workers over a real engine and a scripted provider: every phone once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from hub.delivery.model import Ack
from hub.delivery.notification import Notification
from hub.delivery.receipts import RECEIPT_SECRET, verify_receipt
from hub.engine import Engine
from hub.engine.notifying import notify as notify_call
from hub.engine.revocations import Rule
from tests.support.push_worlds import (
    APNS,
    FCM,
    QUICK,
    device_id,
    events,
    notify,
    owed,
    plan,
    register,
    trace,
    working,
)
from tests.support.scripted_sender import ACCEPTED, LATER, STOPPED, ScriptedSender
from tests.support.waiting import eventually, eventually_true
from workers.push import Outcome, Verdict
from workers.worker import NoLaneWorks, Worker


async def settled(engine: Engine, user: str) -> None:
    """Wait until nothing is owed to any device of ``user``."""

    async def nothing_owed() -> bool:
        return await owed(engine, user) == 0

    await eventually_true(nothing_owed, every_s=0.01)


async def test_a_phone_that_is_away_gets_its_push_at_once(engine: Engine) -> None:
    """Due to claimed is a matter of milliseconds: the ledger wakes the worker."""
    device = await register(engine, "alice")
    sender = ScriptedSender()
    options = replace(QUICK, dispatcher=replace(QUICK.dispatcher, survey_s=60.0))
    async with working(engine, [plan(APNS, sender)], options):
        await notify(engine, "alice", "n-1")
        await eventually(lambda: sender.told == ["n-1"], timeout_s=0.3)
        await settled(engine, "alice")
    push = sender.accepted[0]
    assert push.target.device == device
    assert push.hub["kind"] == "notify"
    assert push.badge == 1
    told = await trace(engine, "alice", "n-1")
    assert [mark.event for mark in told] == ["accepted", "due", "claimed", "attempt", "pushed"]
    assert told[-1].device == device


async def test_nothing_is_pushed_to_who_is_blocked(engine: Engine) -> None:
    """It stays owed, no attempt is counted, others get theirs; and it goes out once they are let in."""
    await register(engine, "alice")
    await register(engine, "bob")
    await engine.revocations.put(Rule("user", "alice"))
    sender = ScriptedSender()
    serving = replace(QUICK.dispatcher.serving, blocked_wait_s=0.1)
    options = replace(QUICK, dispatcher=replace(QUICK.dispatcher, serving=serving))
    async with working(engine, [plan(APNS, sender)], options):
        await notify(engine, "alice", "n-1")
        await notify(engine, "bob", "n-2")
        await eventually(lambda: sender.told == ["n-2"])

        async def put_off_twice() -> bool:
            told = [mark.event for mark in await trace(engine, "alice", "n-1")]
            return told.count("retry") >= 2

        await eventually_true(put_off_twice, every_s=0.01)
        assert sender.told == ["n-2"]
        assert await owed(engine, "alice") == 1
        await engine.revocations.lift("user", "alice")
        await eventually(lambda: sender.told == ["n-2", "n-1"])
        await settled(engine, "alice")
    told = await trace(engine, "alice", "n-1")
    assert [mark.event for mark in told if mark.event in ("attempt", "pushed")] == ["attempt", "pushed"]


async def test_what_was_due_before_the_worker_came_is_sent(engine: Engine) -> None:
    """A worker that starts finds the queue as it is."""
    await register(engine, "alice")
    await notify(engine, "alice", "n-1")
    sender = ScriptedSender()
    async with working(engine, [plan(APNS, sender)]):
        await eventually(lambda: sender.told == ["n-1"])


async def test_the_receipt_in_the_push_acks_for_that_device(engine: Engine) -> None:
    """Signed with the secret that hubs find in the same engine."""
    device = await register(engine, "alice")
    written = await notify(engine, "alice", "n-1")
    sender = ScriptedSender()
    async with working(engine, [plan(APNS, sender)]):
        await eventually(lambda: bool(sender.told))
    secret = await engine.lanes.secret(RECEIPT_SECRET)
    receipt = verify_receipt(sender.accepted[0].hub["receipt"], secret, now_ms=0)
    assert (receipt.user, receipt.device, receipt.offset) == ("alice", device, written.position.offset)
    assert receipt.epoch == written.position.epoch


async def test_many_phones_all_get_it_once_and_never_more_at_a_time_than_allowed(engine: Engine) -> None:
    """Claims fill free slots and no others."""
    users = [f"user{n}" for n in range(120)]
    for user in users:
        await register(engine, user)
    sender = ScriptedSender()
    async with working(engine, [plan(APNS, sender, concurrency=7)]):
        for user in users:
            await notify(engine, user, f"to-{user}")
        await eventually(lambda: len(sender.accepted) == len(users))
        await asyncio.gather(*(settled(engine, user) for user in users))
    assert sorted(sender.told) == sorted(f"to-{user}" for user in users)
    assert sender.most_under_way == 7


async def test_threads_are_told_once_each_and_the_rest_by_a_sync(engine: Engine) -> None:
    """Four pushes at most, the oldest thread first, and one that tells the app to come and ask."""
    await register(engine, "alice")
    for number in range(1, 8):
        await notify(engine, "alice", f"n-{number}", thread="" if number > 2 else "chat")
    sender = ScriptedSender()
    async with working(engine, [plan(APNS, sender)]):
        await settled(engine, "alice")
    kinds = [(push.hub["kind"], push.hub["id"], push.hub["count"]) for push in sender.accepted]
    assert kinds == [
        ("notify", "n-2", 2),
        ("notify", "n-3", 1),
        ("notify", "n-4", 1),
        ("notify", "n-5", 1),
        ("sync", "n-7", 2),
    ]


async def test_the_push_that_waited_for_the_one_before_it_lives_the_shorter(engine: Engine) -> None:
    """What it is worth is said as of when it is sent, not as of when the row was claimed."""
    await register(engine, "alice")
    await notify(engine, "alice", "n-1", ttl_s=60)
    await notify(engine, "alice", "n-2", ttl_s=60)
    sender = ScriptedSender()
    sender.gate.clear()
    async with working(engine, [plan(APNS, sender)]):
        await eventually(lambda: len(sender.asked) == 1)
        await asyncio.sleep(1.05)
        sender.gate.set()
        await eventually(lambda: sender.told == ["n-1", "n-2"])
    first, second = sender.asked
    assert first.ttl_s - second.ttl_s in (1, 2)
    assert first.expires_at_s - second.expires_at_s in (-1, 0)


async def test_a_retry_goes_out_again_under_the_same_ids(engine: Engine) -> None:
    """So that the second one replaces the first, should the provider have taken both."""
    await register(engine, "alice")
    lost = Outcome(Verdict.LATER, "connection lost", unknown=True)
    sender = ScriptedSender(lost)
    async with working(engine, [plan(APNS, sender)]):
        await notify(engine, "alice", "n-1")
        await settled(engine, "alice")
    first, second = sender.asked
    assert (first.push_id, first.collapse_id) == (second.push_id, second.collapse_id)
    assert (await events(engine, "alice", "n-1")).count("retry") == 1


async def test_what_the_provider_asks_to_wait_is_waited(engine: Engine) -> None:
    """Retry-After is never undercut."""
    await register(engine, "alice")
    sender = ScriptedSender(Outcome(Verdict.LATER, "TooManyRequests", status=429, retry_after_s=0.4))
    async with working(engine, [plan(APNS, sender)]):
        await notify(engine, "alice", "n-1")
        await eventually(lambda: len(sender.asked) == 1)
        refused_at_s = asyncio.get_running_loop().time()
        await eventually(lambda: sender.told == ["n-1"])
        assert asyncio.get_running_loop().time() - refused_at_s >= 0.39


async def test_what_can_never_be_sent_becomes_a_dead_letter_and_stands_in_nobodys_way(engine: Engine) -> None:
    """The token stays, and the next notification goes out."""
    await register(engine, "alice")
    sender = ScriptedSender(Outcome(Verdict.DEAD, "BadCollapseId", status=400))
    async with working(engine, [plan(APNS, sender)]):
        await notify(engine, "alice", "n-1")
        await settled(engine, "alice")
        await notify(engine, "alice", "n-2")
        await eventually(lambda: sender.told == ["n-2"])
    page = await engine.ledger.dead_letters(APNS, "", 10)
    assert [(letter.notification, letter.reason) for letter in page.letters] == [("n-1", "BadCollapseId")]


async def test_a_notification_that_expires_before_its_next_attempt_is_given_up(engine: Engine) -> None:
    """No attempt is put off beyond the expiry."""
    await register(engine, "alice")
    slow = Outcome(Verdict.LATER, "ServiceUnavailable", status=503, retry_after_s=30.0)
    sender = ScriptedSender(always=slow)
    async with working(engine, [plan(APNS, sender)]):
        await notify(engine, "alice", "n-1", ttl_s=20)

        async def given_up() -> bool:
            return bool((await engine.ledger.dead_letters(APNS, "", 10)).letters)

        await eventually_true(given_up)
    assert len(sender.asked) == 1


async def test_a_dead_token_is_dropped_and_never_tried_again(engine: Engine) -> None:
    """The device stays known, without a token."""
    await register(engine, "alice")
    sender = ScriptedSender(always=Outcome(Verdict.GONE, "Unregistered", status=410))
    async with working(engine, [plan(APNS, sender)]):
        await notify(engine, "alice", "n-1")
        await settled(engine, "alice")
        await notify(engine, "alice", "n-2")
        await asyncio.sleep(0.1)
    assert len(sender.asked) == 1
    assert "dropped" in await events(engine, "alice", "n-1")


async def test_a_token_registered_after_the_provider_lost_it_stays(engine: Engine) -> None:
    """The provider's word is about the former registration."""
    await register(engine, "alice")
    sender = ScriptedSender(Outcome(Verdict.GONE, "Unregistered", status=410, gone_at_ms=1))
    async with working(engine, [plan(APNS, sender)]):
        await notify(engine, "alice", "n-1")
        await eventually(lambda: sender.told == ["n-1"])


async def test_proof_while_the_push_is_in_flight_ends_the_debt(engine: Engine) -> None:
    """Nothing is sent again, whatever the provider says in the end."""
    device = await register(engine, "alice")
    sender = ScriptedSender(Outcome(Verdict.LATER, "timeout", unknown=True))
    sender.gate.clear()
    async with working(engine, [plan(APNS, sender)]):
        written = await notify(engine, "alice", "n-1")
        await eventually(lambda: sender.under_way == 1)
        await engine.ledger.ack([Ack("alice", device, written.position.epoch, written.position.offset)])
        sender.gate.set()
        await settled(engine, "alice")
        await asyncio.sleep(0.2)
    assert len(sender.asked) == 1


async def test_a_provider_that_hangs_holds_up_no_other_lane(engine: Engine) -> None:
    """Each lane has its own slots; the one that hangs ends by its deadline and tries again."""
    await register(engine, "alice", 1, APNS)
    await register(engine, "bob", 2, FCM)
    stuck, fine = ScriptedSender(), ScriptedSender()
    stuck.gate.clear()
    async with working(engine, [plan(APNS, stuck, concurrency=1), plan(FCM, fine, concurrency=1)]):
        await notify(engine, "alice", "n-1")
        await eventually(lambda: stuck.under_way == 1)
        for number in range(5):
            await notify(engine, "bob", f"b-{number}")
            await eventually(lambda: f"b-{number}" in fine.told, timeout_s=0.5)  # noqa: B023
        assert stuck.under_way == 1
        stuck.gate.set()
        await eventually(lambda: stuck.told == ["n-1"])


async def test_an_attempt_ends_by_its_deadline_and_is_repeated(engine: Engine) -> None:
    """A provider that never answers leaves the outcome unknown, not the row lost."""
    await register(engine, "alice")
    sender = ScriptedSender()
    sender.gate.clear()
    serving = replace(QUICK.dispatcher.serving, request_deadline_s=0.1)
    options = replace(QUICK, dispatcher=replace(QUICK.dispatcher, serving=serving))
    async with working(engine, [plan(APNS, sender)], options):
        await notify(engine, "alice", "n-1")
        await eventually(lambda: len(sender.asked) == 2)
        sender.gate.set()
        await eventually(lambda: "n-1" in sender.told)
    assert "timeout" in " ".join(mark.detail for mark in await trace(engine, "alice", "n-1"))


async def test_wrong_credentials_stop_that_lane_alone(engine: Engine) -> None:
    """Named at the start; the others work."""
    await register(engine, "bob", 2, FCM)
    fine = ScriptedSender()
    broken = ScriptedSender(bad="push.apps[0].credentials holds no key")
    async with working(engine, [plan(APNS, broken), plan(FCM, fine)]) as worker:
        assert worker.broken == {APNS: "push.apps[0].credentials holds no key"}
        assert worker.lanes == [FCM]
        await notify(engine, "bob", "n-1")
        await eventually(lambda: fine.told == ["n-1"])


async def test_a_worker_with_no_lane_that_works_does_not_start(engine: Engine) -> None:
    """It says why of each."""
    worker = Worker(engine, [plan(APNS, ScriptedSender(bad="no key"))], QUICK, name="w1")
    with pytest.raises(NoLaneWorks) as raised:
        await worker.start()
    assert raised.value.broken == {APNS: "no key"}


async def test_a_provider_that_refuses_the_credentials_stops_the_lane_and_counts_no_attempt(
    engine: Engine,
) -> None:
    """While the breaker is open nothing is claimed; one probe finds out, and all goes on."""
    users = [f"user{n}" for n in range(20)]
    for user in users:
        await register(engine, user)
        await notify(engine, user, f"to-{user}")
    sender = ScriptedSender(always=STOPPED)
    async with working(engine, [plan(APNS, sender, concurrency=4)]):
        await eventually(lambda: len(sender.asked) >= 6)
        # Four at once, then single probes.
        assert sender.most_under_way <= 4
        probes = [len(sender.asked)]
        assert probes[0] < 10
        sender.always = ACCEPTED
        await eventually(lambda: len(sender.accepted) == len(users))
        await eventually_true(lambda: closed(engine))
    assert not (await engine.ledger.dead_letters(APNS, "", 100)).letters


async def closed(engine: Engine) -> bool:
    """Whether the lane goes on."""
    return (await engine.lanes.breaker(APNS)).open_until_ms == 0


async def test_a_provider_that_mostly_fails_opens_the_breaker_for_all_workers(engine: Engine) -> None:
    """Half of the answers within ten seconds, and enough of them."""
    for number in range(12):
        await register(engine, f"user{number}")
        await notify(engine, f"user{number}", f"n-{number}")
    sender = ScriptedSender(always=LATER)
    async with working(engine, [plan(APNS, sender, concurrency=12)]):

        async def is_open() -> bool:
            return not await closed(engine)

        await eventually_true(is_open)
        breaker = await engine.lanes.breaker(APNS)
        assert breaker.failures >= 1
        assert "ServiceUnavailable" in breaker.reason


async def test_a_wish_about_the_whole_lane_pauses_the_whole_lane(engine: Engine) -> None:
    """Nothing is claimed before the provider's time is over."""
    for number in range(3):
        await register(engine, f"user{number}")
    wish = Outcome(Verdict.LATER, "QUOTA_EXCEEDED", status=429, retry_after_s=0.5, whole_lane=True)
    sender = ScriptedSender(wish)
    async with working(engine, [plan(APNS, sender)]):
        await notify(engine, "user0", "n-0")
        await eventually(lambda: len(sender.asked) == 1)
        refused_at_s = asyncio.get_running_loop().time()
        await notify(engine, "user1", "n-1")
        await notify(engine, "user2", "n-2")
        await eventually(lambda: set(sender.told) >= {"n-1", "n-2"})
        assert asyncio.get_running_loop().time() - refused_at_s >= 0.45


async def test_two_workers_and_one_due_row(engine: Engine) -> None:
    """One of them gets it."""
    users = [f"user{n}" for n in range(30)]
    for user in users:
        await register(engine, user)
    sender = ScriptedSender()
    async with (
        working(engine, [plan(APNS, sender)], name="w1"),
        working(engine, [plan(APNS, sender)], name="w2"),
    ):
        for user in users:
            await notify(engine, user, f"to-{user}")
        await asyncio.gather(*(settled(engine, user) for user in users))
    assert sorted(sender.told) == sorted(f"to-{user}" for user in users)


async def test_a_worker_that_dies_before_the_provider_was_asked(engine: Engine) -> None:
    """Its claim runs out, and another worker sends: once."""
    await register(engine, "alice")
    await notify(engine, "alice", "n-1")
    batch = await engine.ledger.claim(APNS, 1, "dead")
    assert len(batch.rows) == 1
    sender = ScriptedSender()
    async with working(engine, [plan(APNS, sender)]):
        await asyncio.sleep(0.3)
        assert not sender.asked
        await eventually(lambda: sender.told == ["n-1"])
        await settled(engine, "alice")
    assert len(sender.asked) == 1


async def test_ending_at_once_abandons_nothing_where_nothing_is_held(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a hub finds its port taken: the log speaks of claims only if there are some."""
    async with working(engine, [plan(APNS, ScriptedSender())]) as worker:
        await worker.abort()
    assert "abandoned" not in caplog.text


async def test_a_worker_that_dies_after_the_provider_was_asked(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """At most one repeat, under the ids of the first."""
    await register(engine, "alice")
    dying, other = ScriptedSender(), ScriptedSender()
    dying.gate.clear()
    async with working(engine, [plan(APNS, dying)], name="dies") as worker:
        await notify(engine, "alice", "n-1")
        await eventually(lambda: dying.under_way == 1)
        await worker.abort()
    assert "abandoned" in caplog.text
    async with working(engine, [plan(APNS, other)]):
        await settled(engine, "alice")
    assert other.told == ["n-1"]
    assert other.asked[0].push_id == dying.asked[0].push_id


async def test_the_end_of_a_claim_that_ran_out_changes_nothing(engine: Engine) -> None:
    """The second worker's end counts; the first one's comes too late."""
    await register(engine, "alice")
    await notify(engine, "alice", "n-1")
    late, other = ScriptedSender(always=STOPPED), ScriptedSender()
    late.gate.clear()
    serving = replace(QUICK.dispatcher.serving, request_deadline_s=60.0)
    patient = replace(QUICK, dispatcher=replace(QUICK.dispatcher, serving=serving))
    async with working(engine, [plan(APNS, late, concurrency=1)], patient, name="late"):
        await eventually(lambda: late.under_way == 1)
        async with working(engine, [plan(APNS, other)]):
            await settled(engine, "alice")
        late.gate.set()
        await eventually(lambda: late.under_way == 0)
        await asyncio.sleep(0.05)
    assert other.told == ["n-1"]
    assert await owed(engine, "alice") == 0


async def test_stopping_finishes_what_is_held_and_claims_nothing_more(engine: Engine) -> None:
    """What the provider took is noted; what was not claimed waits for others."""
    for user in ("alice", "bob"):
        await register(engine, user)
        await notify(engine, user, f"to-{user}")
    sender = ScriptedSender()
    sender.gate.clear()
    async with working(engine, [plan(APNS, sender, concurrency=1)]) as worker:
        await eventually(lambda: sender.under_way == 1)
        stopping = asyncio.create_task(worker.stop())
        await asyncio.sleep(0.05)
        assert not stopping.done()
        sender.gate.set()
        await stopping
    assert len(sender.accepted) == 1
    assert await owed(engine, "alice") + await owed(engine, "bob") == 1
    assert not sender.running


async def test_a_second_stop_ends_at_once(engine: Engine) -> None:
    """What is held runs out, and other workers take it."""
    await register(engine, "alice")
    await notify(engine, "alice", "n-1")
    sender = ScriptedSender()
    sender.gate.clear()
    async with working(engine, [plan(APNS, sender)]) as worker:
        await eventually(lambda: sender.under_way == 1)
        first = asyncio.create_task(worker.stop())
        await asyncio.sleep(0.01)
        async with asyncio.timeout(0.5):
            await worker.stop()
            await first
    assert await owed(engine, "alice") == 1


async def test_a_large_call_is_expanded_and_pushed(engine: Engine) -> None:
    """Step by step, each user once."""
    users = [f"user{n}" for n in range(700)]
    await register(engine, "user0")
    await register(engine, "user699")
    sender = ScriptedSender()
    async with working(engine, [plan(APNS, sender)]):
        call = Notification(round(time.time() * 1000), "big", b"{}", {"title": "t"})
        answer = await notify_call(engine.ledger, engine.jobs, call, users)
        assert answer.job == "big"

        async def through() -> bool:
            status = await engine.jobs.status("big")
            return status is not None and not status.running

        await eventually_true(through)
        await eventually(lambda: len(sender.accepted) == 2)
    status = await engine.jobs.status("big")
    assert status is not None
    assert (status.users, status.done, status.failed) == (700, 700, 0)
    assert (await engine.ledger.summary("user350")).unread == 1


async def test_a_read_elsewhere_is_told_by_a_badge(engine: Engine) -> None:
    """A silent push with the count, once the reading has settled."""
    device = await register(engine, "alice")
    sender = ScriptedSender()
    async with working(engine, [plan(APNS, sender)]):
        written = await notify(engine, "alice", "n-1")
        await settled(engine, "alice")
        await engine.ledger.read("alice", written.position.epoch, written.position.offset)
        await eventually(lambda: len(sender.accepted) == 2)
    badge = sender.accepted[1]
    assert (badge.kind, badge.badge, badge.target.device) == ("badge", 0, device)


async def test_a_withdrawn_notification_is_cleared_where_it_was_pushed(engine: Engine) -> None:
    """By a push that names it."""
    await register(engine, "alice")
    sender = ScriptedSender()
    async with working(engine, [plan(APNS, sender)]):
        await notify(engine, "alice", "n-1")
        await settled(engine, "alice")
        await engine.ledger.withdraw("alice", "n-1")
        await eventually(lambda: len(sender.accepted) == 2)
        await asyncio.sleep(0.2)
    assert [(p.kind, p.hub["id"]) for p in sender.accepted] == [("notify", "n-1"), ("clear", "n-1")]
    assert sender.accepted[0].target.device == device_id(1)
