"""Which channels this node listens to, and what happens when something arrives on one.

Starts listening with a channel's first subscriber and stops some time after the last.
Knows the broker's port and the feeds, no connection and no permission.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection

from hub.engine import Broker
from hub.errors import EngineUnavailable
from hub.fanout import Feed, PatchCache, Subscriber
from hub.metrics import Metrics
from hub.model import ClientInfo, HistoryFilter, HistoryPage, HistoryPolicy, Position, Publication
from hub.node.healing import Healing, HealingOptions
from hub.node.reading import SharedReads

log = logging.getLogger(__name__)

LINGER_S = 1.0
"""How long an empty channel is still listened to: apps leave and join again all the time."""

TIMED_EVERY = 16
"""One publication of so many is timed: two looks at the clock for each would show."""


class Listening:
    """The feeds of this node; also the broker's event sink."""

    def __init__(
        self,
        broker: Broker,
        metrics: Metrics,
        policy_of: Callable[[str], HistoryPolicy],
        healing: HealingOptions | None = None,
        *,
        shares_reads: bool = False,
    ) -> None:
        self._broker = broker
        self._metrics = metrics
        self._policy_of = policy_of
        self._untimed_count = 0
        self.patches = PatchCache()
        """Deltas, shared by the feeds and by those who recover."""
        self._feeds: dict[str, Feed] = {}
        self._healing = Healing(broker, self._feeds, policy_of, healing or HealingOptions(), metrics)
        self._reads = SharedReads(broker) if shares_reads else None
        self._starting: dict[str, asyncio.Event] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._empty: set[str] = set()
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to let go of channels that nobody listens to."""
        self._sweeper = asyncio.create_task(self._sweep_forever(), name="quiet channels")
        self._healing.start()

    async def stop(self) -> None:
        """Stop what :meth:`start` began."""
        await self._healing.stop()
        if self._reads is not None:
            await self._reads.stop()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
            self._sweeper = None

    def feed(self, channel: str) -> Feed | None:
        """The feed of a channel somebody listens to here."""
        return self._feeds.get(channel)

    @property
    def channel_count(self) -> int:
        """How many channels are listened to, those that were left a moment ago included."""
        return len(self._feeds)

    def counts(self) -> dict[str, int]:
        """Subscribers by channel, without the empty ones."""
        return {channel: len(feed) for channel, feed in self._feeds.items() if len(feed)}

    async def attach(self, channel: str, subscriber: Subscriber) -> Position | None:
        """Gather what arrives on ``channel`` for the subscriber, from before this returns.

        Returns the top of the stream where it was read for this very call: nothing after it can be
        missed, so it need not be read again. None where the channel was listened to before.

        Raises:
            EngineUnavailable: the engine could not be made to deliver; nothing is left behind.
        """
        feed = self._feeds.get(channel)
        if feed is None:
            feed = self._feeds[channel] = Feed(channel, self.patches)
        # Registered before the engine is asked: with two first subscribers at once, or one
        # that leaves meanwhile, the feed always tells the truth about who wants it.
        feed.add(subscriber)
        if feed.listening:
            return None
        try:
            return await self._start_listening(feed)
        except BaseException:
            self.detach(channel, subscriber)
            raise

    async def history(self, channel: str, wanted: HistoryFilter, policy: HistoryPolicy) -> HistoryPage:
        """Read the stream for a subscriber that was attached; what several ask at the same time is read once.

        Raises:
            EngineUnavailable: the engine did not answer.
        """
        feed = self._feeds.get(channel)
        if self._reads is None or feed is None or len(feed) < 2:
            return await self._broker.history(channel, wanted, policy)
        return await self._reads.history(channel, wanted, policy)

    async def _start_listening(self, feed: Feed) -> Position | None:
        channel = feed.channel
        while (begun := self._starting.get(channel)) is not None:
            # Together, and not one after the other as a lock would have it: then they read together too.
            await begun.wait()
            if feed.listening or self._feeds.get(channel) is not feed:
                return None
        done = self._starting[channel] = asyncio.Event()
        try:
            return await self._listen(feed)
        finally:
            del self._starting[channel]
            done.set()

    async def _listen(self, feed: Feed) -> Position | None:
        async with self._lock(feed.channel):
            # Whoever waited here may have left meanwhile, and the feed with it.
            if feed.listening or self._feeds.get(feed.channel) is not feed:
                return None
            await self._broker.subscribe(feed.channel)
            top = await self._find_top(feed)
            feed.listening = True
            if feed.is_empty:
                self._empty.add(feed.channel)
            return top

    async def _find_top(self, feed: Feed) -> Position | None:
        """Where listening begins, without which the loss of the first publication would not show.

        What is on its way here meanwhile counts as before: nobody's subscribe was answered yet.
        """
        policy = self._policy_of(feed.channel)
        if not policy.keeps:
            return None
        (top,) = await self._broker.positions([(feed.channel, policy)])
        if feed.top is None:
            feed.top = top
        elif not self._healing.is_healing(feed.channel):
            # Being healed, it must get there by what is delivered, not by a leap.
            if feed.top.epoch != top.epoch or feed.top.offset < top.offset:
                feed.top = top
        return top

    def detach(self, channel: str, subscriber: Subscriber) -> None:
        """Give the subscriber nothing more. Unknown ones are ignored."""
        feed = self._feeds.get(channel)
        if feed is None:
            return
        feed.remove(subscriber)
        if feed.is_empty:
            self._empty.add(channel)

    def _lock(self, channel: str) -> asyncio.Lock:
        return self._locks.setdefault(channel, asyncio.Lock())

    async def _sweep_forever(self) -> None:
        lingering: set[str] = set()
        while True:
            await asyncio.sleep(LINGER_S)
            # Empty at two sweeps in a row, hence for at least one whole interval.
            for channel in lingering & self._empty:
                try:
                    await self._let_go(channel)
                except Exception:
                    log.exception("a channel could not be let go")
            lingering = set(self._empty)

    async def _let_go(self, channel: str) -> None:
        async with self._lock(channel):
            self._empty.discard(channel)
            feed = self._feeds.get(channel)
            if feed is None or not feed.is_empty:
                return
            # Said first: whoever comes while the engine works must wait for the lock and ask anew.
            feed.listening = False
            try:
                await self._broker.unsubscribe(channel)
            except EngineUnavailable:
                log.warning("could not stop listening to a channel; trying again later")
                feed.listening = True
                self._empty.add(channel)
                return
            if feed.is_empty:
                del self._feeds[channel]
        if channel not in self._feeds:
            self._locks.pop(channel, None)

    def on_publication(self, channel: str, publication: Publication, position: Position | None) -> None:
        """Deliver in order; what was delivered before is dropped, and a hole is healed first."""
        feed = self._feeds.get(channel)
        if feed is None:
            return
        self._metrics.publication_received()
        if position is None:
            self._deliver(feed, publication)
            return
        top = feed.top
        if self._healing.is_healing(channel):
            self._healing.hold(feed, publication, position)
        elif top is None or (position.epoch == top.epoch and position.offset == top.offset + 1):
            feed.top = position
            self._deliver(feed, publication)
        elif position.epoch != top.epoch or position.offset > top.offset:
            self._healing.hold(feed, publication, position)

    def _deliver(self, feed: Feed, publication: Publication) -> None:
        self._untimed_count += 1
        if self._untimed_count < TIMED_EVERY:
            self._metrics.publication_delivered(feed.deliver(publication))
            return
        self._untimed_count = 0
        began_s = time.perf_counter()
        self._metrics.publication_delivered(feed.deliver(publication))
        self._metrics.fan_out_timed(time.perf_counter() - began_s)

    def on_doubt(self, channels: Collection[str] | None) -> None:
        """Compare positions with the streams, and heal what is behind."""
        self._healing.doubt(channels)

    def on_join(self, channel: str, info: ClientInfo) -> None:
        """Tell the subscribers who want to know."""
        feed = self._feeds.get(channel)
        if feed is not None:
            feed.deliver_join(info)

    def on_leave(self, channel: str, info: ClientInfo) -> None:
        """Tell the subscribers who want to know."""
        feed = self._feeds.get(channel)
        if feed is not None:
            feed.deliver_leave(info)
