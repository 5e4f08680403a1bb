"""The broker over Redis: streams by scripts, one step each; live fan-out by Pub/Sub.

A publication comes back to this node by the link like any other, so its order is that of
the stream. Knows no node, no retry and no reconnect: those belong to commands and link.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from hub.engine.broker import BrokerEvents
from hub.engine.jobs import NewNotice
from hub.engine.redis import envelope
from hub.engine.redis.commands import Commands
from hub.engine.redis.keys import Keys
from hub.engine.redis.link import Link
from hub.engine.redis.scripts import load_script
from hub.engine.redis.stream_writer import StreamWriter, life_s, new_birth
from hub.model import (
    ClientInfo,
    HistoryFilter,
    HistoryPage,
    HistoryPolicy,
    Position,
    Publication,
    PublishResult,
)

log = logging.getLogger(__name__)

POSITIONS_AT_ONCE = 500
"""How many tops are asked for before the answers are awaited: more would hold the loop and fill the queue."""

_MAX_SINCE = 2**53
"""No stream gets there, and above it scripts cannot count."""

_HISTORY = load_script("clock", "stream", "history")


class RedisBroker:
    """Streams that all nodes share: what one publishes, every one that listens gets by its link.

    ``now_ms`` replaces the clock of the server, and is for tests alone.
    """

    def __init__(
        self, commands: Commands, link: Link, keys: Keys, *, now_ms: Callable[[], int] | None = None
    ) -> None:
        self._commands = commands
        self._link = link
        self._keys = keys
        self._writer = StreamWriter(commands, keys, now_ms=now_ms)
        self._events: BrokerEvents | None = None
        self._listened: set[str] = set()

    async def start(self, events: BrokerEvents) -> None:
        self._events = events

    async def stop(self) -> None:
        self._events = None
        for name in self._listened:
            self._link.unsubscribe(name)
        self._listened.clear()

    async def subscribe(self, channel: str) -> None:
        tag = self._keys.tag_of(channel)
        name = self._keys.fanout(tag, channel)
        self._listened.add(name)
        await self._link.subscribe(tag, name, self, channel)

    async def unsubscribe(self, channel: str) -> None:
        name = self._keys.fanout(self._keys.tag_of(channel), channel)
        self._listened.discard(name)
        self._link.unsubscribe(name)

    def on_message(self, channel: str, payload: bytes) -> None:
        """Hand on what the link heard. Bytes that no hub wrote are logged and dropped."""
        events = self._events
        if events is None:
            return
        kind = payload[:2]
        try:
            if kind == envelope.PUBLICATION:
                publication, position = envelope.parse_publication(payload)
                events.on_publication(channel, publication, position)
            elif kind == envelope.JOIN:
                events.on_join(channel, envelope.parse_info(payload))
            elif kind == envelope.LEAVE:
                events.on_leave(channel, envelope.parse_info(payload))
            else:
                log.warning("dropped a message of %d bytes that is of no known kind", len(payload))
        except envelope.MalformedMessage as error:
            log.warning("dropped a message of %d bytes: %s", len(payload), error)

    def on_doubt(self, channels: Collection[str]) -> None:
        """Hand on that something of these may be lost."""
        if self._events is not None:
            self._events.on_doubt(channels)

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
        return await self._writer.publish(
            channel,
            publication,
            policy,
            idempotency_key=idempotency_key,
            idempotency_ttl_s=idempotency_ttl_s,
            version=version,
            version_epoch=version_epoch,
            job=job,
        )

    async def publish_join(self, channel: str, info: ClientInfo) -> None:
        await self._writer.tell(channel, envelope.join_message(info))

    async def publish_leave(self, channel: str, info: ClientInfo) -> None:
        await self._writer.tell(channel, envelope.leave_message(info))

    async def history(self, channel: str, wanted: HistoryFilter, policy: HistoryPolicy) -> HistoryPage:
        since: int | str = ""
        if wanted.since is not None:
            since = min(max(wanted.since.offset, 0), _MAX_SINCE)
        answer = await self._read(channel, policy, wanted.limit, since, 1 if wanted.reverse else 0)
        publications = tuple(_publications(channel, answer[2])) if wanted.limit else ()
        return HistoryPage(publications, _position(answer))

    async def positions(self, channels: Sequence[tuple[str, HistoryPolicy]]) -> list[Position]:
        if len(channels) == 1:
            return [_position(await self._read(*channels[0], 0, "", 0))]
        tops: list[Position] = []
        for start in range(0, len(channels), POSITIONS_AT_ONCE):
            some = channels[start : start + POSITIONS_AT_ONCE]
            # One fails, all fail; but none may go on unheard and fail later.
            reads = (self._read(channel, policy, 0, "", 0) for channel, policy in some)
            answers = await asyncio.gather(*reads, return_exceptions=True)
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
                tops.append(_position(answer))
        return tops

    async def _read(
        self, channel: str, policy: HistoryPolicy, limit: int, since: int | str, backward: int
    ) -> list[Any]:
        names, tag = self._keys, self._keys.tag_of(channel)
        keys = (names.term(tag), names.meta(tag, channel), names.log(tag, channel))
        args = (self._writer.now(), new_birth(), life_s(policy), limit, since, backward)
        answer: list[Any] = await self._commands.run(tag, _HISTORY, keys, args, repeatable=True)
        return answer

    async def remove_history(self, channel: str) -> None:
        tag = self._keys.tag_of(channel)
        await self._commands.call(tag, "UNLINK", self._keys.log(tag, channel))


def _position(answer: list[Any]) -> Position:
    return Position(answer[0], answer[1].decode())


def _publications(channel: str, entries: list[Any]) -> Iterator[Publication]:
    for entry_id, fields in entries:
        offset = int(entry_id.partition(b"-")[0])
        try:
            # An inbox has further fields behind, which are the ledger's.
            yield envelope.decode_entry(fields[1], offset)
        except envelope.MalformedMessage as error:
            # Left out, it shows as a jump of offsets; raised, it would close the channel for everybody.
            log.warning("left out entry %d of the stream of %r: %s", offset, channel, error)
