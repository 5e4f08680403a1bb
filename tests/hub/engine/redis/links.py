"""Commands and links on a real Redis for the tests of this room, and a listener that remembers."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Collection
from typing import Any

from hub.engine.redis.commands import Commands
from hub.engine.redis.keys import Keys
from hub.engine.redis.link import Link
from hub.engine.redis.options import RedisOptions
from hub.engine.redis.scripts import Script


def script(text: str) -> Script:
    """A script of a test's own."""
    return Script("test", text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


INCREMENT = script("return redis.call('INCR', KEYS[1])")


class RecordingListener:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.doubts: list[list[str]] = []

    def on_message(self, channel: str, payload: bytes) -> None:
        self.messages.append((channel, payload))

    def on_doubt(self, channels: Collection[str]) -> None:
        self.doubts.append(list(channels))

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.messages]

    @property
    def doubted(self) -> set[str]:
        return {channel for channels in self.doubts for channel in channels}


def quick(url: str, **changes: Any) -> RedisOptions:
    """Options with the pace of a test."""
    pace: dict[str, Any] = {
        "partitions": 4,
        "probe_interval_s": 0.05,
        "probe_timeout_s": 0.5,
        "command_timeout_s": 2.0,
        "connect_timeout_s": 1.0,
        "topology_interval_s": 0.5,
    }
    return RedisOptions(url, **(pace | changes))


@contextlib.asynccontextmanager
async def running_commands(options: RedisOptions) -> AsyncIterator[Commands]:
    """Started commands for the length of the block."""
    commands = Commands(options, Keys(options.prefix, options.partitions))
    await commands.start()
    try:
        yield commands
    finally:
        await commands.stop()


@contextlib.asynccontextmanager
async def running_link(
    options: RedisOptions, node_id: str = "node-1"
) -> AsyncIterator[tuple[Commands, Link]]:
    """A started link with its commands for the length of the block."""
    async with running_commands(options) as commands:
        link = Link(options, Keys(options.prefix, options.partitions), commands, node_id)
        await link.start()
        try:
            yield commands, link
        finally:
            await link.stop()
