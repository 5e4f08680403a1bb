"""What this node tells the ledger of the devices on its sockets: what they have, and that they left.

Gathers the proofs of one turn of the loop into one call, and keeps what the engine could not take
until it can. A device's departure is told after what it proved. Knows no socket and no ping.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from hub.delivery.model import Ack, Acked, Departure, DeviceState, Hello, Unproven, Welcome
from hub.engine import Ledger
from hub.errors import EngineUnavailable

log = logging.getLogger(__name__)

MAX_KEPT = 100_000
"""Proofs, and departures, that wait for an engine that is away. The oldest go first."""

_AT_ONCE = 500
"""Calls that are under way at the same time, and proofs of one call."""

_RETRY_MIN_S, _RETRY_MAX_S = 0.05, 2.0

_Key = tuple[str, str]
_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class _Departed:
    user: str
    device: str
    generation: int
    how: Departure
    unproven: Unproven | None

    @property
    def key(self) -> _Key:
        return self.user, self.device


class Proofs:
    """The way of this node's devices to the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._proofs: dict[_Key, Ack] = {}
        """The newest proof of each device that was not told yet."""
        self._departed: dict[_Key, _Departed] = {}
        """The last departure of each device; of former ones the ledger would hear nothing new."""
        self._worker: asyncio.Task[None] | None = None

    async def stop(self, deadline_s: float) -> None:
        """Tell what is left to tell, within ``deadline_s``."""
        worker = self._worker
        if worker is None:
            return
        await asyncio.wait([worker], timeout=deadline_s)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)

    async def hello(self, user: str, device: str, hello: Hello) -> Welcome:
        """A device is connected; what it proved before is told first.

        Raises:
            EngineUnavailable: it is unknown whether that was noted.
        """
        kept = self._proofs.get((user, device))
        if kept is not None:
            await self._ledger.ack([kept])
        return await self._ledger.hello(user, device, hello)

    async def set_state(self, user: str, device: str, generation: int, state: DeviceState) -> None:
        """The app on the device went to the foreground or the background.

        Raises:
            EngineUnavailable: it is unknown whether that was noted.
        """
        await self._ledger.set_state(user, device, generation, state)

    def prove(self, ack: Ack) -> None:
        """A device has everything up to an offset. Told after this turn, or once the engine is back."""
        key = (ack.user, ack.device)
        known = self._proofs.get(key)
        if known is not None and known.epoch == ack.epoch and known.offset >= ack.offset:
            return
        self._proofs[key] = ack
        self._wake()

    def leave(
        self, user: str, device: str, generation: int, how: Departure, unproven: Unproven | None
    ) -> None:
        """A device's connection ended. Told after what it proved."""
        departed = _Departed(user, device, generation, how, unproven)
        known = self._departed.get(departed.key)
        if known is None or known.generation <= generation:
            self._departed[departed.key] = departed
        self._wake()

    def _wake(self) -> None:
        # A task of its own begins with the next turn: all of this one is then gathered.
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._tell_all(), name="proofs")

    async def _tell_all(self) -> None:
        delay_s = _RETRY_MIN_S
        try:
            while self._proofs or self._departed:
                if await self._tell():
                    delay_s = _RETRY_MIN_S
                else:
                    await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))
                    delay_s = min(delay_s * 2, _RETRY_MAX_S)
        finally:
            self._worker = None

    async def _tell(self) -> bool:
        """One round; False when the engine was away for some of it, which is then kept."""
        proofs, self._proofs = self._proofs, {}
        departed, self._departed = self._departed, {}
        untold = await self._tell_proofs(proofs)
        # A departure says what was left unproven: not while a proof is still to come.
        kept = {key: each for key, each in departed.items() if key in untold}
        told = [each for key, each in departed.items() if key not in untold]
        for each, outcome in zip(told, await _each(told, self._tell_departed), strict=True):
            if isinstance(outcome, EngineUnavailable):
                kept[each.key] = each
        for key, proof in untold.items():
            self._proofs.setdefault(key, proof)
        for key, each in kept.items():
            self._departed.setdefault(key, each)
        _shorten(self._proofs, "proofs")
        _shorten(self._departed, "departures")
        return not untold and not kept

    async def _tell_proofs(self, proofs: Mapping[_Key, Ack]) -> dict[_Key, Ack]:
        """Tell these; the proofs that the engine could not take."""
        outcomes: list[Acked | BaseException] = []
        acks = list(proofs.values())
        for first in range(0, len(acks), _AT_ONCE):
            # After a long absence of the engine there are many, and connections want their turn too.
            outcomes += await self._acknowledge(acks[first : first + _AT_ONCE])
        return {
            key: ack
            for (key, ack), outcome in zip(proofs.items(), outcomes, strict=True)
            if isinstance(outcome, EngineUnavailable)
        }

    async def _acknowledge(self, acks: Sequence[Ack]) -> Sequence[Acked | BaseException]:
        try:
            return await self._ledger.ack(acks)
        except Exception as error:
            if len(acks) == 1:
                _log_unless_away(error)
                return [error]
        # One partition that is away must not hold back what the others could take.
        return await _each(acks, self._acknowledge_one)

    async def _acknowledge_one(self, ack: Ack) -> Acked:
        (acked,) = await self._ledger.ack([ack])
        return acked

    async def _tell_departed(self, departed: _Departed) -> None:
        await self._ledger.leave(
            departed.user, departed.device, departed.generation, departed.how, departed.unproven
        )


async def _each(items: Sequence[_T], call: Callable[[_T], Awaitable[_R]]) -> list[_R | BaseException]:
    """Call for each, some at a time; what came of each, failures included."""
    outcomes: list[_R | BaseException] = []
    for first in range(0, len(items), _AT_ONCE):
        some = items[first : first + _AT_ONCE]
        outcomes += await asyncio.gather(*(call(each) for each in some), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            _log_unless_away(outcome)
    return outcomes


def _log_unless_away(error: Exception) -> None:
    if not isinstance(error, EngineUnavailable):
        log.error("something about a device could not be told", exc_info=error)


def _shorten(kept: dict[_Key, _T], what: str) -> None:
    excess = len(kept) - MAX_KEPT
    if excess > 0:
        log.warning("%d %s are given up: the engine is away for too long", excess, what)
        for key in list(islice(kept, excess)):
            del kept[key]
