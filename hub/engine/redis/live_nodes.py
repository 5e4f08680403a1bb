"""Which nodes live, as the ledger's scripts are told: a text that is at most a second old.

Reads leases and changes none, so that whoever is no node can use it too.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Protocol

from hub.engine.redis.commands import Commands
from hub.engine.redis.keys import CONTROL_TAG, Keys
from hub.engine.redis.leases import LIVE_NODES_MAX_AGE_S, node_of
from hub.engine.redis.scripts import load_script

_LOOK = load_script("clock", "lease_look")


class NodesAlive(Protocol):
    """Tells who lives."""

    @property
    def fresh(self) -> str | None:
        """What :meth:`read` would give, where it need not be read."""
        ...

    @property
    def age_ms(self) -> int:
        """How old that is: a node that is younger cannot be in it."""
        ...

    async def read(self) -> str:
        """The living nodes, a line break around each; empty where nobody can be told from the dead."""
        ...


class LiveNodes:
    """The living nodes by their leases. During the grace after Redis was away, all count as alive."""

    def __init__(self, commands: Commands, keys: Keys, *, now_ms: Callable[[], int] | None = None) -> None:
        self._commands = commands
        self._keys = keys
        self._now_ms = now_ms
        self._text = ""
        self._asked_at_s = float("-inf")
        self._reading = asyncio.Lock()

    @property
    def fresh(self) -> str | None:
        """What was read less than a second ago."""
        age_s = asyncio.get_running_loop().time() - self._asked_at_s
        return self._text if age_s <= LIVE_NODES_MAX_AGE_S else None

    @property
    def age_ms(self) -> int:
        """Since it was asked for."""
        return math.ceil((asyncio.get_running_loop().time() - self._asked_at_s) * 1000)

    async def read(self) -> str:
        """Read it, unless it is fresh.

        Raises:
            EngineUnavailable: when Redis did not answer.
        """
        # One reader at a time: whoever waited here finds the answer already there.
        async with self._reading:
            if (text := self.fresh) is not None:
                return text
            asked_at_s = asyncio.get_running_loop().time()
            now: int | str = "" if self._now_ms is None else self._now_ms()
            leases = await self._commands.run(
                CONTROL_TAG, _LOOK, [self._keys.nodes, self._keys.grace], [now], repeatable=True
            )
            self._text = text_of(node_of(lease.decode()) for lease in leases)
            self._asked_at_s = asked_at_s
            return self._text


def text_of(nodes: Iterable[str]) -> str:
    """Nodes as scripts read them."""
    lines = sorted(set(nodes))
    return "\n" + "\n".join(lines) + "\n" if lines else ""
