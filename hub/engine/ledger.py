"""Port: the ledger. Who owes whom: for each device of a user, what of the inbox it has not proven to have.

Every method is one atomic step; the time is the engine's own. An event for a row that is not
there, or with an offset of another epoch, changes nothing and returns the current position.
Knows no connection and no provider. Any method may raise ``EngineUnavailable``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from hub.delivery.model import (
    Ack,
    Acked,
    ClaimBatch,
    DeadLetterPage,
    Departure,
    DeviceState,
    Finish,
    Hello,
    Mark,
    NewEntry,
    Notified,
    Planned,
    ReadResult,
    Summary,
    Unproven,
    Welcome,
)

OnWake = Callable[[str], None]
"""Told the lane whose next due time may have come nearer; called on the loop's thread."""


class Ledger(Protocol):
    """Inboxes, debts and claims of all users."""

    async def notify(self, user: str, entry: NewEntry) -> Notified:
        """Append to the inbox, publish, and open a debt for each device with a token.

        An id known for this user writes nothing and answers as the first time, or says conflict
        when the body was another.
        """
        ...

    async def plan(self, user: str) -> list[Planned]:
        """What :meth:`notify` would do to each device now. Changes nothing."""
        ...

    async def hello(self, user: str, device: str, hello: Hello) -> Welcome:
        """The device is connected: the newest connection wins."""
        ...

    async def set_state(self, user: str, device: str, generation: int, state: DeviceState) -> None:
        """The app went to the foreground or the background. Ignored from a former connection."""
        ...

    async def leave(
        self, user: str, device: str, generation: int, how: Departure, unproven: Unproven | None = None
    ) -> None:
        """The device's connection ended. Ignored from a former connection."""
        ...

    async def ack(self, acks: Sequence[Ack]) -> list[Acked]:
        """Proofs of receipt, as one round trip. From any generation."""
        ...

    async def read(self, user: str, epoch: str, offset: int) -> ReadResult:
        """The user has seen everything up to ``offset``: counts for all devices, and is told to them."""
        ...

    async def opened(self, user: str, device: str, notification: str) -> bool:
        """The user opened this notification; a mark in its trace. False for one that is not known."""
        ...

    async def withdraw(self, user: str, notification: str) -> bool:
        """Take a notification back: out of the inbox and the debts, and off the devices it was pushed to.

        False when this user has no such notification, or it was withdrawn already.
        """
        ...

    async def summary(self, user: str) -> Summary:
        """The inbox now."""
        ...

    async def trace(self, user: str, notification: str) -> list[Mark]:
        """The marks of a notification for one user, oldest first; empty for an unknown one."""
        ...

    async def forget(self, user: str) -> None:
        """Remove the inbox, the devices and the debts of a user, and the traces of what is in the inbox.

        What nobody can find from there any more (traces and known ids of what has left it) expires by itself.
        """
        ...

    # for workers

    async def watch(self, lanes: Collection[str], on_wake: OnWake) -> None:
        """Tell ``on_wake`` whenever something of these lanes may be due earlier than was known.

        Also tells the empty lane whenever a job may be waiting (see ``Jobs``). Replaces a former watch.
        """
        ...

    async def claim(self, lane: str, limit: int, worker: str) -> ClaimBatch:
        """Claim up to ``limit`` rows of a lane that are due, for ``claim_s``."""
        ...

    async def finish(self, end: Finish) -> bool:
        """Settle a claim. False, and nothing changed, when the claim is not the current one any more."""
        ...

    async def waiting_count(self, lane: str) -> int:
        """Devices of a lane that are owed something, whether it is due now or later. For metrics."""
        ...

    async def oldest_due_ms(self, lane: str) -> int | None:
        """When the longest waiting row of a lane became due, unix ms; None for none. For metrics."""
        ...

    async def dead_letters(self, lane: str | None, cursor: str, limit: int) -> DeadLetterPage:
        """Dead letters, of one lane or of all. They are kept 7 days."""
        ...

    async def replay_dead_letters(self, ids: Sequence[str]) -> int:
        """Owe them again, where the entry still is in the inbox, and drop the letters; how many it were."""
        ...

    async def drop_dead_letters(self, ids: Sequence[str]) -> int:
        """Forget the letters; how many it were."""
        ...
