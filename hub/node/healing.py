"""Making good what a feed missed, from the stream itself, before any client notices.

A jump of offsets, a doubt of the engine and a slow round over everything all lead here. Only
what the stream no longer has is told to subscribers, and then in waves. Knows the broker's
port and the feeds, no connection.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hub.engine import Broker
from hub.errors import EngineUnavailable
from hub.fanout import Feed, Subscriber
from hub.metrics import Metrics
from hub.model import HistoryFilter, HistoryPage, HistoryPolicy, Position, Publication

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HealingOptions:
    """How fast lost publications are looked for.

    ``check_interval_s`` is the time of one slow round over all positions, which finds a lost
    last publication that nothing follows. ``chunk_channels`` positions are compared at a
    time, ``chunk_pause_s`` apart. ``wave_size`` subscribers are told at a time, ``wave_pause_s``
    apart, that they must recover: each of them comes back and reads.
    """

    check_interval_s: float = 40.0
    chunk_channels: int = 500
    chunk_pause_s: float = 0.01
    page_publications: int = 500
    max_held: int = 10_000
    wave_size: int = 200
    wave_pause_s: float = 0.1
    retry_min_s: float = 0.05
    retry_max_s: float = 2.0


Held = deque[tuple[Publication, Position]]


class Healing:
    """Feeds that are being made whole, positions that are in doubt, subscribers that must be told."""

    def __init__(
        self,
        broker: Broker,
        feeds: Mapping[str, Feed],
        policy_of: Callable[[str], HistoryPolicy],
        options: HealingOptions,
        metrics: Metrics,
    ) -> None:
        self._broker = broker
        self._feeds = feeds
        self._policy_of = policy_of
        self._options = options
        self._metrics = metrics
        self._held: dict[str, Held] = {}
        """What arrived for feeds that are being healed, in the order it came."""
        self._overflowed: set[str] = set()
        self._healers: set[asyncio.Task[None]] = set()
        self._doubted: dict[str, None] = {}
        self._doubt = asyncio.Event()
        self._told: deque[tuple[Subscriber, str]] = deque()
        self._tell = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to check."""
        loops = (self._check_doubted(), self._check_slowly(), self._tell_in_waves())
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def stop(self) -> None:
        """Stop everything that runs."""
        tasks = [*self._tasks, *self._healers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks = []

    def doubt(self, channels: Iterable[str] | None) -> None:
        """Compare the positions of these channels, or of all, as soon as the pace allows."""
        self._doubted.update(dict.fromkeys(self._feeds if channels is None else channels))
        self._doubt.set()

    def is_healing(self, channel: str) -> bool:
        """True while the channel's publications are held back."""
        return channel in self._held

    def hold(self, feed: Feed, publication: Publication, position: Position) -> None:
        """Keep a publication that arrived too early, and heal the feed up to it."""
        held = self._held.get(feed.channel)
        if held is None:
            self.heal(feed)
            held = self._held[feed.channel]
        if len(held) < self._options.max_held:
            held.append((publication, position))
        else:
            # The stream has it too: it is read there, in one more round.
            self._overflowed.add(feed.channel)

    def heal(self, feed: Feed) -> None:
        """Read what the feed misses. Until that is done, its new publications are held."""
        if feed.channel in self._held:
            return
        self._held[feed.channel] = deque()
        task = asyncio.create_task(self._heal(feed))
        self._healers.add(task)
        task.add_done_callback(self._healers.discard)

    async def _heal(self, feed: Feed) -> None:
        held = self._held[feed.channel]
        try:
            while self._feeds.get(feed.channel) is feed:
                self._overflowed.discard(feed.channel)
                known_count = len(held)
                page = await self._read(feed)
                if page is None or not self._catch_up(feed, page):
                    continue
                if self._release(feed, held, known_count) and feed.channel not in self._overflowed:
                    return
        except Exception:
            log.exception("a channel could not be healed; its subscribers are told to recover")
            self._give_up(feed, feed.top)
        finally:
            del self._held[feed.channel]
            self._overflowed.discard(feed.channel)
            successor = self._feeds.get(feed.channel)
            if successor is not None and successor is not feed:
                # What arrived for it was held here in vain.
                self.heal(successor)

    async def _read(self, feed: Feed) -> HistoryPage | None:
        wanted = HistoryFilter(limit=self._options.page_publications, since=feed.top)
        delay_s = self._options.retry_min_s
        while self._feeds.get(feed.channel) is feed:
            try:
                return await self._broker.history(feed.channel, wanted, self._policy_of(feed.channel))
            except EngineUnavailable:
                await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))
                delay_s = min(delay_s * 2, self._options.retry_max_s)
        return None

    def _catch_up(self, feed: Feed, page: HistoryPage) -> bool:
        """Deliver a page; True once the feed is at the top of the stream."""
        top = feed.top
        if top is None:
            feed.top = page.top
            return True
        if page.top.epoch != top.epoch or page.top.offset < top.offset:
            self._give_up(feed, self._restart(feed, page))
            if not page.publications:
                return _offset(feed) >= page.top.offset
        for publication in page.publications:
            if publication.offset != _offset(feed) + 1:
                self._give_up(feed, Position(publication.offset - 1, page.top.epoch))
            feed.top = Position(publication.offset, page.top.epoch)
            self._metrics.publication_delivered(feed.deliver(publication))
        if not page.publications and _offset(feed) < page.top.offset:
            self._give_up(feed, page.top)
        return _offset(feed) >= page.top.offset

    def _release(self, feed: Feed, held: Held, known_count: int) -> bool:
        """Deliver what was held; False when that shows another hole.

        The first ``known_count`` arrived before the stream was read, which therefore knew
        them: what does not continue the stream among these is of a stream that is no more.
        """
        while held:
            publication, position = held[0]
            top = feed.top
            follows = top is None or (position.epoch == top.epoch and position.offset == top.offset + 1)
            repeats = top is not None and position.epoch == top.epoch and position.offset <= top.offset
            if not follows and not repeats and known_count <= 0:
                return False
            held.popleft()
            known_count -= 1
            if follows:
                feed.top = position
                self._metrics.publication_delivered(feed.deliver(publication))
        return True

    def _restart(self, feed: Feed, page: HistoryPage) -> Position:
        """Where to go on in a stream of another epoch, for those who were promised nothing."""
        offsets = [publication.offset for publication in page.publications]
        offsets += [at.offset for _, at in self._held[feed.channel] if at.epoch == page.top.epoch]
        return Position(min(offsets) - 1, page.top.epoch) if offsets else page.top

    def _give_up(self, feed: Feed, top: Position | None) -> None:
        """What is missing is gone for good: whoever was promised it must learn that.

        The others go on from ``top`` with what there still is.
        """
        feed.top = top
        for subscriber in feed.subscribers():
            if not subscriber.positioned:
                continue
            if subscriber.gathered is not None:
                # Not told anything yet: its own reading finds the hole.
                subscriber.reader.on_gap(feed.channel)
                continue
            # Out of the feed at once, so that nothing follows the hole; told when its wave comes.
            feed.remove(subscriber)
            self._told.append((subscriber, feed.channel))
        self._tell.set()

    async def _tell_in_waves(self) -> None:
        while True:
            await self._tell.wait()
            for _ in range(min(self._options.wave_size, len(self._told))):
                subscriber, channel = self._told.popleft()
                try:
                    subscriber.reader.on_gap(channel)
                except Exception:
                    log.exception("a subscriber could not be told of a gap")
            if self._told:
                await asyncio.sleep(self._options.wave_pause_s)
            else:
                self._tell.clear()

    async def _check_doubted(self) -> None:
        while True:
            await self._doubt.wait()
            chunk = list(self._doubted)[: self._options.chunk_channels]
            for channel in chunk:
                del self._doubted[channel]
            if not self._doubted:
                self._doubt.clear()
            unsettled = await self._compare(chunk)
            if unsettled:
                self.doubt(unsettled)
                await asyncio.sleep(self._options.retry_max_s * random.uniform(0.25, 0.5))
            await asyncio.sleep(self._options.chunk_pause_s)

    async def _check_slowly(self) -> None:
        while True:
            chunks = max(1, -(-len(self._feeds) // self._options.chunk_channels))
            pause_s = self._options.check_interval_s / chunks * random.uniform(0.9, 1.1)
            await asyncio.sleep(pause_s)
            channels = list(self._feeds)
            for first in range(0, len(channels), self._options.chunk_channels):
                if first:
                    await asyncio.sleep(pause_s)
                self.doubt(await self._compare(channels[first : first + self._options.chunk_channels]))

    async def _compare(self, channels: Iterable[str]) -> list[str]:
        """Heal what is behind its stream; the channels that must be looked at once more."""
        asked: list[tuple[Feed, HistoryPolicy]] = []
        unsettled: list[str] = []
        for channel in channels:
            feed = self._feeds.get(channel)
            if feed is None or not feed.positioned_count:
                continue
            if channel in self._held or not feed.listening:
                # What is being read for it may have been read before the doubt arose.
                unsettled.append(channel)
            else:
                asked.append((feed, self._policy_of(channel)))
        for (feed, _), top in zip(asked, await self._tops(asked), strict=True):
            if self._feeds.get(feed.channel) is not feed:
                continue
            if top is None:
                unsettled.append(feed.channel)
            # Publications on their way here look lost as well; healing them early is harmless.
            elif feed.top is None or top.epoch != feed.top.epoch or top.offset > feed.top.offset:
                self.heal(feed)
        return unsettled

    async def _tops(self, asked: list[tuple[Feed, HistoryPolicy]]) -> list[Position | None]:
        """The tops of these streams; None for one that could not be read."""
        wanted = [(feed.channel, policy) for feed, policy in asked]
        if not wanted:
            return []
        try:
            return [*await self._broker.positions(wanted)]
        except Exception as error:
            log.warning("positions could not be compared at once, now one by one: %s", error)
        # One partition that is away, or one damaged key, must not keep all others in doubt.
        found = await asyncio.gather(
            *(self._broker.positions([each]) for each in wanted), return_exceptions=True
        )
        return [None if isinstance(each, BaseException) else each[0] for each in found]


def _offset(feed: Feed) -> int:
    """The offset up to which the feed has delivered."""
    return feed.top.offset if feed.top is not None else 0
