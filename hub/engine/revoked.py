"""This process' copy of the revocations: whoever asks it looks into a dictionary and waits for nothing.

Read whole at the start and asked once a second what is new; whoever hears of a change sooner calls
:meth:`RevokedCopy.refresh`. Also gives back to the engine what it lost (an emptied Redis, a failover
that went without the last writes). Knows no connection.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import time
from collections.abc import Callable, Sequence

from hub.engine.revocations import LIFTED, NO_VERSION, Changes, Kind, Revocations, Rule
from hub.errors import INVALID_TOKEN, USER_BLOCKED, Disconnect, EngineUnavailable, HubError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""How long a change may go unheard whose message was lost."""

STALE_AFTER_S = 30.0
"""A copy that could not be compared for so long is not relied on for newcomers."""

OnChange = Callable[[Sequence[Rule]], None]
"""Told the rules that are new or were lifted, when the copy has them already."""


class RevokedCopy:
    """Who is kept out, as far as this process knows. ``wall_s`` is unix time in seconds."""

    def __init__(
        self,
        store: Revocations,
        on_change: OnChange | None = None,
        *,
        wall_s: Callable[[], float] = time.time,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._store = store
        self._on_change = on_change
        self._wall_s = wall_s
        self._look_every_s = look_every_s
        self._version = NO_VERSION
        self._rules: dict[Kind, dict[str, Rule]] = {"user": {}, "token": {}, "issued": {}}
        self._any = False
        self._ends: list[tuple[int, Kind, str]] = []
        """A heap: which rule may be dropped when. One that was prolonged is in it more than once."""
        self._owed: dict[tuple[Kind, str], tuple[Rule, bool]] = {}
        """What is to be given back to the engine, and whether only where it has nothing newer."""
        self._compared_at_s = -math.inf
        self._reading = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read everything, and keep up from now on.

        Raises:
            EngineUnavailable: it could not be read.
        """
        await self.refresh()
        self._looking = asyncio.create_task(self._look_forever(), name="revocations")

    async def stop(self) -> None:
        """Keep up no more. Idempotent."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None

    @property
    def is_stale(self) -> bool:
        """Whether the engine could not be asked for so long that somebody may be let in by mistake."""
        return time.monotonic() - self._compared_at_s > STALE_AFTER_S

    def is_blocked(self, user: str) -> bool:
        """Whether ``user`` is kept out now."""
        return self._any and self._holds("user", user) is not None

    def is_revoked(self, user: str, token_id: str, issued_at_s: int | None) -> bool:
        """Whether a token of ``user`` with this ``jti`` and ``iat`` is good for nothing any more."""
        if not self._any:
            return False
        if token_id and self._holds("token", token_id) is not None:
            return True
        rule = self._holds("issued", user)
        # One that does not say when it was issued cannot claim to be a newer one.
        return rule is not None and (issued_at_s is None or issued_at_s * 1000 < rule.before_ms)

    def refusal(self, user: str, token_id: str, issued_at_s: int | None) -> Disconnect | None:
        """Why whoever comes with such a token is turned away: 4501, 3500, or None."""
        if not self._any:
            return None
        if self.is_blocked(user):
            return USER_BLOCKED
        return INVALID_TOKEN if self.is_revoked(user, token_id, issued_at_s) else None

    def _holds(self, kind: Kind, subject: str) -> Rule | None:
        rule = self._rules[kind].get(subject)
        return rule if rule is not None and rule.holds(self._wall_s() * 1000) else None

    async def refresh(self) -> None:
        """Have what the engine has now.

        Raises:
            EngineUnavailable: it could not be read; what was known stays.
        """
        async with self._reading:
            asked_at_s = time.monotonic()
            changes = await self._store.changes(self._version)
            if changes.complete:
                self._note_lost(changes)
            self._take(changes)
            self._compared_at_s = asked_at_s
            await self._give_back()

    def _note_lost(self, changes: Changes) -> None:
        """Remember what this copy knows and the engine forgot."""
        if not self._version.epoch:
            return
        now_ms = self._wall_s() * 1000
        # With the same epoch it went back to an earlier state of itself: a failover, a restored snapshot.
        went_back = changes.version.epoch == self._version.epoch
        there = {rule.key for rule in changes.rules}
        for rule in [rule for rules in self._rules.values() for rule in rules.values()]:
            if rule.number > changes.version.number if went_back else rule.key not in there:
                if went_back or rule.holds(now_ms):
                    self._owed[rule.key] = rule, not went_back

    def _take(self, changes: Changes) -> None:
        if changes.complete:
            for rules in self._rules.values():
                rules.clear()
            self._ends.clear()
        self._version = changes.version
        for rule in changes.rules:
            _, only_new = self._owed.get(rule.key, (rule, True))
            if only_new or not changes.complete:
                # Somebody said something newer of it meanwhile.
                self._owed.pop(rule.key, None)
        for rule in (*changes.rules, *(rule for rule, _ in self._owed.values())):
            self._rules[rule.kind][rule.subject] = rule
            if rule.until_ms is not None:
                heapq.heappush(self._ends, (rule.until_ms, rule.kind, rule.subject))
        self._any = any(self._rules.values())
        if changes.rules and self._on_change is not None:
            self._on_change(changes.rules)

    async def _give_back(self) -> None:
        if not self._owed:
            return
        log.warning("! the engine forgot %d revocations; they are given back to it", len(self._owed))
        for key, (rule, only_new) in list(self._owed.items()):
            try:
                if rule.until_ms == LIFTED:
                    await self._store.lift(rule.kind, rule.subject)
                else:
                    await self._store.put(rule, only_new=only_new)
            except EngineUnavailable:
                # With the next look.
                raise
            except HubError as error:
                log.error("! a revocation could not be given back: %s", error)
            del self._owed[key]

    async def _look_forever(self) -> None:
        told = False
        while True:
            await asyncio.sleep(self._look_every_s)
            try:
                await self.refresh()
                told = False
            except EngineUnavailable as error:
                if self.is_stale and not told:
                    told = True
                    log.error("! revocations could not be read for %.0f s: %s", STALE_AFTER_S, error.detail)
            except Exception:
                log.exception("! revocations could not be read")
            self._drop_old()

    def _drop_old(self) -> None:
        now_ms = self._wall_s() * 1000
        while self._ends and self._ends[0][0] <= now_ms:
            _, kind, subject = heapq.heappop(self._ends)
            rule = self._rules[kind].get(subject)
            if rule is not None and not rule.holds(now_ms):
                del self._rules[kind][subject]
        self._any = any(self._rules.values())
