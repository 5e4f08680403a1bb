"""Leases of nodes: who lives, told by Redis' clock alone.

A node holds one lease and renews it. A lease that was lost is never taken up again: the
node gets a new one under another name, and whatever it owned under the old name may be
cleaned away by anybody at any time. Knows nothing of what is owned.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from hub.engine.redis.commands import Commands
from hub.engine.redis.keys import CONTROL_TAG, Keys
from hub.engine.redis.scripts import load_script
from hub.errors import EngineUnavailable
from hub.model import NodeId

log = logging.getLogger(__name__)

LIVE_NODES_MAX_AGE_S = 1.0
"""How old the list of living nodes may be when it is used."""

_RETRY_AFTER_S = 1.0
_GIVE_BACK_WITHIN_S = 1.0

_RENEW = load_script("clock", "lease", "lease_renew")
_SURVEY = load_script("clock", "lease_survey")
_DROP = load_script("lease_drop")


@dataclass(frozen=True, slots=True)
class LeaseOptions:
    """How long a node may be silent before it counts as gone, and how often it speaks."""

    lease_s: float = 10.0
    renew_s: float = 3.0


@dataclass(frozen=True, slots=True)
class Survey:
    """The leases as Redis saw them at one moment.

    ``expired`` ones ran out but may still be renewed; a lease in neither set is gone for
    good. During ``grace`` nothing is buried: every node had trouble at once, and each
    gets one lease's time to come back.
    """

    living: frozenset[str]
    expired: frozenset[str]
    grace: bool


def node_of(lease: str) -> NodeId:
    """The node that holds or held ``lease``."""
    return NodeId(lease.rpartition("/")[0])


class NodeLeases:
    """The lease of this node, and what it sees of the others.

    ``description`` is written beside the lease for operators; JSON-ready.
    """

    def __init__(
        self,
        commands: Commands,
        keys: Keys,
        node_id: NodeId,
        options: LeaseOptions,
        description: Mapping[str, Any],
    ) -> None:
        self.node_id = node_id
        self._commands = commands
        self._keys = keys
        self._options = options
        self._description = orjson.dumps(dict(description))
        self._count = 0
        self._held = ""
        self._on_lost: list[Callable[[], None]] = []
        self._renewer: asyncio.Task[None] | None = None
        self._survey: Survey | None = None
        self._surveyed_at_s = 0.0
        self._surveying = asyncio.Lock()

    @property
    def current(self) -> str:
        """The name of the lease held; another one after every loss.

        Raises:
            EngineUnavailable: before :meth:`start`.
        """
        if not self._held:
            raise EngineUnavailable("this node holds no lease")
        return self._held

    @property
    def next_name(self) -> str:
        """The name of the lease that is taken next: at start, and after a loss."""
        return f"{self.node_id}/{self._count + 1}"

    @property
    def lease_s(self) -> float:
        """How long a lease lasts that is not renewed."""
        return self._options.lease_s

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call back after a lost lease was replaced; :attr:`current` is the new one then."""
        self._on_lost.append(callback)

    async def start(self) -> None:
        """Take the first lease and keep it until :meth:`stop`.

        Raises:
            EngineUnavailable: when Redis did not grant it.
        """
        await self.renew()
        self._renewer = asyncio.create_task(self._renew_forever(), name="node lease")

    async def stop(self) -> None:
        """Give the lease back, as far as Redis can be reached: the others need not wait for its end."""
        if self._renewer is not None:
            self._renewer.cancel()
            await asyncio.gather(self._renewer, return_exceptions=True)
            self._renewer = None
        lease, self._held = self._held, ""
        if not lease:
            return
        try:
            async with asyncio.timeout(_GIVE_BACK_WITHIN_S):
                await self._commands.run(
                    CONTROL_TAG, _DROP, [self._keys.nodes, self._keys.node_info], [lease]
                )
        except (EngineUnavailable, TimeoutError):
            log.warning("the lease could not be given back; it ends by itself")

    async def live_nodes(self) -> frozenset[NodeId]:
        """The nodes that live, this one among them; at most one second old.

        Raises:
            EngineUnavailable: when the list is older and could not be read.
        """
        survey = await self._recent_survey()
        return frozenset(node_of(lease) for lease in survey.living) | {self.node_id}

    async def _recent_survey(self) -> Survey:
        # One reader at a time: whoever waited here finds the answer already there.
        async with self._surveying:
            now_s = asyncio.get_running_loop().time()
            if self._survey is None or now_s - self._surveyed_at_s > LIVE_NODES_MAX_AGE_S:
                return await self._read_survey()
            return self._survey

    async def survey(self) -> Survey:
        """Bury what ran out, and look at what is left.

        Raises:
            EngineUnavailable: when Redis did not answer.
        """
        async with self._surveying:
            return await self._read_survey()

    async def _read_survey(self) -> Survey:
        # The age counts from before the question, so that it is never understated.
        asked_at_s = asyncio.get_running_loop().time()
        grace, living, expired = await self._commands.run(
            CONTROL_TAG,
            _SURVEY,
            [self._keys.nodes, self._keys.node_info, self._keys.grace],
            [""],
            repeatable=True,
        )
        self._survey = Survey(
            living=frozenset(lease.decode() for lease in living),
            expired=frozenset(lease.decode() for lease in expired),
            grace=bool(grace),
        )
        self._surveyed_at_s = asked_at_s
        return self._survey

    async def _renew_forever(self) -> None:
        pause_s = self._options.renew_s
        while True:
            await asyncio.sleep(pause_s)
            try:
                async with asyncio.timeout(self._options.renew_s):
                    await self.renew()
            except (EngineUnavailable, TimeoutError):
                log.warning("the node's lease could not be renewed; trying again")
                # Well before the lease ends.
                pause_s = min(_RETRY_AFTER_S, self._options.renew_s)
            except Exception:
                log.exception("renewing the node's lease failed; trying again")
                pause_s = self._options.renew_s
            else:
                pause_s = self._options.renew_s

    async def renew(self) -> None:
        """Extend the lease, or take a new one where it is lost.

        Raises:
            EngineUnavailable: it is unknown whether that was done; it may be done again.
        """
        next_name = self.next_name
        held = await self._commands.run(
            CONTROL_TAG,
            _RENEW,
            [self._keys.nodes, self._keys.node_info, self._keys.grace],
            [self._held, next_name, round(self._options.lease_s * 1000), self._description, ""],
        )
        if held:
            return
        was_held, self._held = self._held, next_name
        self._count += 1
        if was_held:
            log.warning("the node's lease was lost; it holds a new one now")
            for callback in self._on_lost:
                callback()
