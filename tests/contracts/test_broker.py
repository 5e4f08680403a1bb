"""What every broker promises: positions, history, order, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hub.engine import Broker
from hub.model import (
    NO_HISTORY,
    ClientInfo,
    HistoryFilter,
    HistoryPolicy,
    Position,
    Publication,
    PublishResult,
)
from tests.contracts.engines import World
from tests.contracts.recording import RecordingEvents

KEEP = HistoryPolicy(size=100, ttl_s=300)
ALL = HistoryFilter(limit=-1)
ANN = ClientInfo(user="ann", client="c1", conn_info=b'{"a": 1}', chan_info=b"[1,  2]")
CHANNEL = "news"


@pytest.fixture
async def events(world: World) -> AsyncIterator[RecordingEvents]:
    """What the engine tells the node; the broker runs."""
    told = RecordingEvents()
    await world.engine.broker.start(told)
    yield told
    await world.engine.broker.stop()


@pytest.fixture
def broker(world: World, events: RecordingEvents) -> Broker:
    """The broker, running."""
    return world.engine.broker


async def publish(broker: Broker, *numbers: int, policy: HistoryPolicy = KEEP) -> list[PublishResult]:
    """Publish these numbers to the channel."""
    return [await broker.publish(CHANNEL, Publication(b"%d" % number), policy) for number in numbers]


async def kept(broker: Broker, wanted: HistoryFilter = ALL, policy: HistoryPolicy = KEEP) -> list[int]:
    """Offsets in the channel's history."""
    return [each.offset for each in (await broker.history(CHANNEL, wanted, policy)).publications]


class TestPositions:
    """Offsets and epochs (client protocol, section 9.1)."""

    async def test_a_stream_has_an_epoch_before_its_first_publication(self, broker: Broker) -> None:
        """Reading makes it, and it stays what it is from then on."""
        first = (await broker.history(CHANNEL, HistoryFilter(), KEEP)).top
        (published,) = await publish(broker, 1)
        assert first.offset == 0
        assert first.epoch
        assert published.position == Position(1, first.epoch)
        assert (await broker.history(CHANNEL, ALL, KEEP)).top == published.position

    async def test_offsets_count_from_one_in_each_channel(self, broker: Broker) -> None:
        """Consecutive, whatever happens in other channels."""
        await broker.publish("other", Publication(b"0"), KEEP)
        results = await publish(broker, 1, 2, 3)
        assert [each.position.offset for each in results if each.position] == [1, 2, 3]
        assert len({each.position.epoch for each in results if each.position}) == 1

    async def test_streams_differ_by_epoch(self, broker: Broker) -> None:
        """Positions of one channel cannot be mistaken for those of another."""
        tops = [(await broker.history(name, HistoryFilter(), KEEP)).top for name in ("a", "b")]
        assert tops[0].epoch != tops[1].epoch

    async def test_without_history_there_is_no_position(
        self, broker: Broker, events: RecordingEvents
    ) -> None:
        """It is told all the same, and an existing stream stays where it was."""
        await broker.subscribe(CHANNEL)
        await publish(broker, 1)
        (result,) = await publish(broker, 2, policy=NO_HISTORY)
        (next_result,) = await publish(broker, 3)
        assert result == PublishResult(None)
        assert next_result.position is not None and next_result.position.offset == 2
        heard = await events.heard(3)
        assert [(each.publication.data, each.publication.offset) for each in heard] == [
            (b"1", 1),
            (b"2", 0),
            (b"3", 2),
        ]
        assert heard[1].position is None

    async def test_many_tops_are_read_at_once(self, broker: Broker) -> None:
        """In the order asked, whether there is a stream already or not; asking makes it."""
        await publish(broker, 1, 2)
        tops = await broker.positions([("new", KEEP), (CHANNEL, KEEP), ("new", KEEP)])
        assert [top.offset for top in tops] == [0, 2, 0]
        assert tops[0] == tops[2] == (await broker.history("new", ALL, KEEP)).top
        assert tops[1] == (await broker.history(CHANNEL, ALL, KEEP)).top
        assert await broker.positions([]) == []

    async def test_a_forgotten_position_is_another_stream(self, world: World, broker: Broker) -> None:
        """After the time of the position itself, the stream starts anew under another epoch."""
        policy = HistoryPolicy(size=10, ttl_s=10, meta_ttl_s=60)
        (old,) = await publish(broker, 1, policy=policy)
        await world.advance(59)
        assert (await broker.history(CHANNEL, HistoryFilter(), policy)).top == old.position
        await world.advance(61)
        top = (await broker.history(CHANNEL, ALL, policy)).top
        assert old.position is not None
        assert top.offset == 0
        assert top.epoch != old.position.epoch


class TestHistory:
    """What is kept, and how it is read (client protocol, section 13)."""

    async def test_keeps_everything_of_a_publication(self, broker: Broker, events: RecordingEvents) -> None:
        """Byte for byte, as it was told live; the engine adds offset and time."""
        await broker.subscribe(CHANNEL)
        data = b'{"a": 1.0,  "b":"\xc3\xa9\\u00e9"}\x00\xff'
        sent = Publication(data, info=ANN, tags={"k": "v", "": "é"}, delta=True)
        await broker.publish(CHANNEL, sent, KEEP)
        (found,) = (await broker.history(CHANNEL, ALL, KEEP)).publications
        (heard,) = await events.heard(1)
        assert (found.data, found.info, found.delta) == (data, ANN, True)
        assert dict(found.tags or {}) == {"k": "v", "": "é"}
        assert (found.offset, found.time_ms > 0) == (1, True)
        assert heard.publication == found

    async def test_keeps_no_more_than_the_size(self, broker: Broker) -> None:
        """Exactly the newest; a policy that became smaller is kept to as well."""
        await publish(broker, *range(10), policy=HistoryPolicy(size=3, ttl_s=300))
        assert await kept(broker) == [8, 9, 10]
        await publish(broker, 11, policy=HistoryPolicy(size=2, ttl_s=300))
        assert await kept(broker) == [10, 11]

    async def test_lets_go_after_the_ttl(self, world: World, broker: Broker) -> None:
        """Each publication counts from its own append, and the position stays."""
        policy = HistoryPolicy(size=10, ttl_s=60)
        await publish(broker, 1, policy=policy)
        await world.advance(40)
        await publish(broker, 2, policy=policy)
        await world.advance(40)
        assert await kept(broker, policy=policy) == [2]
        await world.advance(21)
        page = await broker.history(CHANNEL, ALL, policy)
        assert (page.publications, page.top.offset) == ((), 2)
        await publish(broker, 3, policy=policy)
        assert await kept(broker, policy=policy) == [3]

    @pytest.mark.parametrize(
        ("limit", "since", "reverse", "offsets"),
        [
            (0, None, False, []),
            (0, 2, False, []),
            (2, None, False, [3, 4]),
            (2, None, True, [7, 6]),
            (-1, None, False, [3, 4, 5, 6, 7]),
            (-1, None, True, [7, 6, 5, 4, 3]),
            (100, None, False, [3, 4, 5, 6, 7]),
            (2, 4, False, [5, 6]),
            (-1, 4, False, [5, 6, 7]),
            (1, 7, False, []),
            (2, 2, False, [3, 4]),
            (2, 1, False, [3, 4]),  # older than what is kept: starts at the oldest
            (2, 0, False, [3, 4]),
            (2, 9, False, []),
            (2, 6, True, [5, 4]),
            (-1, 6, True, [5, 4, 3]),
            (-1, 8, True, [7, 6, 5, 4, 3]),
            (1, 3, True, []),  # its predecessor is gone: a hole would go unseen
            (1, 2, True, []),
            (1, 1, True, []),
        ],
    )
    async def test_reads_what_is_asked_for(
        self, broker: Broker, limit: int, since: int | None, reverse: bool, offsets: list[int]
    ) -> None:
        """Of seven publications, of which five are kept."""
        policy = HistoryPolicy(size=5, ttl_s=300)
        await publish(broker, *range(1, 8), policy=policy)
        wanted = HistoryFilter(limit, None if since is None else Position(since, ""), reverse)
        page = await broker.history(CHANNEL, wanted, policy)
        assert [each.offset for each in page.publications] == offsets
        assert [each.data for each in page.publications] == [b"%d" % offset for offset in offsets]
        assert page.top.offset == 7

    async def test_leaves_epochs_to_the_caller(self, broker: Broker) -> None:
        """A ``since`` of another stream is read as if it were of this one; the page says which this is."""
        await publish(broker, 1, 2)
        page = await broker.history(CHANNEL, HistoryFilter(10, Position(1, "another")), KEEP)
        assert [each.offset for each in page.publications] == [2]

    async def test_an_empty_stream_reads_as_nothing(self, broker: Broker) -> None:
        """Whatever is asked for."""
        for wanted in (ALL, HistoryFilter(5, Position(3, "")), HistoryFilter(5, Position(3, ""), True)):
            page = await broker.history(CHANNEL, wanted, KEEP)
            assert (page.publications, page.top.offset) == ((), 0)

    async def test_removing_keeps_the_position(self, broker: Broker) -> None:
        """The stream goes on where it was."""
        before = (await publish(broker, 1, 2))[-1].position
        await broker.remove_history(CHANNEL)
        page = await broker.history(CHANNEL, ALL, KEEP)
        assert (page.publications, page.top) == ((), before)
        await publish(broker, 3)
        assert await kept(broker) == [3]

    async def test_removing_what_is_not_there_is_nothing(self, broker: Broker) -> None:
        """No error, and no stream comes of it."""
        await broker.remove_history(CHANNEL)
        assert await kept(broker) == []


class TestRepeats:
    """Idempotency keys and versions."""

    async def test_a_known_key_publishes_nothing(self, broker: Broker, events: RecordingEvents) -> None:
        """It is answered with the position of the first time."""
        await broker.subscribe(CHANNEL)
        first = await broker.publish(CHANNEL, Publication(b"1"), KEEP, idempotency_key="k")
        await publish(broker, 2)
        again = await broker.publish(CHANNEL, Publication(b"3"), KEEP, idempotency_key="k")
        await publish(broker, 4)
        assert not first.duplicate
        assert again == PublishResult(first.position, duplicate=True)
        assert [each.publication.data for each in await events.heard(3)] == [b"1", b"2", b"4"]
        assert await kept(broker) == [1, 2, 3]

    async def test_a_key_counts_without_history_too(self, broker: Broker, events: RecordingEvents) -> None:
        """There is only no position to answer with."""
        await broker.subscribe(CHANNEL)
        await broker.publish(CHANNEL, Publication(b"1"), NO_HISTORY, idempotency_key="k")
        again = await broker.publish(CHANNEL, Publication(b"2"), NO_HISTORY, idempotency_key="k")
        await publish(broker, 3, policy=NO_HISTORY)
        assert again == PublishResult(None, duplicate=True)
        assert [each.publication.data for each in await events.heard(2)] == [b"1", b"3"]

    async def test_a_key_counts_in_its_channel_only(self, broker: Broker) -> None:
        """Broadcasts use one key for many channels."""
        for channel in ("a", "b"):
            result = await broker.publish(channel, Publication(b"1"), KEEP, idempotency_key="k")
            assert not result.duplicate

    async def test_a_key_is_forgotten_in_time(self, world: World, broker: Broker) -> None:
        """After the time that its publisher asked for, and not before."""
        outcomes = []
        for pause_s in (0, 50, 20):
            await world.advance(pause_s)
            result = await broker.publish(
                CHANNEL, Publication(b"1"), KEEP, idempotency_key="k", idempotency_ttl_s=60
            )
            outcomes.append(result.duplicate)
        assert outcomes == [False, True, False]

    async def test_many_at_once_with_one_key_are_one(self, broker: Broker, events: RecordingEvents) -> None:
        """However they meet, one is published and all get its position."""
        await broker.subscribe(CHANNEL)
        results = await asyncio.gather(
            *(
                broker.publish(CHANNEL, Publication(b"%d" % number), KEEP, idempotency_key="k")
                for number in range(20)
            )
        )
        await publish(broker, 99)
        assert sorted(each.duplicate for each in results) == [False] + [True] * 19
        assert len({each.position for each in results}) == 1
        assert len(await events.heard(2)) == 2

    async def test_a_version_that_is_not_newer_publishes_nothing(
        self, broker: Broker, events: RecordingEvents
    ) -> None:
        """Per version epoch; a publication without a version is not compared."""
        await broker.subscribe(CHANNEL)
        outcomes = []
        for version, epoch in ((5, "a"), (5, "a"), (4, "a"), (0, ""), (6, "a"), (1, "b"), (1, "b")):
            result = await broker.publish(
                CHANNEL, Publication(b"x"), KEEP, version=version, version_epoch=epoch
            )
            outcomes.append(result.duplicate)
        assert outcomes == [False, True, True, False, False, False, True]
        assert [each.publication.offset for each in await events.heard(4)] == [1, 2, 3, 4]

    async def test_a_version_counts_in_its_channel_only(self, broker: Broker) -> None:
        """The same version of two channels is two publications."""
        for channel in ("a", "b"):
            assert not (await broker.publish(channel, Publication(b"1"), KEEP, version=1)).duplicate


class TestFanOut:
    """Who is told, and in which order."""

    async def test_tells_with_the_position(self, broker: Broker, events: RecordingEvents) -> None:
        """The very one that the publisher was answered with."""
        await broker.subscribe(CHANNEL)
        results = await publish(broker, 1, 2)
        heard = await events.heard(2)
        assert [each.position for each in heard] == [each.position for each in results]
        assert [each.channel for each in heard] == [CHANNEL, CHANNEL]

    async def test_tells_only_while_subscribed(self, broker: Broker, events: RecordingEvents) -> None:
        """Not before, not after, and once however often it subscribed."""
        await publish(broker, 1)
        await broker.publish_join(CHANNEL, ANN)
        await broker.subscribe(CHANNEL)
        await broker.subscribe(CHANNEL)
        await publish(broker, 2)
        await events.heard(1)
        await broker.unsubscribe(CHANNEL)
        await broker.unsubscribe(CHANNEL)
        await publish(broker, 3)
        await broker.publish_leave(CHANNEL, ANN)
        await broker.subscribe(CHANNEL)
        await publish(broker, 4)
        assert [each.publication.data for each in await events.heard(2)] == [b"2", b"4"]
        assert events.comings == []

    async def test_tells_of_one_channel_only(self, broker: Broker, events: RecordingEvents) -> None:
        """Names that contain each other, or look like a pattern, are different channels."""
        for channel in ("a", "a:*"):
            await broker.subscribe(channel)
        for channel in ("a:b", "aa", "a?", "a:*", "a"):
            await broker.publish(channel, Publication(b"1"), KEEP)
        assert sorted(each.channel for each in await events.heard(2)) == ["a", "a:*"]

    async def test_concurrent_publishers_make_one_order(
        self, broker: Broker, events: RecordingEvents
    ) -> None:
        """What is told, what is kept and what publishers were answered agree."""
        await broker.subscribe(CHANNEL)
        results = await asyncio.gather(
            *(broker.publish(CHANNEL, Publication(b"%d" % number), KEEP) for number in range(50))
        )
        heard = await events.heard(50)
        assert [each.publication.offset for each in heard] == list(range(1, 51))
        by_offset = {each.position.offset: b"%d" % n for n, each in enumerate(results) if each.position}
        assert [each.publication.data for each in heard] == [by_offset[n] for n in range(1, 51)]
        page = await broker.history(CHANNEL, ALL, KEEP)
        assert list(page.publications) == [each.publication for each in heard]

    async def test_tells_of_joins_and_leaves(self, broker: Broker, events: RecordingEvents) -> None:
        """In order, with everything known of who it is; nothing of it is kept."""
        await broker.subscribe(CHANNEL)
        bob = ClientInfo(user="", client="c2")
        await broker.publish_join(CHANNEL, ANN)
        await broker.publish_join(CHANNEL, bob)
        await broker.publish_leave(CHANNEL, ANN)
        assert await events.seen(3) == [
            ("join", CHANNEL, ANN),
            ("join", CHANNEL, bob),
            ("leave", CHANNEL, ANN),
        ]
        assert (await broker.history(CHANNEL, ALL, KEEP)).top.offset == 0

    async def test_tells_nothing_once_stopped(self, world: World) -> None:
        """Stopping ends delivery, and a second stop is harmless."""
        events = RecordingEvents()
        broker = world.engine.broker
        await broker.start(events)
        await broker.subscribe(CHANNEL)
        await publish(broker, 1)
        await events.heard(1)
        await broker.stop()
        await broker.stop()
        assert len(events.publications) == 1

    async def test_the_engine_answers(self, world: World, broker: Broker) -> None:
        """A probe of a running engine returns."""
        await world.engine.health.probe()
