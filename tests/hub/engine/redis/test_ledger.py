"""What the ledger owes to being in Redis: streams that leap or are lost, nodes that died, its keys."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hub.delivery.inbox import INBOX_POLICY, inbox_channel
from hub.delivery.model import DeadOffset, Finish, Unproven
from hub.delivery.options import MAX_TRACE_MARKS
from hub.engine.redis.options import RedisOptions
from hub.model import HistoryFilter
from tests.hub.engine.redis.ledgers import (
    LANE,
    NODE,
    PHONE,
    TABLET,
    LedgerParts,
    offsets_of,
    running_ledger,
)
from tests.support.redis_server import RedisServer

LEAP = 1_000_000


@pytest.fixture
async def parts(redis_options: RedisOptions) -> AsyncIterator[LedgerParts]:
    """A ledger on an empty Redis of either kind."""
    async with running_ledger(redis_options) as made:
        yield made


class TestALeapOfTheStream:
    """Another term: offsets go on far above, epochs change, and debts go on (delivery 2)."""

    async def test_debts_of_before_are_owed_still(self, parts: LedgerParts) -> None:
        """And the proof of the new epoch closes them with the new ones."""
        await parts.register()
        first = await parts.notify("n1")
        await parts.raise_term("ann")
        second = await parts.notify("n2")
        assert second.position.offset == 1 + LEAP + 1
        assert second.position.epoch != first.position.epoch
        (claimed,) = await parts.due()
        assert offsets_of(claimed) == [1, LEAP + 2]
        acked = await parts.ack(second.position.offset, second.position.epoch)
        assert acked.acked == LEAP + 2
        assert (await parts.devices.view("ann"))[0].owed == 0

    async def test_a_proof_of_the_old_epoch_changes_nothing(self, parts: LedgerParts) -> None:
        """Nobody knows whether its offset means the same."""
        await parts.register()
        first = await parts.notify("n1")
        await parts.raise_term("ann")
        acked = await parts.ack(1, first.position.epoch)
        assert (acked.same_epoch, acked.acked, acked.top.offset) == (False, 0, 1 + LEAP)
        assert not (await parts.ledger.read("ann", first.position.epoch, 1)).same_epoch
        assert len(await parts.due()) == 1

    async def test_unread_counts_entries_and_not_offsets(self, parts: LedgerParts) -> None:
        """Between two of them there may be a leap, or one that was taken back."""
        epoch = ""
        for number in range(6):
            if number == 3:
                await parts.raise_term("ann")
            epoch = (await parts.notify(f"n{number}")).position.epoch
        assert (await parts.ledger.summary("ann")).unread == 6
        await parts.ledger.withdraw("ann", "n1")
        await parts.ledger.withdraw("ann", "n4")
        assert (await parts.ledger.summary("ann")).unread == 4
        assert (await parts.ledger.read("ann", epoch, 2)).summary.unread == 3
        assert (await parts.ledger.read("ann", epoch, 3 + LEAP)).summary.unread == 2
        assert (await parts.ledger.read("ann", epoch, 4 + LEAP)).summary.unread == 1
        assert (await parts.ledger.read("ann", epoch, 5 + LEAP)).summary.unread == 1
        assert (await parts.ledger.read("ann", epoch, 6 + LEAP)).summary.unread == 0


class TestALostStream:
    """Another birth: what Redis forgot is owed to nobody."""

    async def lose_inbox(self, parts: LedgerParts, user: str = "ann") -> None:
        """Meta and log are gone, the rows are not."""
        tag, channel = parts.tag(user), inbox_channel(user)
        await parts.order(user, "DEL", parts.keys.meta(tag, channel), parts.keys.log(tag, channel))

    async def test_old_debts_end_and_new_ones_begin(self, parts: LedgerParts) -> None:
        """A device's offsets begin at nothing in a stream that begins anew."""
        await parts.register()
        for number in range(5):
            await parts.notify(f"n{number}")
        (claimed,) = await parts.due()
        assert await parts.push(claimed)
        await parts.notify("late")
        await self.lose_inbox(parts)
        assert await parts.due() == []
        assert (await parts.hello()).acked == 0
        await parts.notify("anew")
        parts.clock.advance(6)
        (claimed,) = await parts.due()
        assert offsets_of(claimed) == [1]

    async def test_a_claim_of_the_lost_stream_settles_nothing(self, parts: LedgerParts) -> None:
        """Its offsets would mean others now."""
        await parts.register()
        await parts.notify("n1")
        (claimed,) = await parts.due()
        await self.lose_inbox(parts)
        await parts.notify("n2")
        assert not await parts.push(claimed)
        parts.clock.advance(31)
        (anew,) = await parts.due()
        assert anew.groups[0].newest.terms.id == "n2"

    async def test_the_read_watermark_begins_anew(self, parts: LedgerParts) -> None:
        """It was of the lost stream."""
        await parts.register()
        notified = await parts.notify("n1")
        await parts.ledger.read("ann", notified.position.epoch, 1)
        await self.lose_inbox(parts)
        await parts.notify("n2")
        summary = await parts.ledger.summary("ann")
        assert (summary.read, summary.unread) == (0, 1)


class TestNodes:
    """Who is connected to a dead node is connected to nothing."""

    async def test_a_device_on_a_dead_node_is_due_at_once(self, parts: LedgerParts) -> None:
        """Whatever its row says."""
        await parts.register()
        await parts.hello()
        parts.nodes.alive = {"other"}
        await parts.notify()
        assert len(await parts.due()) == 1
        (planned,) = await parts.ledger.plan("ann")
        assert (planned.way, planned.wait_ms) == ("push", 0)
        assert (await parts.devices.view("ann"))[0].state == "offline"

    async def test_a_device_on_a_living_one_may_prove_first(self, parts: LedgerParts) -> None:
        """For as long as it was promised."""
        await parts.register()
        await parts.hello()
        parts.nodes.alive = {"other", NODE}
        await parts.notify()
        assert await parts.due() == []
        parts.clock.advance(5)
        assert len(await parts.due()) == 1

    async def test_a_node_whose_name_is_part_of_another_is_not_that(self, parts: LedgerParts) -> None:
        """Names are compared as a whole."""
        await parts.register()
        await parts.hello()
        parts.nodes.alive = {NODE + "b"}
        await parts.notify()
        assert len(await parts.due()) == 1


class TestTraces:
    """What became of a notification, and no more of it than is useful."""

    async def test_a_node_that_is_younger_than_what_is_known_of_nodes_lives(self, parts: LedgerParts) -> None:
        """A hub that was started just now is not among the living yet, and its phones are in front."""
        await parts.register()
        parts.nodes.alive, parts.nodes.age_ms = {"other"}, 900
        await parts.hello()
        parts.clock.advance(0.5)
        await parts.notify()
        assert await parts.due() == []
        parts.clock.advance(parts.options.ack_wait_s)
        assert len(await parts.due()) == 1

    async def test_a_node_that_should_have_been_seen_is_dead(self, parts: LedgerParts) -> None:
        """Its phone was heard of before the living were read."""
        await parts.register()
        parts.nodes.alive, parts.nodes.age_ms = {"other"}, 400
        await parts.hello()
        parts.clock.advance(0.5)
        await parts.notify()
        assert len(await parts.due()) == 1

    async def test_only_the_newest_marks_are_kept(self, parts: LedgerParts) -> None:
        """A user with very many devices and retries does not fill Redis."""
        await parts.notify()
        for number in range(MAX_TRACE_MARKS + 5):
            await parts.ledger.opened("ann", f"device-{number:010}", "n1")
        marks = await parts.ledger.trace("ann", "n1")
        assert len(marks) == MAX_TRACE_MARKS
        assert marks[-1].device == f"device-{MAX_TRACE_MARKS + 4:010}"

    async def test_what_was_written_and_not_proven_is_marked_at_the_end(self, parts: LedgerParts) -> None:
        """At the time of the writing, by the node that wrote."""
        await parts.register()
        generation = (await parts.hello()).generation
        await parts.notify("n1")
        await parts.notify("n2", full_trace=False)
        written_ms = parts.clock.ms - 5
        await parts.ledger.leave("ann", PHONE, generation, "dropped", Unproven(2, written_ms))
        _, written = await parts.ledger.trace("ann", "n1")
        assert (written.event, written.time_ms, written.node) == ("written", written_ms, NODE)
        assert len(await parts.ledger.trace("ann", "n2")) == 1


class TestDeadLetters:
    """Letters of many users, wherever these are."""

    async def bury(self, parts: LedgerParts, user: str) -> None:
        """A notification that cannot be sent."""
        await parts.register(user, token=f"token-{user}")
        await parts.notify("n1", user)
        for claimed in await parts.due():
            dead = (DeadOffset(1, "n1", "PayloadTooLarge"),)
            await parts.ledger.finish(
                Finish(claimed.user, claimed.device, LANE, claimed.claim, dead=dead, node="w1")
            )

    async def test_pages_are_in_the_order_of_time_over_all_partitions(self, parts: LedgerParts) -> None:
        """Each letter once, however small the pages."""
        users = [f"user-{number}" for number in range(9)]
        for user in users:
            await self.bury(parts, user)
            parts.clock.advance(1)
        found: list[str] = []
        cursor = ""
        while True:
            page = await parts.ledger.dead_letters(None, cursor, 2)
            found += [letter.user for letter in page.letters]
            cursor = page.cursor
            if not cursor:
                break
        assert found == users

    async def test_they_are_gone_after_seven_days(self, parts: LedgerParts) -> None:
        """Whoever did not look by then does not want to know."""
        await self.bury(parts, "ann")
        parts.clock.advance(7 * 86_400 + 1)
        assert (await parts.ledger.dead_letters(LANE, "", 10)).letters == ()

    async def test_an_id_that_is_none_is_passed_over(self, parts: LedgerParts) -> None:
        """As is one of another installation."""
        assert await parts.ledger.replay_dead_letters(["", "nonsense", "1-0:p999:" + LANE]) == 0
        assert await parts.ledger.drop_dead_letters(["1-0:p0", "x-y:p0:" + LANE]) == 0


class TestKeys:
    """Everything of a user is in one partition, and goes."""

    async def test_all_that_expires_has_an_end(self, parts: LedgerParts) -> None:
        """Only terms and due rows have none; these go with what is owed."""
        await parts.register()
        await parts.hello()
        await parts.notify()
        parts.clock.advance(6)
        (claimed,) = await parts.due()
        dead = (DeadOffset(1, "n1", "no"),)
        await parts.ledger.finish(Finish("ann", PHONE, LANE, claimed.claim, dead=dead))
        endless = set()
        for name in await parts.names():
            tag = name.partition("{")[2].partition("}")[0]
            if await parts.commands.call(tag, "TTL", name) == -1:
                endless.add(name)
        assert endless == set()

    async def test_a_user_who_is_forgotten_leaves_nothing(self, parts: LedgerParts) -> None:
        """But for ids that the inbox knows no more."""
        await parts.register()
        await parts.register(device=TABLET, token="token-2")
        await parts.hello()
        notified = await parts.notify("n1")
        await parts.notify("n2")
        await parts.ledger.withdraw("ann", "n2")
        await parts.ledger.read("ann", notified.position.epoch, 1)
        await parts.ledger.forget("ann")
        assert await parts.names() == set()

    async def test_an_inbox_is_read_as_any_stream(self, parts: LedgerParts) -> None:
        """What the ledger keeps beside an entry disturbs nobody."""
        await parts.notify("n1")
        page = await parts.broker.history(inbox_channel("ann"), HistoryFilter(limit=-1), INBOX_POLICY)
        (publication,) = page.publications
        assert (publication.offset, publication.data) == (1, b'{"type":"notification","id":"n1"}')
        assert page.top == (await parts.ledger.summary("ann")).top

    async def test_an_epoch_that_a_device_was_told_stays(self, parts: LedgerParts) -> None:
        """Though nothing was ever published: a fresh phone would be told that it missed something."""
        await parts.register()
        epoch = (await parts.hello()).summary.top.epoch
        parts.clock.advance(86_400)
        assert (await parts.ledger.summary("ann")).top.epoch == epoch

    async def test_a_device_that_nobody_saw_for_long_is_forgotten(self, parts: LedgerParts) -> None:
        """Row and user go together, a week after 400 days at the latest."""
        await parts.register()
        parts.clock.advance(399 * 86_400)
        assert (await parts.hello()).known
        parts.clock.advance(410 * 86_400)
        assert not (await parts.hello()).known
        assert await parts.devices.view("ann") == []

    async def test_an_inbox_keeps_no_more_than_its_size(self, parts: LedgerParts) -> None:
        """What fell out of it is owed no more."""
        await parts.register()
        for number in range(INBOX_POLICY.size + 3):
            await parts.notify(f"n{number}")
        (claimed,) = await parts.due()
        told = offsets_of(claimed) + [entry.offset for entry in claimed.rest]
        assert sorted(told) == list(range(4, INBOX_POLICY.size + 4))
        assert (await parts.ledger.summary("ann")).unread == INBOX_POLICY.size


async def test_a_full_redis_takes_nothing_half(
    redis_options: RedisOptions, request: pytest.FixtureRequest
) -> None:
    """A notification that finds no room leaves no trace, and the same call succeeds later."""
    if "cluster" in redis_options.url:
        pytest.skip("one server says it all")
    server: RedisServer = request.getfixturevalue("shared_server")
    async with running_ledger(redis_options) as parts:
        await parts.register()
        await parts.notify("n0")
        before = await parts.names()
        await server.order("CONFIG", "SET", "maxmemory", "1mb")
        try:
            with pytest.raises(Exception, match=r"OOM|memory|Redis"):
                await parts.notify("n1")
        finally:
            await server.order("CONFIG", "SET", "maxmemory", "0")
        assert await parts.names() == before
        notified = await parts.notify("n1")
        assert (notified.duplicate, notified.position.offset) == (False, 2)


class TestALaneWithStrayMembers:
    """Names in a lane that nobody put there, or that outlived their debts."""

    async def test_one_whose_row_owes_nothing_is_taken_out(self, parts: LedgerParts) -> None:
        """Else every claim would find it again, and every worker would ask without a pause."""
        await parts.register()
        lane = parts.keys.due(parts.tag("ann"), LANE)
        await parts.order("ann", "ZADD", lane, 1, f"ann:{PHONE}", 1, "nobody:anything")
        # Another member brings the partition into view.
        assert await parts.due() == []
        assert await parts.order("ann", "ZCARD", lane) == 0
        assert (await parts.ledger.claim(LANE, 10, "w1")).next_due_ms is None


class TestManyLetters:
    """More than one step looks at."""

    async def test_all_that_are_named_are_looked_at(self, parts: LedgerParts) -> None:
        """And one that is named late is found."""
        await parts.register()
        await parts.notify("n1")
        (claimed,) = await parts.due()
        dead = (DeadOffset(1, "n1", "odd"),)
        await parts.ledger.finish(Finish("ann", PHONE, LANE, claimed.claim, dead=dead))
        (letter,) = (await parts.ledger.dead_letters(None, "", 10)).letters
        unknown = [letter.id.replace(letter.id.split("-")[0], str(number), 1) for number in range(1, 1200)]
        assert await parts.ledger.drop_dead_letters(unknown) == 0
        assert await parts.ledger.replay_dead_letters([*unknown, letter.id]) == 1
        assert len(await parts.due()) == 1
