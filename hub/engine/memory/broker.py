"""The broker of the embedded engine: all streams in this process, fan-out by a plain call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from hub.delivery.inbox import INBOX_POLICY
from hub.engine.broker import BrokerEvents
from hub.engine.jobs import NewNotice
from hub.engine.memory.jobs import MemoryJobs
from hub.engine.memory.streams import Stream
from hub.errors import JOB_QUEUE_FULL, HubError
from hub.model import (
    NO_HISTORY,
    ClientInfo,
    HistoryFilter,
    HistoryPage,
    HistoryPolicy,
    Position,
    Publication,
    PublishResult,
)

SWEEP_INTERVAL_S = 5.0
"""How long something expired may still hold memory."""

SWEPT_AT_ONCE = 500
"""What is looked at before others get their turn: a millisecond or two."""


class MemoryBroker:
    """Streams of one process. Nothing survives it, and nothing can be lost between it and its node.

    ``clock_s`` is monotonic and decides about expiry; ``wall_s`` is unix time and only
    stamps publications.
    """

    def __init__(
        self,
        clock_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        jobs: MemoryJobs | None = None,
    ) -> None:
        self._jobs = jobs
        self._clock_s = clock_s
        self._wall_s = wall_s
        self._events: BrokerEvents | None = None
        self._listened: set[str] = set()
        self._streams: dict[str, Stream] = {}
        self._known: dict[tuple[str, str], tuple[float, PublishResult]] = {}
        self._versions: dict[tuple[str, str], tuple[float, int]] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self._also_swept: list[Callable[[], Iterable[None]]] = []

    async def start(self, events: BrokerEvents) -> None:
        self._events = events
        self._sweeper = asyncio.create_task(self._sweep_forever(), name="memory broker sweep")

    async def stop(self) -> None:
        self._events = None
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
            self._sweeper = None

    async def subscribe(self, channel: str) -> None:
        self._listened.add(channel)

    async def unsubscribe(self, channel: str) -> None:
        self._listened.discard(channel)

    async def publish(
        self,
        channel: str,
        publication: Publication,
        policy: HistoryPolicy,
        *,
        idempotency_key: str = "",
        idempotency_ttl_s: int = 300,
        version: int = 0,
        version_epoch: str = "",
        job: NewNotice | None = None,
    ) -> PublishResult:
        # No await below: the whole publish is one step, as the Redis script is.
        now_s = self._clock_s()
        if idempotency_key:
            known = self._known.get((channel, idempotency_key))
            if known is not None and now_s < known[0]:
                return PublishResult(known[1].position, duplicate=True)
        if version and not self._is_newer(channel, version, version_epoch, now_s):
            top = self._stream(channel, policy, now_s).top if policy.keeps else None
            return PublishResult(top, duplicate=True)
        if job is not None and (self._jobs is None or self._jobs.open_now(job) == "full"):
            raise HubError(JOB_QUEUE_FULL)
        if version:
            self._versions[channel, version_epoch] = (now_s + policy.meta_ttl_s, version)
        result = self._append(channel, publication, policy, now_s)
        if idempotency_key:
            self._known[channel, idempotency_key] = (now_s + idempotency_ttl_s, result)
        return result

    # for the ledger, whose events are one step with what they do to the inbox

    def inbox_stream(self, channel: str, *, keep_unused: bool) -> Stream:
        """The stream of an inbox, without what has become too old."""
        now_s = self._clock_s()
        stream = self._stream(channel, INBOX_POLICY, now_s)
        stream.touch(INBOX_POLICY, now_s, keep_unused=keep_unused)
        stream.expire(now_s)
        return stream

    def append(self, channel: str, data: bytes, policy: HistoryPolicy) -> Publication:
        """Publish at once; what was published, as it is kept."""
        return self._stamp_and_tell(channel, Publication(data), policy, self._clock_s())[0]

    def replace(self, channel: str, offset: int, data: bytes) -> None:
        """Give what is kept at ``offset`` another payload. Nobody is told."""
        stream = self._streams.get(channel)
        if stream is not None:
            stream.replace(offset, data)

    def tell(self, channel: str, data: bytes) -> None:
        """Publish without keeping."""
        self._stamp_and_tell(channel, Publication(data), NO_HISTORY, self._clock_s())

    def forget(self, channel: str) -> None:
        """Drop the stream with its position."""
        self._streams.pop(channel, None)

    def on_sweep(self, sweep: Callable[[], Iterable[None]]) -> None:
        """Run ``sweep`` whenever things that are over are freed; others get their turn where it yields."""
        self._also_swept.append(sweep)

    def _append(
        self, channel: str, publication: Publication, policy: HistoryPolicy, now_s: float
    ) -> PublishResult:
        return PublishResult(self._stamp_and_tell(channel, publication, policy, now_s)[1])

    def _stamp_and_tell(
        self, channel: str, publication: Publication, policy: HistoryPolicy, now_s: float
    ) -> tuple[Publication, Position | None]:
        position: Position | None = None
        if policy.keeps:
            stream = self._stream(channel, policy, now_s)
            stamped = replace(publication, offset=stream.top.offset + 1, time_ms=int(self._wall_s() * 1000))
            stream.append(stamped, policy, now_s)
            position = stream.top
        else:
            stamped = replace(publication, offset=0, time_ms=int(self._wall_s() * 1000))
        if self._events is not None and channel in self._listened:
            self._events.on_publication(channel, stamped, position)
        return stamped, position

    def _is_newer(self, channel: str, version: int, version_epoch: str, now_s: float) -> bool:
        known = self._versions.get((channel, version_epoch))
        return known is None or now_s >= known[0] or version > known[1]

    def _stream(self, channel: str, policy: HistoryPolicy, now_s: float) -> Stream:
        stream = self._streams.get(channel)
        if stream is None or (now_s >= stream.expires_at_s and channel not in self._listened):
            stream = self._streams[channel] = Stream()
        stream.touch(policy, now_s)
        return stream

    async def publish_join(self, channel: str, info: ClientInfo) -> None:
        if self._events is not None and channel in self._listened:
            self._events.on_join(channel, info)

    async def publish_leave(self, channel: str, info: ClientInfo) -> None:
        if self._events is not None and channel in self._listened:
            self._events.on_leave(channel, info)

    async def history(self, channel: str, wanted: HistoryFilter, policy: HistoryPolicy) -> HistoryPage:
        now_s = self._clock_s()
        return self._stream(channel, policy, now_s).page(wanted, now_s)

    async def positions(self, channels: Sequence[tuple[str, HistoryPolicy]]) -> list[Position]:
        now_s = self._clock_s()
        return [self._stream(channel, policy, now_s).top for channel, policy in channels]

    async def remove_history(self, channel: str) -> None:
        stream = self._streams.get(channel)
        if stream is not None:
            stream.clear()

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            for _ in self._sweep_in_turns():
                await asyncio.sleep(0)

    def sweep(self) -> None:
        """Free everything whose time is over."""
        for _ in self._sweep_in_turns():
            pass

    def _sweep_in_turns(self) -> Iterator[None]:
        """As :meth:`sweep`. There may be very many, so that others get their turn where this yields."""
        now_s = self._clock_s()
        for number, channel in enumerate(list(self._streams), 1):
            stream = self._streams.get(channel)
            if stream is not None:
                stream.expire(now_s)
                if now_s >= stream.expires_at_s and channel not in self._listened:
                    del self._streams[channel]
            if number % SWEPT_AT_ONCE == 0:
                yield
        for key in [key for key, (until_s, _) in self._known.items() if now_s >= until_s]:
            del self._known[key]
        for key in [key for key, (until_s, _) in self._versions.items() if now_s >= until_s]:
            del self._versions[key]
        for sweep in self._also_swept:
            yield
            yield from sweep()
