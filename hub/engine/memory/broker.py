"""The broker of the embedded engine: all streams in this process, fan-out by a plain call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from hub.engine.broker import BrokerEvents
from hub.engine.memory.streams import Stream
from hub.model import (
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


class MemoryBroker:
    """Streams of one process. Nothing survives it, and nothing can be lost between it and its node.

    ``clock_s`` is monotonic and decides about expiry; ``wall_s`` is unix time and only
    stamps publications.
    """

    def __init__(
        self, clock_s: Callable[[], float] = time.monotonic, wall_s: Callable[[], float] = time.time
    ) -> None:
        self._clock_s = clock_s
        self._wall_s = wall_s
        self._events: BrokerEvents | None = None
        self._listened: set[str] = set()
        self._streams: dict[str, Stream] = {}
        self._known: dict[tuple[str, str], tuple[float, PublishResult]] = {}
        self._versions: dict[tuple[str, str], tuple[float, int]] = {}
        self._sweeper: asyncio.Task[None] | None = None

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
    ) -> PublishResult:
        # No await below: the whole publish is one step, as the Redis script is.
        now_s = self._clock_s()
        if idempotency_key:
            known = self._known.get((channel, idempotency_key))
            if known is not None and now_s < known[0]:
                return PublishResult(known[1].position, duplicate=True)
        if version and not self._is_newer(channel, version, version_epoch, policy, now_s):
            top = self._stream(channel, policy, now_s).top if policy.keeps else None
            return PublishResult(top, duplicate=True)
        result = self._append(channel, publication, policy, now_s)
        if idempotency_key:
            self._known[channel, idempotency_key] = (now_s + idempotency_ttl_s, result)
        return result

    def _append(
        self, channel: str, publication: Publication, policy: HistoryPolicy, now_s: float
    ) -> PublishResult:
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
        return PublishResult(position)

    def _is_newer(
        self, channel: str, version: int, version_epoch: str, policy: HistoryPolicy, now_s: float
    ) -> bool:
        key = (channel, version_epoch)
        known = self._versions.get(key)
        if known is not None and now_s < known[0] and version <= known[1]:
            return False
        self._versions[key] = (now_s + policy.meta_ttl_s, version)
        return True

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
            self.sweep()

    def sweep(self) -> None:
        """Free everything whose time is over."""
        now_s = self._clock_s()
        for channel, stream in list(self._streams.items()):
            stream.expire(now_s)
            if now_s >= stream.expires_at_s and channel not in self._listened:
                del self._streams[channel]
        for key in [key for key, (until_s, _) in self._known.items() if now_s >= until_s]:
            del self._known[key]
        for key in [key for key, (until_s, _) in self._versions.items() if now_s >= until_s]:
            del self._versions[key]
