"""The engine for those who work beside the hubs and are none of them: no lease, no say in the schema.

Workers and commands use it. What a node owns, presence and control, is not started here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from hub.engine.redis.commands import Commands
from hub.engine.redis.keys import Keys
from hub.engine.redis.ledger import RedisLedger
from hub.engine.redis.link import Link
from hub.engine.redis.schema import read_schema


class BesideLifecycle:
    """Opens the connections alone, and looks whether the hubs keep their things where we would look."""

    def __init__(
        self, commands: Commands, link: Link, keys: Keys, ledger: RedisLedger, partitions: int
    ) -> None:
        self._commands = commands
        self._link = link
        self._keys = keys
        self._ledger = ledger
        self._partitions = partitions
        self._undo = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Connect. Nothing is left behind on failure. Where no hub ever was, there is nothing to differ from.

        Raises:
            EngineUnavailable: when Redis cannot be reached.
            SchemaMismatch: when the hubs have other partitions, or another version's keys.
        """
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(self._commands.stop)
            await self._commands.start()
            await read_schema(self._commands, self._keys, self._partitions)
            undo.push_async_callback(self._link.stop)
            await self._link.start()
            undo.push_async_callback(self._ledger.stop)
            self._undo = undo.pop_all()

    async def replace_policy(self, namespaces: Mapping[str, Mapping[str, Any]]) -> None:
        """Whoever is no node has no say in it."""

    def on_return(self, callback: Callable[[], None]) -> None:
        """Whoever is no node loses no lease, and is never told of one."""

    async def stop(self) -> None:
        """End in the opposite order. Idempotent."""
        await self._undo.aclose()
