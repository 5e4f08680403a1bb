"""Keeping somebody out: rules go to the engine, every node hears of them, and looks at its connections again.

A rule holds from the moment it is written. The message to the nodes only makes them quick: one that
misses it looks within a second. Knows no token; what a connection rests on is its own knowledge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from hub.engine import Revocations
from hub.engine.revocations import LIFTED, Rule
from hub.engine.revoked import RevokedCopy
from hub.errors import LIMIT_EXCEEDED, HubError
from hub.fanout import LiveConnection, Registry
from hub.metrics import Metrics

_LOOKED_AT_PER_TURN = 1_000


class Revoking:
    """This node's copy of the revocations, and what follows from a change of it.

    ``tell_all`` has every node, this one too, :meth:`refresh`; it waits for them a while, and does not fail.
    """

    def __init__(
        self,
        store: Revocations,
        registry: Registry,
        metrics: Metrics,
        tell_all: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._registry = registry
        self._metrics = metrics
        self._tell_all = tell_all
        self._looking: set[asyncio.Task[None]] = set()
        self.copy = RevokedCopy(store, self._on_change)
        """Who is kept out, to be asked without waiting."""

    async def start(self) -> None:
        """Know everything when this returns.

        Raises:
            EngineUnavailable: the engine did not answer.
        """
        await self.copy.start()

    async def stop(self) -> None:
        """Hear of no more changes."""
        await self.copy.stop()
        if self._looking:
            await asyncio.wait(list(self._looking))

    async def block(self, user: str, until_ms: int | None) -> None:
        """Keep ``user`` out, until a time in unix ms or for good; a former block is replaced.

        Raises:
            HubError: 106 when too much is revoked already.
            EngineUnavailable: it is unknown whether it holds; it may be done again.
        """
        await self._put(Rule("user", user, until_ms))

    async def unblock(self, user: str) -> None:
        """Let ``user`` in again; nothing happens where they are not blocked.

        Raises:
            EngineUnavailable: it is unknown whether that was done; it may be done again.
        """
        # First, or what the engine forgot and somebody remembers would be given back after it.
        await self.copy.refresh()
        await self._store.lift("user", user)
        await self._tell_all()

    async def revoke_token(self, token_id: str, until_ms: int) -> None:
        """Have no token with this ``jti`` count any more, until it has ended by itself.

        Raises:
            HubError, EngineUnavailable: as :meth:`block`.
        """
        await self._put(Rule("token", token_id, until_ms))

    async def revoke_issued_before(self, user: str, before_ms: int, until_ms: int) -> None:
        """Have no token of ``user`` count that was issued earlier, until the last of them has ended.

        Raises:
            HubError, EngineUnavailable: as :meth:`block`.
        """
        await self._put(Rule("issued", user, until_ms, before_ms))

    async def _put(self, rule: Rule) -> None:
        try:
            await self._store.put(rule)
        except HubError as error:
            if error.error is LIMIT_EXCEEDED:
                self._metrics.limit_reached("revocations")
            raise
        await self._tell_all()

    async def refresh(self) -> None:
        """Have what the engine has, and have ended what that ends.

        Raises:
            EngineUnavailable: the engine did not answer; the next look is within a second.
        """
        await self.copy.refresh()
        if self._looking:
            await asyncio.wait(list(self._looking))

    def _on_change(self, rules: Sequence[Rule]) -> None:
        new = [rule for rule in rules if rule.until_ms != LIFTED]
        if not new or not len(self._registry):
            return
        task = asyncio.create_task(self._look_again(self._concerned(new)), name="revoked")
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    def _concerned(self, rules: Sequence[Rule]) -> list[LiveConnection]:
        if any(rule.kind == "token" for rule in rules):
            # Nobody notes connections by their tokens: this is rare, and looking takes a microsecond each.
            return list(self._registry)
        users = {rule.subject for rule in rules}
        return [connection for user in users for connection in self._registry.matching(user)]

    async def _look_again(self, connections: Iterable[LiveConnection]) -> None:
        for count, connection in enumerate(connections, 1):
            connection.look_again()
            if count % _LOOKED_AT_PER_TURN == 0:
                await asyncio.sleep(0)
