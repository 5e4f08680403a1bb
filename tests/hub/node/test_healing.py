"""A node that hears only part of what was published makes the rest good from the stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from hub.engine import Broker, BrokerEvents
from hub.engine.memory.broker import MemoryBroker
from hub.errors import EngineUnavailable
from hub.fanout import Subscriber
from hub.metrics import NopMetrics
from hub.model import HistoryFilter, HistoryPage, HistoryPolicy, Position, Publication
from hub.node import HealingOptions, Listening
from tests.support.waiting import eventually

POLICY = HistoryPolicy(size=50, ttl_s=60)
OPTIONS = HealingOptions(
    check_interval_s=0.2, chunk_pause_s=0, page_publications=7, max_held=5, wave_size=2, retry_max_s=0.05
)


class Reader:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.gaps: list[str] = []

    def on_gap(self, channel: str) -> None:
        """Lost for good."""
        self.gaps.append(channel)


class LossyBroker(MemoryBroker):
    """A real broker whose link to the node loses what it is told to, and whose reads can fail."""

    def __init__(self) -> None:
        super().__init__()
        self.loses: Callable[[int], bool] = lambda offset: False
        self.failing_reads = 0

    async def start(self, events: BrokerEvents) -> None:
        """Put the lossy link in between."""
        await super().start(cast(BrokerEvents, _LossyLink(events, self)))

    async def history(self, channel: str, wanted: HistoryFilter, policy: HistoryPolicy) -> HistoryPage:
        """Read, or not."""
        if self.failing_reads:
            self.failing_reads -= 1
            raise EngineUnavailable
        return await super().history(channel, wanted, policy)


@dataclass
class _LossyLink:
    events: BrokerEvents
    broker: LossyBroker

    def on_publication(self, channel: str, publication: Publication, position: Position | None) -> None:
        if not self.broker.loses(publication.offset):
            self.events.on_publication(channel, publication, position)


@dataclass
class World:
    """A listening node with one subscriber."""

    broker: LossyBroker
    listening: Listening
    subscriber: Subscriber
    published: list[int] = field(default_factory=list)

    async def publish(self, count: int = 1) -> None:
        """Publish the next numbers."""
        for _ in range(count):
            self.published.append(len(self.published) + 1)
            await self.broker.publish("c", Publication(b"%d" % self.published[-1]), POLICY)

    def heard(self) -> list[int]:
        """The numbers that reached the subscriber."""
        return [int(p.data) for p in self.subscriber.gathered or ()]

    @property
    def gaps(self) -> list[str]:
        """What the subscriber was told to be lost."""
        return cast(Reader, self.subscriber.reader).gaps


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A node that heals quickly."""
    broker = LossyBroker()
    listening = Listening(cast(Broker, broker), NopMetrics(), lambda channel: POLICY, OPTIONS)
    await broker.start(listening)
    await listening.start()
    subscriber = Subscriber(cast(Any, Reader()), join_leave=False, delta=False, positioned=True)
    await listening.attach("c", subscriber)
    yield World(broker, listening, subscriber)
    await listening.stop()
    await broker.stop()


@pytest.mark.parametrize("lost", [{1}, {2}, {1, 2, 3}, set(range(3, 30)), {2, 4, 6, 8}], ids=str)
async def test_what_the_link_loses_is_made_good_in_order(world: World, lost: set[int]) -> None:
    """As soon as something arrives behind it, over as many pages as it takes."""
    world.broker.loses = lambda offset: offset in lost
    await world.publish(40)
    await eventually(lambda: world.heard() == world.published)
    assert world.gaps == []


async def test_a_lost_last_publication_is_found_by_the_slow_round(world: World) -> None:
    """Nothing behind it shows that it is missing."""
    world.broker.loses = lambda offset: True
    await world.publish(3)
    assert world.heard() == []
    await eventually(lambda: world.heard() == [1, 2, 3])


async def test_a_doubt_of_the_engine_is_looked_into_at_once(world: World) -> None:
    """As after a link that was replaced."""
    world.broker.loses = lambda offset: True
    await world.publish(3)
    world.listening.on_doubt(None)
    await eventually(lambda: world.heard() == [1, 2, 3], timeout_s=0.15)


async def test_an_engine_that_fails_meanwhile_only_delays_it(world: World) -> None:
    """Nothing is given up because a read failed."""
    world.broker.loses = lambda offset: offset == 1
    world.broker.failing_reads = 3
    await world.publish(20)
    await eventually(lambda: world.heard() == world.published)
    assert world.gaps == []


async def test_what_the_stream_no_longer_has_is_told(world: World) -> None:
    """And what there still is comes in order behind it."""
    world.broker.loses = lambda offset: offset <= 60
    await world.publish(61)
    await eventually(lambda: world.gaps == ["c"])
    await eventually(lambda: world.heard() == list(range(12, 62)))


async def test_another_epoch_is_told(world: World) -> None:
    """Positions of the old one are void."""
    await world.publish(2)
    world.broker._streams.clear()
    await world.publish(1)
    await eventually(lambda: world.gaps == ["c"])
    assert world.heard() == [1, 2, 3]


async def test_a_message_of_a_stream_that_is_no_more_is_dropped(world: World) -> None:
    """As a late one of a primary that lost its place."""
    await world.publish(2)
    world.listening.on_publication("c", Publication(b"99", offset=99), Position(99, "old"))
    await world.publish(1)
    await eventually(lambda: world.heard() == [1, 2, 3])
    assert world.gaps == []


async def test_the_loss_of_the_very_first_publication_shows(world: World) -> None:
    """Listening begins at a known position."""
    world.broker.loses = lambda offset: offset == 1
    await world.publish(2)
    await eventually(lambda: world.heard() == [1, 2])


async def test_many_are_told_in_waves(world: World) -> None:
    """Each of them comes back and reads: all at once would hurt."""
    others = [
        Subscriber(cast(Any, Reader()), join_leave=False, delta=False, positioned=n != 0) for n in range(6)
    ]
    feed = world.listening.feed("c")
    assert feed is not None
    for other in others:
        feed.add(other)
        other.gathered = None
        feed._gathering.discard(other)
        feed._ahead[other] = None
    world.broker.loses = lambda offset: offset <= 60
    await world.publish(61)
    readers = [cast(Reader, other.reader) for other in others]
    await eventually(lambda: sum(len(r.gaps) for r in readers) == 2)
    await eventually(lambda: [len(r.gaps) for r in readers] == [0, 1, 1, 1, 1, 1])


async def test_one_damaged_channel_keeps_no_other_in_doubt(world: World) -> None:
    """What cannot be compared is asked again, and the checks go on for all the others."""
    other = Subscriber(cast(Any, Reader()), join_leave=False, delta=False, positioned=True)
    await world.listening.attach("damaged", other)
    positions = world.broker.positions

    async def refusing(channels: Sequence[tuple[str, HistoryPolicy]]) -> list[Position]:
        if any(channel == "damaged" for channel, _ in channels):
            raise RuntimeError("WRONGTYPE")
        return await positions(channels)

    world.broker.positions = refusing  # type: ignore[method-assign]
    world.broker.loses = lambda offset: True
    await world.publish(3)
    await eventually(lambda: world.heard() == [1, 2, 3])
    await world.publish(1)
    await eventually(lambda: world.heard() == [1, 2, 3, 4])


async def test_a_channel_that_is_taken_up_again_while_it_heals_misses_nothing(world: World) -> None:
    """What arrives for the newcomer is not swallowed by the healing of those who left."""
    gate = asyncio.Event()
    history = world.broker.history

    async def slow(*args: Any) -> HistoryPage:
        await gate.wait()
        return await history(*args)

    world.broker.history = slow  # type: ignore[method-assign]
    world.broker.loses = lambda offset: offset == 1
    await world.publish(2)
    world.listening.detach("c", world.subscriber)
    await eventually(lambda: world.listening.feed("c") is None)
    newcomer = Subscriber(cast(Any, Reader()), join_leave=False, delta=False, positioned=True)
    await world.listening.attach("c", newcomer)
    await world.publish(1)
    gate.set()
    await eventually(lambda: [int(p.data) for p in newcomer.gathered or ()] == [3])
