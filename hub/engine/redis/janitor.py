"""Cleans up behind nodes that ended without a word: their presence goes with their lease.

Every node runs one; they need not agree, since each step may be done twice and a lease that
is gone never comes back. Knows leases and what they own, no channel and no connection.
"""

from __future__ import annotations

import asyncio
import logging
import random

from hub.engine.redis.commands import Commands
from hub.engine.redis.keys import Keys
from hub.engine.redis.leases import NodeLeases, Survey
from hub.engine.redis.presence_entries import BATCH_COUNT, remove_members, seat_of
from hub.errors import EngineUnavailable

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""How soon after its end a lease is seen to be gone."""

SWEEP_EVERY_S = 30.0
"""How often everything is looked through although no lease ended: what others left undone."""

_MAX_JITTER_S = 0.25
"""Nodes see a lease end at the same moment; they do not all begin at once."""


class Janitor:
    """Removes what dead leases own, some entries at a time, from the partitions ``tags``."""

    def __init__(self, commands: Commands, keys: Keys, leases: NodeLeases) -> None:
        self._commands = commands
        self._keys = keys
        self._leases = leases
        self._tags = keys.partition_tags
        self._seen: frozenset[str] = frozenset()
        self._sweep_at_s = 0.0
        self._task: asyncio.Task[None] | None = None

    def widen(self, partitions: int) -> None:
        """Clean ``partitions`` partitions: more than are in use now, when there once were more."""
        self._tags = [f"p{number}" for number in range(max(partitions, self._keys.partitions))]

    async def start(self) -> None:
        """Begin to look. After the lease was taken."""
        self._task = asyncio.create_task(self._look_forever(), name="janitor")

    async def stop(self) -> None:
        """Stop in the middle of anything; whoever comes next goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _look_forever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S + random.uniform(0, _MAX_JITTER_S))
            try:
                await self.look()
            except EngineUnavailable:
                log.debug("the leases could not be seen; looking again")
            except Exception:
                # The next round finds whatever is left.
                log.exception("cleaning up behind dead nodes failed")

    async def look(self) -> None:
        """See which leases there are, and sweep when one has gone or the last sweep is long ago.

        Raises:
            EngineUnavailable: something could not be read or removed; it is tried again.
        """
        survey = await self._leases.survey()
        known = survey.living | survey.expired
        now_s = asyncio.get_running_loop().time()
        if self._seen - known:
            self._sweep_at_s = now_s
        self._seen = known
        if now_s >= self._sweep_at_s and self._may_judge(survey):
            await self.sweep()
            self._sweep_at_s = now_s + SWEEP_EVERY_S

    def _may_judge(self, survey: Survey) -> bool:
        # Where this node's own lease is missing too, Redis forgot them all, and the living renew theirs.
        return not survey.grace and self._leases.current in survey.living

    async def sweep(self) -> None:
        """Remove what leases own that are gone.

        Raises:
            EngineUnavailable: it is not finished; doing it again goes on where it stopped.
        """
        owners = await asyncio.gather(*map(self._owners, self._tags), return_exceptions=True)
        # The leases are read last: an owner that is not among them had its lease before, and lost it.
        survey = await self._leases.survey()
        if not self._may_judge(survey):
            return
        known = survey.living | survey.expired
        dead: list[tuple[str, str]] = []
        failures: list[BaseException] = []
        for tag, found in zip(self._tags, owners, strict=True):
            if isinstance(found, BaseException):
                failures.append(found)
            else:
                dead += ((tag, lease) for lease in found if lease not in known)
        # Each node in an order of its own, so that two of them share the work.
        random.shuffle(dead)
        for tag, lease in dead:
            try:
                await self._reap(tag, lease)
            except EngineUnavailable as error:
                failures.append(error)
        if dead:
            log.info("presence of %d ended leases was removed", len({lease for _, lease in dead}))
        if failures:
            raise failures[0]

    async def _owners(self, tag: str) -> list[str]:
        found = await self._commands.call(tag, "SMEMBERS", self._keys.owners(tag), repeatable=True)
        return [lease.decode() for lease in found]

    async def _reap(self, tag: str, lease: str) -> None:
        owned = self._keys.owned(tag, lease)
        while True:
            names = await self._commands.call(tag, "SRANDMEMBER", owned, BATCH_COUNT, repeatable=True)
            seats = [seat_of(name) for name in names]
            await remove_members(self._commands, self._keys, tag, lease, seats, only_owned=True)
            if len(names) < BATCH_COUNT:
                return
