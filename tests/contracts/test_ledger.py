"""What every ledger promises: who is owed what, when it is due, and what ends a debt."""

from __future__ import annotations

import asyncio
import json

import pytest

from hub.delivery.inbox import INBOX_POLICY, inbox_channel
from hub.delivery.model import DeadOffset, NewMark, Unproven
from hub.model import Position
from tests.contracts.engines import World
from tests.contracts.inboxes import APNS, PHONE, TABLET, Person
from tests.contracts.recording import RecordingEvents


@pytest.fixture
def ann(ledger_world: World) -> Person:
    """A user of the world."""
    return Person(ledger_world)


@pytest.fixture
def bob(ledger_world: World) -> Person:
    """Another one, whose id no key and no channel could carry as it is."""
    return Person(ledger_world, user="bob is\nnot plain é")


class TestNotify:
    """A notification enters the inbox, once."""

    async def test_it_stands_in_the_inbox(self, ann: Person) -> None:
        """A user without a device has it too."""
        first, second = await ann.notify("n1"), await ann.notify("n2", push=False)
        assert (first.position.offset, second.position.offset) == (1, 2)
        assert first.position.epoch == second.position.epoch == await ann.epoch()
        assert [json.loads(each.data)["id"] for each in await ann.inbox()] == ["n1", "n2"]
        summary = await ann.engine.ledger.summary("ann")
        assert (summary.top, summary.read, summary.unread) == (second.position, 0, 2)

    async def test_who_listens_hears_it(self, ann: Person, ledger_world: World) -> None:
        """With its position, as any other publication."""
        told = RecordingEvents()
        await ledger_world.engine.broker.start(told)
        await ledger_world.engine.broker.subscribe(inbox_channel("ann"))
        notified = await ann.notify("n1")
        (heard,) = await told.heard(1)
        assert (heard.channel, heard.position) == (inbox_channel("ann"), notified.position)
        await ledger_world.engine.broker.stop()

    async def test_the_same_call_again_writes_nothing(self, ann: Person) -> None:
        """It gets the first answer, though other things came since."""
        first = await ann.notify("n1")
        await ann.notify("n2")
        again = await ann.notify("n1")
        assert again.duplicate
        assert again.position == first.position
        assert len(await ann.inbox()) == 2

    async def test_another_body_under_the_same_id_is_a_conflict(self, ann: Person) -> None:
        """Nothing is written, and nobody is told."""
        await ann.notify("n1")
        assert (await ann.notify("n1", body="other")).conflict
        assert len(await ann.inbox()) == 1

    async def test_ids_are_known_by_user(self, ann: Person, bob: Person) -> None:
        """One call notifies many users under one id."""
        await ann.notify("n1")
        assert not (await bob.notify("n1")).duplicate

    async def test_many_at_once_write_one(self, ann: Person) -> None:
        """Whoever asks at the same time gets one answer."""
        answers = await asyncio.gather(*(ann.notify("n1") for _ in range(20)))
        assert sum(not each.duplicate for each in answers) == 1
        assert {each.position.offset for each in answers} == {1}


class TestWaiting:
    """Presence chooses how long to wait, and decides nothing (delivery 1)."""

    async def test_a_device_that_is_away_is_due_at_once(self, ann: Person) -> None:
        """Nobody is there who could prove anything."""
        await ann.register()
        await ann.notify()
        claimed = await ann.due_one()
        assert (claimed.user, claimed.device, claimed.target) == ("ann", PHONE, 1)
        assert claimed.record.token == "t1"

    async def test_one_in_the_foreground_may_prove_first(self, ann: Person) -> None:
        """Nothing is due before it had its time."""
        await ann.register()
        await ann.hello()
        await ann.notify()
        await ann.world.advance(4.9)
        assert await ann.due() == []
        await ann.world.advance(0.2)
        assert await ann.due()

    async def test_one_in_the_background_is_due_at_once(self, ann: Person) -> None:
        """It proves receipt, but its user sees nothing of it."""
        await ann.register()
        await ann.hello(state="background")
        await ann.notify()
        assert await ann.due()

    async def test_going_to_the_background_in_debt_is_due_at_once(self, ann: Person) -> None:
        """Whoever looked a moment ago does not look any more."""
        await ann.register()
        await ann.hello()
        await ann.notify()
        await ann.engine.ledger.set_state("ann", PHONE, ann.generations[PHONE], "background")
        assert await ann.due()

    async def test_one_that_dropped_has_some_time_to_come_back(self, ann: Person) -> None:
        """A tunnel is no goodbye."""
        await ann.register()
        await ann.hello()
        await ann.engine.ledger.leave("ann", PHONE, ann.generations[PHONE], "dropped")
        await ann.world.advance(3)
        await ann.notify()
        await ann.world.advance(4.9)
        assert await ann.due() == []
        await ann.world.advance(0.2)
        assert await ann.due()

    async def test_one_that_said_goodbye_is_due_at_once(self, ann: Person) -> None:
        """Nothing is to be waited for."""
        await ann.register()
        await ann.hello()
        await ann.notify()
        await ann.engine.ledger.leave("ann", PHONE, ann.generations[PHONE], "closed")
        assert await ann.due()

    async def test_coming_back_puts_the_push_off(self, ann: Person) -> None:
        """So that the replay can win."""
        await ann.register()
        await ann.hello()
        await ann.engine.ledger.leave("ann", PHONE, ann.generations[PHONE], "dropped")
        await ann.notify()
        await ann.world.advance(7)
        await ann.hello()
        await ann.world.advance(4)
        assert await ann.due() == []
        await ann.ack(1)
        await ann.world.advance(60)
        assert await ann.due() == []

    async def test_coming_and_going_does_not_put_it_off_for_ever(self, ann: Person) -> None:
        """A phone that never proves is pushed to within max_defer."""
        await ann.register()
        await ann.hello()
        await ann.notify()
        for _ in range(4):
            await ann.world.advance(4)
            assert await ann.due() == []
            await ann.engine.ledger.leave("ann", PHONE, ann.generations[PHONE], "dropped")
            await ann.hello()
        await ann.world.advance(4.1)
        assert await ann.due()

    async def test_a_clock_that_is_set_back_makes_no_longer_grace(self, ann: Person) -> None:
        """As when another server takes over, whose clock is behind."""
        await ann.register()
        await ann.hello()
        await ann.engine.ledger.leave("ann", PHONE, ann.generations[PHONE], "dropped")
        await ann.world.advance(-600)
        await ann.notify()
        await ann.world.advance(7.9)
        assert await ann.due() == []
        await ann.world.advance(0.2)
        assert await ann.due()

    async def test_what_is_not_to_be_pushed_is_never_due(self, ann: Person) -> None:
        """Neither is what expired, nor anything for a device without a token."""
        await ann.register()
        await ann.notify("n1", push=False)
        await ann.notify("n2", expires_in_s=10)
        await ann.world.advance(10)
        assert await ann.due() == []
        assert "expired" in await ann.events("n2")

    async def test_the_plan_says_what_would_happen(self, ann: Person) -> None:
        """Per device, and without doing anything."""
        await ann.register()
        await ann.register(TABLET, "t2")
        await ann.hello()
        plan = {each.device: (each.way, each.wait_ms) for each in await ann.engine.ledger.plan("ann")}
        assert plan == {PHONE: ("socket", 5000), TABLET: ("push", 0)}
        assert await ann.due() == []


class TestConnections:
    """The newest connection of a device wins."""

    async def test_an_unknown_device_is_told_so(self, ann: Person) -> None:
        """Nothing is noted of it."""
        welcome = await ann.hello()
        assert not welcome.known
        assert not welcome.registered
        assert await ann.engine.devices.view("ann") == []

    async def test_a_second_connection_names_the_first(self, ann: Person) -> None:
        """So that it can be closed."""
        await ann.register()
        first = await ann.hello(client="c1")
        second = await ann.hello(client="c2")
        assert (first.replaced, second.replaced) == (None, ("a", "c1"))
        assert second.generation > first.generation > 0
        assert second.registered

    async def test_a_late_leave_of_the_first_changes_nothing(self, ann: Person) -> None:
        """It would make a living device look gone."""
        await ann.register()
        first = await ann.hello(client="c1")
        await ann.hello(client="c2")
        await ann.engine.ledger.leave("ann", PHONE, first.generation, "closed")
        await ann.engine.ledger.set_state("ann", PHONE, first.generation, "background")
        assert (await ann.view()).state == "foreground"

    @pytest.mark.parametrize("gone_by", ["removal", "forgetting"])
    async def test_a_late_leave_of_a_row_that_is_gone_changes_nothing(
        self, ann: Person, gone_by: str
    ) -> None:
        """The same device was registered anew and connected since: that is not the one that leaves."""
        await ann.register()
        first = await ann.hello(client="c1")
        if gone_by == "removal":
            await ann.engine.devices.remove("ann", PHONE)
        else:
            await ann.engine.ledger.forget("ann")
        await ann.world.advance(0.01)
        await ann.register()
        second = await ann.hello(client="c2")
        assert second.generation > first.generation
        await ann.engine.ledger.leave("ann", PHONE, first.generation, "closed")
        await ann.engine.ledger.set_state("ann", PHONE, first.generation, "background")
        assert (await ann.view()).state == "foreground"

    async def test_a_hub_that_was_away_takes_only_its_own_up_again(self, ann: Person) -> None:
        """A device that connected elsewhere meanwhile stays there."""
        await ann.register()
        first = await ann.hello(client="c1")
        assert (await ann.hello(client="c1", resumes=first.generation)).generation == first.generation
        second = await ann.hello(client="c2")
        late = await ann.hello(client="c1", resumes=first.generation)
        assert (late.generation, late.replaced) == (second.generation, None)
        assert (await ann.hello(client="c3")).replaced == ("a", "c2")

    async def test_a_cursor_of_the_clients_own_is_proof(self, ann: Person) -> None:
        """One of another epoch is none."""
        await ann.register()
        first = await ann.notify("n1")
        await ann.notify("n2")
        welcome = await ann.hello(cursor=Position(2, "another"))
        assert welcome.acked == 0
        welcome = await ann.hello(cursor=first.position)
        assert (welcome.acked, welcome.summary.top.offset) == (1, 2)
        assert "proven" in await ann.events("n1")


class TestProof:
    """Acks close debts, from whichever connection they come."""

    async def test_it_never_falls_and_never_passes_the_top(self, ann: Person) -> None:
        """Out of order or above head, it is what it was or what there is."""
        await ann.register()
        await ann.notify("n1")
        await ann.notify("n2")
        assert (await ann.ack(2)).acked == 2
        assert (await ann.ack(1)).acked == 2
        assert (await ann.ack(99)).acked == 2
        await ann.notify("n3")
        assert (await ann.view()).owed == 1

    async def test_it_cancels_the_push(self, ann: Person) -> None:
        """What was proven in time is never due."""
        await ann.register()
        await ann.hello()
        await ann.notify()
        assert (await ann.view()).owed == 1
        await ann.ack(1)
        assert (await ann.view()).owed == 0
        await ann.world.advance(60)
        assert await ann.due() == []

    async def test_another_epoch_changes_nothing(self, ann: Person) -> None:
        """Its offsets are of another stream."""
        await ann.register()
        await ann.notify()
        acked = await ann.ack(1, epoch="another")
        assert (acked.known, acked.same_epoch, acked.acked) == (True, False, 0)
        assert acked.top.offset == 1

    async def test_an_unknown_device_proves_nothing(self, ann: Person) -> None:
        """The answer says where the inbox is."""
        await ann.notify()
        acked = await ann.ack(1)
        assert (acked.known, acked.acked, acked.top.offset) == (False, 0, 1)

    async def test_a_busy_phone_that_proves_is_not_pushed_to(self, ann: Person) -> None:
        """Each younger notification gets its own time."""
        await ann.register()
        await ann.hello()
        for number in range(1, 5):
            await ann.notify(f"n{number}")
            await ann.world.advance(3)
            await ann.ack(number - 1)
            assert await ann.due() == []

    async def test_it_is_told_with_when_it_was_written(self, ann: Person) -> None:
        """The trace shows the way over the socket."""
        await ann.register()
        await ann.hello()
        await ann.notify("n1")
        await ann.notify("n2", full_trace=False)
        await ann.ack(2, written_ms=17)
        marks = {mark.event: mark for mark in await ann.trace("n1")}
        assert list(marks) == ["accepted", "written", "proven"]
        assert marks["written"].time_ms == 17
        assert (marks["proven"].device, marks["proven"].node, marks["proven"].detail) == (PHONE, "a", "pong")
        assert await ann.events("n2") == ["accepted", "proven"]

    async def test_what_was_written_but_not_proven_is_told_at_the_end(self, ann: Person) -> None:
        """So that a half-open connection can be seen for what it was."""
        await ann.register()
        await ann.hello()
        await ann.notify()
        generation = ann.generations[PHONE]
        await ann.engine.ledger.leave("ann", PHONE, generation, "dropped", Unproven(1, 17))
        assert await ann.events() == ["accepted", "written"]


class TestClaims:
    """One worker has a row, for a while."""

    async def test_two_workers_share_no_row(self, ann: Person, bob: Person) -> None:
        """Whatever they ask for at the same time."""
        await ann.register()
        await bob.register(token="t2")
        await ann.notify()
        await bob.notify()
        batches = await asyncio.gather(*(ann.due(limit=1) for _ in range(4)))
        assert sorted(row.user for rows in batches for row in rows) == sorted(["ann", bob.user])

    async def test_a_push_ends_the_debt(self, ann: Person) -> None:
        """Nothing is due any more, and the next one is owed alone."""
        await ann.register()
        await ann.notify("n1")
        assert await ann.push(await ann.due_one())
        await ann.world.advance(60)
        assert await ann.due() == []
        await ann.notify("n2")
        (group,) = (await ann.due_one()).groups
        assert group.offsets == (2,)

    async def test_a_worker_that_dies_holds_it_until_the_claim_runs_out(self, ann: Person) -> None:
        """Then the next one tries; the first one's word does not count any more."""
        await ann.register()
        await ann.notify()
        first = await ann.due_one()
        await ann.world.advance(29)
        assert await ann.due() == []
        await ann.world.advance(1.1)
        second = await ann.due_one()
        assert second.claim != first.claim
        assert not await ann.push(first)
        assert (await ann.view()).owed == 1
        assert await ann.push(second)
        assert (await ann.view()).owed == 0

    async def test_a_late_end_counts_while_nobody_took_over(self, ann: Person) -> None:
        """What the provider took must not be sent again."""
        await ann.register()
        await ann.notify()
        claimed = await ann.due_one()
        await ann.world.advance(31)
        assert await ann.push(claimed)
        assert await ann.due() == []

    async def test_an_end_counts_once(self, ann: Person) -> None:
        """A repeated one changes nothing."""
        await ann.register()
        await ann.notify()
        claimed = await ann.due_one()
        assert await ann.push(claimed)
        assert not await ann.push(claimed)

    async def test_a_retry_waits_and_skips_what_went_out(self, ann: Person) -> None:
        """Attempts are counted until one succeeds."""
        await ann.register()
        await ann.notify("n1")
        await ann.notify("n2")
        claimed = await ann.due_one()
        await ann.finish(claimed, sent=(2,), retry_ms=7_000)
        await ann.world.advance(6.9)
        assert await ann.due() == []
        await ann.world.advance(0.2)
        claimed = await ann.due_one()
        assert ([group.offsets for group in claimed.groups], claimed.attempts) == ([(1,)], 1)
        await ann.push(claimed)
        assert (await ann.view()).owed == 0
        await ann.notify("n3")
        assert (await ann.due_one()).attempts == 0

    async def test_what_comes_while_a_provider_asked_to_wait_waits_too(self, ann: Person) -> None:
        """It would meet the same, and use up the attempts of what waits."""
        await ann.register()
        await ann.notify("n1")
        await ann.finish(await ann.due_one(), retry_ms=7_000)
        await ann.notify("n2")
        await ann.world.advance(6.9)
        assert await ann.due() == []
        await ann.world.advance(0.2)
        claimed = await ann.due_one()
        assert ([group.offsets for group in claimed.groups], claimed.attempts) == ([(1,), (2,)], 1)

    async def test_what_was_not_tried_is_put_off_without_an_attempt(self, ann: Person) -> None:
        """However often; attempts before it still count, and what comes meanwhile is looked at at once."""
        await ann.register()
        await ann.notify("n1")
        await ann.finish(await ann.due_one(), retry_ms=1_000)
        await ann.world.advance(1.1)
        for _ in range(3):
            claimed = await ann.due_one()
            assert claimed.attempts == 1
            assert await ann.finish(claimed, put_off_ms=7_000)
            await ann.world.advance(6.9)
            assert await ann.due() == []
            await ann.world.advance(0.2)
        await ann.finish(await ann.due_one(), sent=(1,))
        await ann.notify("n2")
        await ann.finish(await ann.due_one(), put_off_ms=60_000)
        await ann.notify("n3")
        claimed = await ann.due_one()
        assert ([group.offsets for group in claimed.groups], claimed.attempts) == ([(2,), (3,)], 0)

    async def test_what_comes_after_the_trouble_begins_anew(self, ann: Person) -> None:
        """A proof closed what waited: neither its wait nor its attempts are the next one's."""
        await ann.register()
        await ann.notify("n1")
        await ann.finish(await ann.due_one(), retry_ms=60_000)
        await ann.ack(1)
        await ann.notify("n2")
        assert (await ann.due_one()).attempts == 0

    async def test_what_came_meanwhile_is_due_after_it(self, ann: Person) -> None:
        """A row under a claim is left alone."""
        await ann.register()
        await ann.notify("n1")
        claimed = await ann.due_one()
        await ann.notify("n2")
        assert await ann.due() == []
        await ann.push(claimed)
        assert await ann.due() == []
        await ann.world.advance(1.1)
        (group,) = (await ann.due_one()).groups
        assert group.ids == ("n2",)

    async def test_a_proof_meanwhile_ends_it(self, ann: Person) -> None:
        """The worker's retry finds nothing left."""
        await ann.register()
        await ann.notify()
        claimed = await ann.due_one()
        await ann.ack(1)
        assert await ann.finish(claimed, retry_ms=1_000)
        await ann.world.advance(60)
        assert await ann.due() == []

    async def test_one_push_per_thread_and_one_for_the_rest(self, ann: Person) -> None:
        """Oldest thread first, its newest entry with its data, at most four."""
        await ann.register()
        for number, thread in enumerate(["a", "", "b", "a", "c", "d", ""], start=1):
            await ann.notify(f"n{number}", thread=thread)
        claimed = await ann.due_one()
        assert [group.ids for group in claimed.groups] == [("n1", "n4"), ("n2",), ("n3",), ("n5",)]
        newest = claimed.groups[0].newest
        assert (newest.offset, json.loads(newest.data)["id"], newest.terms.thread) == (4, "n4", "a")
        assert newest.terms.details == b'{"priority":"high"}'
        assert [(entry.offset, entry.data) for entry in claimed.rest] == [(6, b""), (7, b"")]
        assert claimed.unread == 7

    async def test_lanes_do_not_meet(self, ann: Person) -> None:
        """A dead provider fills nobody else's claims."""
        await ann.register(PHONE, "t1", "apns")
        await ann.register(TABLET, "t2", "fcm")
        await ann.notify()
        assert [row.device for row in await ann.due(APNS)] == [PHONE]
        assert [row.device for row in await ann.due("fcm:shop:production")] == [TABLET]

    async def test_a_batch_says_when_to_come_again(self, ann: Person) -> None:
        """By the engine's own clock."""
        await ann.register()
        await ann.hello()
        await ann.notify()
        batch = await ann.engine.ledger.claim(APNS, 10, "w1")
        assert batch.rows == ()
        assert batch.next_due_ms == batch.now_ms + 5_000

    async def test_the_oldest_due_time_is_known(self, ann: Person) -> None:
        """Nothing that is due later counts."""
        await ann.register()
        assert await ann.engine.ledger.oldest_due_ms(APNS) is None
        await ann.hello()
        await ann.notify()
        due_ms = await ann.now_ms() + 5_000
        assert await ann.engine.ledger.oldest_due_ms(APNS) is None
        await ann.world.advance(8)
        assert await ann.engine.ledger.oldest_due_ms(APNS) == due_ms

    async def test_devices_that_are_owed_something_are_counted(self, ann: Person) -> None:
        """Those whose time has not come included; once told, no more."""
        await ann.register()
        assert await ann.engine.ledger.waiting_count(APNS) == 0
        await ann.hello()
        await ann.notify()
        assert await ann.engine.ledger.waiting_count(APNS) == 1
        assert await ann.engine.ledger.waiting_count("fcm:shop:production") == 0
        await ann.engine.ledger.forget(ann.user)
        assert await ann.engine.ledger.waiting_count(APNS) == 0

    async def test_who_watches_is_woken(self, ann: Person) -> None:
        """When something of a watched lane may be due earlier."""
        woken: list[str] = []
        told = asyncio.Event()

        def on_wake(lane: str) -> None:
            woken.append(lane)
            told.set()

        await ann.engine.ledger.watch([APNS], on_wake)
        await ann.register(PHONE, "t1", "apns")
        await ann.register(TABLET, "t2", "fcm")
        await ann.notify()
        await asyncio.wait_for(told.wait(), 10)
        assert set(woken) == {APNS}

    async def test_the_trace_tells_the_way_of_a_push(self, ann: Person) -> None:
        """Due, claimed by whom, and what became of it."""
        await ann.register()
        await ann.notify("n1")
        claimed = await ann.due_one()
        await ann.finish(claimed, sent=(1,), marks=(NewMark("n1", "pushed", "200"),))
        assert await ann.events() == ["accepted", "due", "claimed", "pushed"]
        pushed = (await ann.trace())[-1]
        assert (pushed.device, pushed.node, pushed.detail) == (PHONE, "w1", "200")


class TestTokens:
    """A token that the provider does not know any more."""

    async def test_it_is_dropped_with_what_was_owed(self, ann: Person) -> None:
        """The device stays, and its app may register again: nothing old is pushed then."""
        await ann.register()
        await ann.notify("n1")
        claimed = await ann.due_one()
        await ann.finish(claimed, gone=claimed.token_hash)
        assert (await ann.view()).token_hash == ""
        assert not (await ann.hello()).registered
        await ann.notify("n2")
        await ann.register()
        await ann.world.advance(60)
        assert await ann.due() == []

    async def test_a_newer_one_stays(self, ann: Person) -> None:
        """Where the token was replaced, or registered again, while the push was on its way."""
        await ann.register()
        await ann.notify()
        claimed = await ann.due_one()
        await ann.register(token="t2")
        await ann.finish(claimed, gone=claimed.token_hash, retry_ms=0)
        claimed = await ann.due_one()
        assert claimed.record.token == "t2"
        await ann.finish(claimed, gone=claimed.token_hash, gone_at_ms=claimed.token_updated_ms - 1)
        assert (await ann.hello()).registered


class TestReading:
    """The watermark is one for all devices (delivery 2, READ)."""

    async def test_it_acks_on_every_device(self, ann: Person) -> None:
        """What was read on one is not pushed to another."""
        await ann.register()
        await ann.register(TABLET, "t2")
        await ann.hello()
        await ann.notify("n1")
        await ann.notify("n2")
        result = await ann.engine.ledger.read("ann", await ann.epoch(), 1)
        assert (result.same_epoch, result.summary.read, result.summary.unread) == (True, 1, 1)
        assert [(await ann.view(device)).acked for device in (PHONE, TABLET)] == [1, 1]
        assert "read" in await ann.events("n1")
        (claimed,) = await ann.due()
        assert (claimed.device, claimed.groups[0].ids, claimed.badge) == (TABLET, ("n2",), None)

    async def test_it_never_goes_back(self, ann: Person) -> None:
        """And an offset of another epoch moves nothing."""
        await ann.notify("n1")
        await ann.notify("n2")
        epoch = await ann.epoch()
        await ann.engine.ledger.read("ann", epoch, 2)
        assert (await ann.engine.ledger.read("ann", epoch, 1)).summary.read == 2
        other = await ann.engine.ledger.read("ann", "another", 2)
        assert (other.same_epoch, other.summary.read) == (False, 2)

    async def test_who_reads_nothing_is_not_kept(self, ann: Person) -> None:
        """Else whoever asks for users without end would fill the memory with them."""
        epoch = await ann.epoch()
        result = await ann.engine.ledger.read("ann", epoch, 5)
        assert (result.same_epoch, result.summary.read) == (True, 0)
        await ann.world.advance(3_600)
        assert await ann.epoch() != epoch

    async def test_who_listens_is_told_without_a_position(self, ann: Person, ledger_world: World) -> None:
        """It is no part of the history."""
        await ann.notify("n1")
        await ann.notify("n2")
        told = RecordingEvents()
        await ledger_world.engine.broker.start(told)
        await ledger_world.engine.broker.subscribe(inbox_channel("ann"))
        epoch = await ann.epoch()
        await ann.engine.ledger.read("ann", epoch, 1)
        (heard,) = await told.heard(1)
        assert json.loads(heard.publication.data) == {
            "type": "read",
            "epoch": epoch,
            "offset": 1,
            "unread": 1,
        }
        assert (heard.publication.offset, heard.position) == (0, None)
        assert len(await ann.inbox()) == 2
        await ledger_world.engine.broker.stop()

    async def test_a_screen_that_shows_it_gets_a_new_badge(self, ann: Person) -> None:
        """A little later, once, and with the count as of then."""
        await ann.register()
        await ann.notify("n1")
        await ann.notify("n2")
        await ann.push(await ann.due_one())
        await ann.engine.ledger.read("ann", await ann.epoch(), 1)
        await ann.world.advance(2.9)
        assert await ann.due() == []
        await ann.world.advance(0.2)
        claimed = await ann.due_one()
        assert (claimed.badge, claimed.groups) == (1, ())
        await ann.finish(claimed, badge_sent=1)
        await ann.world.advance(60)
        assert await ann.due() == []

    async def test_one_that_was_read_while_on_its_way_gets_a_new_badge_too(self, ann: Person) -> None:
        """The worker's end comes after the reading; the screen shows what the worker sent."""
        await ann.register()
        await ann.notify("n1")
        await ann.notify("n2")
        claimed = await ann.due_one()
        await ann.engine.ledger.read("ann", await ann.epoch(), 1)
        await ann.push(claimed)
        await ann.world.advance(1.1)
        again = await ann.due_one()
        assert (again.badge, again.groups) == (1, ())
        await ann.finish(again, badge_sent=1)
        await ann.world.advance(60)
        assert await ann.due() == []

    async def test_one_in_somebodys_hand_needs_none(self, ann: Person) -> None:
        """It was told over its socket."""
        await ann.register()
        await ann.notify("n1")
        claimed = await ann.due_one()
        await ann.hello()
        await ann.engine.ledger.read("ann", await ann.epoch(), 1)
        await ann.push(claimed)
        await ann.world.advance(60)
        assert await ann.due() == []

    async def test_who_connects_needs_no_badge_push(self, ann: Person) -> None:
        """The reply tells it."""
        await ann.register()
        await ann.notify()
        await ann.push(await ann.due_one())
        await ann.engine.ledger.read("ann", await ann.epoch(), 1)
        await ann.hello()
        await ann.world.advance(60)
        assert await ann.due() == []

    async def test_opening_leaves_a_mark(self, ann: Person) -> None:
        """For a notification that is known, from any device."""
        await ann.notify()
        assert await ann.engine.ledger.opened("ann", PHONE, "n1")
        assert not await ann.engine.ledger.opened("ann", PHONE, "n2")
        assert await ann.events() == ["accepted", "opened"]


class TestWithdrawing:
    """A notification is taken back."""

    async def test_it_is_owed_no_more(self, ann: Person) -> None:
        """Neither does it count as unread; its place in the inbox stays."""
        await ann.register()
        await ann.notify("n1")
        await ann.notify("n2")
        assert await ann.engine.ledger.withdraw("ann", "n1")
        assert [json.loads(each.data) for each in await ann.inbox()] == [
            {"type": "withdrawn", "id": "n1"},
            {"type": "notification", "id": "n2"},
        ]
        assert [each.offset for each in await ann.inbox()] == [1, 2]
        assert (await ann.engine.ledger.summary("ann")).unread == 1
        (group,) = (await ann.due_one()).groups
        assert group.ids == ("n2",)

    async def test_a_withdrawn_one_keeps_its_time(self, ann: Person) -> None:
        """It goes when it would have gone, and the rest stays what it was."""
        for number in range(3):
            await ann.notify(f"n{number}")
            await ann.world.advance(60)
        before = await ann.inbox()
        await ann.engine.ledger.withdraw("ann", "n1")
        after = await ann.inbox()
        assert [each.time_ms for each in after] == [each.time_ms for each in before]
        assert (after[0], after[2]) == (before[0], before[2])
        assert (await ann.notify("n9")).position.offset == 4

    async def test_it_happens_once(self, ann: Person) -> None:
        """An unknown one is not withdrawn at all."""
        await ann.notify("n1")
        assert await ann.engine.ledger.withdraw("ann", "n1")
        assert not await ann.engine.ledger.withdraw("ann", "n1")
        assert not await ann.engine.ledger.withdraw("ann", "n2")
        assert (await ann.notify("n1")).duplicate

    async def test_a_screen_that_shows_it_is_cleared(self, ann: Person) -> None:
        """Until a worker said that it was."""
        await ann.register()
        await ann.notify("n1")
        await ann.push(await ann.due_one())
        await ann.engine.ledger.withdraw("ann", "n1")
        claimed = await ann.due_one()
        assert (claimed.clear, claimed.groups) == (("n1",), ())
        await ann.finish(claimed, cleared=("n1",))
        await ann.world.advance(60)
        assert await ann.due() == []

    async def test_a_screen_is_cleared_of_what_the_inbox_has_no_more(self, ann: Person) -> None:
        """So many came since that its place in the inbox is gone."""
        await ann.register()
        await ann.notify("n1")
        await ann.push(await ann.due_one())
        for number in range(INBOX_POLICY.size):
            await ann.notify(f"m{number}", push=False)
        assert await ann.engine.ledger.withdraw("ann", "n1")
        assert (await ann.due_one()).clear == ("n1",)

    async def test_one_that_was_just_on_its_way_is_cleared_too(self, ann: Person) -> None:
        """The worker's end comes after the withdrawal."""
        await ann.register()
        await ann.notify("n1")
        claimed = await ann.due_one()
        await ann.engine.ledger.withdraw("ann", "n1")
        await ann.push(claimed)
        await ann.world.advance(1.1)
        assert (await ann.due_one()).clear == ("n1",)


class TestDeadLetters:
    """What can never be sent is put aside."""

    async def _one(self, ann: Person) -> str:
        await ann.register()
        await ann.notify("n1")
        claimed = await ann.due_one()
        await ann.finish(claimed, dead=(DeadOffset(1, "n1", "too odd"),))
        page = await ann.engine.ledger.dead_letters(APNS, "", 10)
        (letter,) = page.letters
        assert (letter.user, letter.device, letter.notification) == ("ann", PHONE, "n1")
        assert (letter.offset, letter.reason, letter.lane) == (1, "too odd", APNS)
        assert page.cursor == ""
        return letter.id

    async def test_they_are_owed_no_more(self, ann: Person) -> None:
        """One that was put aside does not come again."""
        await self._one(ann)
        await ann.world.advance(60)
        assert await ann.due() == []
        assert (await ann.view()).owed == 0

    async def test_a_replay_owes_them_again(self, ann: Person) -> None:
        """And the letter is gone."""
        letter = await self._one(ann)
        assert await ann.engine.ledger.replay_dead_letters([letter, "unknown"]) == 1
        assert (await ann.engine.ledger.dead_letters(None, "", 10)).letters == ()
        claimed = await ann.due_one()
        assert claimed.groups[0].ids == ("n1",)
        await ann.push(claimed)
        await ann.world.advance(60)
        assert await ann.due() == []

    async def test_what_was_proven_meanwhile_is_not_owed_again(self, ann: Person) -> None:
        """A replay is no reason to say it twice."""
        letter = await self._one(ann)
        await ann.ack(1)
        assert await ann.engine.ledger.replay_dead_letters([letter]) == 0
        assert await ann.due() == []

    @pytest.mark.parametrize("passed_s", [0.0, -2.0])
    async def test_one_more_after_all_were_dropped(self, ann: Person, passed_s: float) -> None:
        """In the same moment, and by a clock that was set back: it gets a name that none had."""
        letter = await self._one(ann)
        await ann.engine.ledger.drop_dead_letters([letter])
        await ann.world.advance(passed_s)
        await ann.notify("n2")
        assert await ann.finish(await ann.due_one(), dead=(DeadOffset(2, "n2", "too odd"),))
        (other,) = (await ann.engine.ledger.dead_letters(APNS, "", 10)).letters
        assert (other.notification, other.id != letter) == ("n2", True)
        await ann.world.advance(60)
        assert await ann.due() == []

    @pytest.mark.parametrize("digits", ["9" * 20, "9" * 5_000, "²"], ids=["large", "endless", "raised"])
    @pytest.mark.parametrize("form", ["{}", "{}-0:p0:%s", "1-{}:p0:%s"])
    async def test_a_number_that_no_letter_can_have_is_no_letter(
        self, ann: Person, digits: str, form: str
    ) -> None:
        """Whoever types one gets no error, and nothing happens."""
        await self._one(ann)
        ledger, odd = ann.engine.ledger, form.format(digits).replace("%s", APNS)
        assert await ledger.replay_dead_letters([odd]) == 0
        assert await ledger.drop_dead_letters([odd]) == 0
        await ledger.dead_letters(APNS, odd, 10)
        assert len((await ledger.dead_letters(APNS, "", 10)).letters) == 1

    async def test_they_can_be_dropped(self, ann: Person) -> None:
        """How many it were is told."""
        letter = await self._one(ann)
        assert await ann.engine.ledger.drop_dead_letters([letter, "unknown"]) == 1
        assert await ann.engine.ledger.drop_dead_letters([letter]) == 0

    async def test_they_are_read_in_pages(self, ann: Person) -> None:
        """Of one lane or of all, each once."""
        await ann.register()
        for number in range(1, 6):
            await ann.notify(f"n{number}")
        claimed = await ann.due_one()
        dead = tuple(DeadOffset(number, f"n{number}", "odd") for number in range(1, 6))
        await ann.finish(claimed, dead=dead)
        for lane in (APNS, None):
            found: list[str] = []
            cursor, pages = "", 0
            while True:
                page = await ann.engine.ledger.dead_letters(lane, cursor, 2)
                found += [letter.notification for letter in page.letters]
                cursor, pages = page.cursor, pages + 1
                if not cursor:
                    break
                assert pages < 10
            assert found == [f"n{number}" for number in range(1, 6)]
        assert (await ann.engine.ledger.dead_letters("fcm:shop:production", "", 10)).letters == ()


class TestForgetting:
    """Nothing of a user is left."""

    async def test_all_is_gone(self, ann: Person, bob: Person) -> None:
        """Others keep what they have; the token may be used by anybody."""
        await ann.register()
        await bob.register(token="t2")
        await ann.notify()
        await bob.notify()
        epoch = await ann.epoch()
        await ann.engine.ledger.forget("ann")
        summary = await ann.engine.ledger.summary("ann")
        assert (summary.top.offset, summary.unread) == (0, 0)
        assert summary.top.epoch != epoch
        assert await ann.trace() == []
        assert await ann.engine.devices.view("ann") == []
        assert [row.user for row in await ann.due()] == [bob.user]
        assert not (await ann.notify()).duplicate
