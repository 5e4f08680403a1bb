"""In which order the parts of the engine begin and end, and what a lost lease sets in motion.

Knows each part by its start and stop, and none of their insides.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from hub.engine.redis.commands import Commands
from hub.engine.redis.janitor import Janitor
from hub.engine.redis.keys import Keys
from hub.engine.redis.leases import NodeLeases
from hub.engine.redis.ledger import RedisLedger
from hub.engine.redis.link import Link
from hub.engine.redis.presence import RedisPresence
from hub.engine.redis.schema import Policy, SchemaMismatch, join_hubs, renew_agreement
from hub.errors import EngineUnavailable

log = logging.getLogger(__name__)

_AGREE_AGAIN_AFTER_S = 1.0


class RedisLifecycle:
    """Opens what the ports share: connections, this node's place among the others, and its books."""

    def __init__(
        self,
        commands: Commands,
        link: Link,
        keys: Keys,
        leases: NodeLeases,
        presence: RedisPresence,
        janitor: Janitor,
        ledger: RedisLedger,
        namespaces: Policy,
        *,
        replace_policy: bool = False,
    ) -> None:
        self._commands = commands
        self._link = link
        self._keys = keys
        self._leases = leases
        self._presence = presence
        self._janitor = janitor
        self._ledger = ledger
        self._namespaces = namespaces
        self._replace_policy = replace_policy
        self._lease_lost = asyncio.Event()
        self._agreeing: asyncio.Task[None] | None = None
        self._undo = contextlib.AsyncExitStack()
        leases.on_lost(self._lease_lost.set)

    async def start(self) -> None:
        """Connect, agree with the other nodes, and become one of them. Nothing is left behind on failure.

        Raises:
            EngineUnavailable: when Redis cannot be reached.
            SchemaMismatch: when living nodes use the same keys in another way.
        """
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(self._commands.stop)
            await self._commands.start()
            undo.push_async_callback(self._link.stop)
            await self._link.start()
            undo.push_async_callback(self._ledger.stop)
            held = await join_hubs(
                self._commands,
                self._keys,
                self._namespaces,
                self._leases,
                replace_policy=self._replace_policy,
            )
            self._janitor.widen(held.most_partitions)
            undo.push_async_callback(self._leases.stop)
            await self._leases.start()
            undo.push_async_callback(self._presence.stop)
            await self._presence.start()
            undo.push_async_callback(self._janitor.stop)
            await self._janitor.start()
            undo.push_async_callback(self._stop_agreeing)
            self._agreeing = asyncio.create_task(self._agree_again_forever(), name="schema")
            self._undo = undo.pop_all()

    async def replace_policy(self, namespaces: Policy) -> None:
        """Write these options where all nodes find them; the others keep theirs until they are told.

        Raises:
            EngineUnavailable: Redis did not answer, or another name for the lease came between.
            SchemaMismatch: others have another number of partitions meanwhile; nothing was changed.
        """
        await renew_agreement(self._commands, self._keys, namespaces, self._leases, replace_policy=True)
        self._namespaces = namespaces

    def on_return(self, callback: Callable[[], None]) -> None:
        """Call back after a lost lease was replaced; an emptied Redis has lost it as well."""
        self._leases.on_lost(callback)

    async def stop(self) -> None:
        """End in the opposite order. Idempotent."""
        await self._undo.aclose()

    async def _stop_agreeing(self) -> None:
        if self._agreeing is not None:
            self._agreeing.cancel()
            await asyncio.gather(self._agreeing, return_exceptions=True)
            self._agreeing = None

    async def _agree_again_forever(self) -> None:
        while True:
            await self._lease_lost.wait()
            self._lease_lost.clear()
            try:
                await renew_agreement(self._commands, self._keys, self._namespaces, self._leases)
            except SchemaMismatch as mismatch:
                # Ending a hub full of connections would not mend it; operators have to choose.
                log.error("other hubs changed the schema while this one was away. %s", mismatch)
            except EngineUnavailable:
                self._lease_lost.set()
                await asyncio.sleep(_AGREE_AGAIN_AFTER_S)
            except Exception:
                log.exception("the schema could not be written again")
