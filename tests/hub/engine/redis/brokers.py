"""The broker of one node on a real Redis, with connections of its own, and what it tells its node."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from hub.engine.redis.broker import RedisBroker
from hub.engine.redis.commands import Commands
from hub.engine.redis.keys import Keys
from hub.engine.redis.link import Link
from hub.engine.redis.options import RedisOptions
from hub.errors import EngineUnavailable
from hub.model import ClientInfo, HistoryFilter, HistoryPage, HistoryPolicy, Position, Publication
from tests.support.redis_server import until
from tests.support.waiting import eventually

EVERYTHING = HistoryFilter(limit=-1)


@dataclass(slots=True)
class Told:
    """Implements ``BrokerEvents`` by remembering, in order."""

    everything: list[tuple[Any, ...]] = field(default_factory=list)
    doubts: list[Collection[str] | None] = field(default_factory=list)

    def on_publication(self, channel: str, publication: Publication, position: Position | None) -> None:
        self.everything.append((channel, publication, position))

    def on_join(self, channel: str, info: ClientInfo) -> None:
        self.everything.append(("join", channel, info))

    def on_leave(self, channel: str, info: ClientInfo) -> None:
        self.everything.append(("leave", channel, info))

    def on_doubt(self, channels: Collection[str] | None) -> None:
        self.doubts.append(channels)

    async def count(self, count: int) -> list[tuple[Any, ...]]:
        """What was told, once it is so much."""
        await eventually(lambda: len(self.everything) >= count)
        return self.everything

    @property
    def data(self) -> list[bytes]:
        """The payloads of the publications."""
        return [item[1].data for item in self.everything if isinstance(item[1], Publication)]


@dataclass(slots=True)
class BrokerParts:
    """A started broker and what it stands on."""

    broker: RedisBroker
    commands: Commands
    keys: Keys
    told: Told

    async def order(self, channel: str, *command: str | bytes | int) -> Any:
        """A bare command where the channel's keys are."""
        return await self.commands.call(self.keys.tag_of(channel), *command)

    def log(self, channel: str) -> str:
        """Key of the channel's stream."""
        return self.keys.log(self.keys.tag_of(channel), channel)

    def meta(self, channel: str) -> str:
        """Key of the channel's position."""
        return self.keys.meta(self.keys.tag_of(channel), channel)

    async def names(self) -> set[str]:
        """Every key of every partition, but for those of the connections."""
        found: set[str] = set()
        for tag in self.keys.partition_tags:
            start = f"{self.keys.prefix}{{{tag}}}:"
            found.update(name.decode() for name in await self.commands.call(tag, "KEYS", f"{start}*"))
        return {name for name in found if ":term" not in name and ":probe" not in name}

    async def writes(self, channel: str) -> list[str]:
        """What the server of the channel counted of the commands that change a stream."""
        rows = (await self.order(channel, "INFO", "commandstats")).decode().splitlines()
        writing = ("hset", "pexpireat", "xadd", "xtrim", "del")
        counts = (row.partition(",")[0] for row in rows)
        return sorted(row for row in counts if row.partition(":")[0].removeprefix("cmdstat_") in writing)

    async def page_once_back(self, channel: str, policy: HistoryPolicy) -> HistoryPage:
        """The whole history, as soon as Redis gives it again."""
        pages: list[HistoryPage] = []

        async def answered() -> bool:
            with contextlib.suppress(EngineUnavailable):
                pages.append(await self.broker.history(channel, EVERYTHING, policy))
            return bool(pages)

        await until(answered)
        return pages[0]


@contextlib.asynccontextmanager
async def running_broker(
    options: RedisOptions, name: str = "a", *, now_ms: Callable[[], int] | None = None
) -> AsyncIterator[BrokerParts]:
    """The broker of the node ``name``, for the length of the block."""
    keys = Keys(options.prefix, options.partitions)
    async with contextlib.AsyncExitStack() as undo:
        commands = Commands(options, keys)
        await commands.start()
        undo.push_async_callback(commands.stop)
        link = Link(options, keys, commands, name)
        await link.start()
        undo.push_async_callback(link.stop)
        broker = RedisBroker(commands, link, keys, now_ms=now_ms)
        told = Told()
        await broker.start(told)
        undo.push_async_callback(broker.stop)
        yield BrokerParts(broker, commands, keys, told)
