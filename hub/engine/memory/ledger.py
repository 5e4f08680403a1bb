"""The ledger of the embedded engine: the pure rules, run over the users of this process.

Nothing in a method awaits, so each is one step, as a script is.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence

from hub.delivery import claiming, connecting, proving, writing
from hub.delivery.inbox import inbox_owner
from hub.delivery.model import (
    Ack,
    Acked,
    ClaimBatch,
    Claimed,
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
from hub.delivery.moment import Effects, Moment
from hub.delivery.rows import UserState
from hub.engine.ledger import OnWake
from hub.engine.memory.inboxes import Inboxes
from hub.engine.memory.wakes import Wakes

_CLAIM_BYTES = 9


def _random_claim() -> str:
    return secrets.token_urlsafe(_CLAIM_BYTES)


class MemoryLedger:
    """Inboxes, debts and claims of one process. ``new_claim`` names claims."""

    def __init__(
        self, inboxes: Inboxes, wakes: Wakes, *, new_claim: Callable[[], str] = _random_claim
    ) -> None:
        self._inboxes = inboxes
        self._wakes = wakes
        self._new_claim = new_claim

    async def notify(self, user: str, entry: NewEntry) -> Notified:
        at, effects = self._inboxes.moment(), Effects()
        state = self._inboxes.open(user, at, keep=True)
        known = writing.answer_known(state, entry, at)
        if known is not None:
            return known
        kept = self._inboxes.append(state, entry)
        notified = writing.owe_new_entry(state, kept, entry.body_hash, at, effects)
        self._inboxes.commit(state, at, effects)
        return notified

    async def plan(self, user: str) -> list[Planned]:
        at = self._inboxes.moment()
        return writing.plan(self._inboxes.open(user, at, keep=False), at)

    async def hello(self, user: str, device: str, hello: Hello) -> Welcome:
        at, effects = self._inboxes.moment(), Effects()
        state = self._open_of_device(user, device, at)
        welcome = connecting.hello(state, device, hello, at, effects)
        self._inboxes.commit(state, at, effects)
        return welcome

    async def set_state(self, user: str, device: str, generation: int, state: DeviceState) -> None:
        at = self._inboxes.moment()
        known = self._open_of_device(user, device, at)
        connecting.set_state(known, device, generation, state, at)
        self._inboxes.commit(known, at)

    async def leave(
        self, user: str, device: str, generation: int, how: Departure, unproven: Unproven | None = None
    ) -> None:
        at, effects = self._inboxes.moment(), Effects()
        state = self._open_of_device(user, device, at)
        connecting.leave(state, device, generation, how, unproven, at, effects)
        self._inboxes.commit(state, at, effects)

    async def ack(self, acks: Sequence[Ack]) -> list[Acked]:
        at = self._inboxes.moment()
        return [self._ack(proof, at) for proof in acks]

    def _ack(self, proof: Ack, at: Moment) -> Acked:
        effects = Effects()
        state = self._open_of_device(proof.user, proof.device, at)
        acked = proving.ack(state, proof, at, effects)
        self._inboxes.commit(state, at, effects)
        return acked

    def _open_of_device(self, user: str, device: str, at: Moment) -> UserState:
        """The user, who lives on only when the event is of one of their devices."""
        state = self._inboxes.open(user, at, keep=False)
        if device in state.devices:
            self._inboxes.keep(state, at)
        return state

    async def read(self, user: str, epoch: str, offset: int) -> ReadResult:
        at, effects = self._inboxes.moment(), Effects()
        state = self._inboxes.open(user, at, keep=False)
        # Nobody is begun to be kept by reading nothing.
        if epoch == state.top.epoch and (offset > 0 < state.top.offset or self._inboxes.keeps(user)):
            state = self._inboxes.open(user, at, keep=True)
        result = proving.read(state, epoch, offset, at, effects)
        self._inboxes.commit(state, at, effects)
        return result

    async def opened(self, user: str, device: str, notification: str) -> bool:
        at, effects = self._inboxes.moment(), Effects()
        state = self._inboxes.open(user, at, keep=False)
        known = writing.opened(state, device, notification, at, effects)
        self._inboxes.commit(state, at, effects)
        return known

    async def withdraw(self, user: str, notification: str) -> bool:
        at, effects = self._inboxes.moment(), Effects()
        state = self._inboxes.open(user, at, keep=False)
        taken_back = writing.withdraw(state, notification, at, effects)
        if taken_back:
            self._inboxes.blank(state, notification)
        self._inboxes.commit(state, at, effects)
        return taken_back

    async def summary(self, user: str) -> Summary:
        return proving.summarize(self._inboxes.open(user, self._inboxes.moment(), keep=False))

    async def trace(self, user: str, notification: str) -> list[Mark]:
        at = self._inboxes.moment()
        return self._inboxes.traces.marks(inbox_owner(user), notification, at.now_ms)

    async def forget(self, user: str) -> None:
        self._inboxes.forget(user)

    # for workers

    async def watch(self, lanes: Collection[str], on_wake: OnWake) -> None:
        self._wakes.watch(lanes, on_wake)

    async def claim(self, lane: str, limit: int, worker: str) -> ClaimBatch:
        at = self._inboxes.moment()
        rows: list[Claimed] = []
        looked_at: set[str] = set()
        dues = self._inboxes.dues
        while len(rows) < limit:
            due = dues.first(lane)
            if due is None or due.due_ms > at.now_ms or due.member in looked_at:
                break
            looked_at.add(due.member)
            claimed = self._claim_member(due.member, worker, at)
            if claimed is not None:
                rows.append(claimed)
        left = dues.first(lane)
        return ClaimBatch(tuple(rows), None if left is None else left.due_ms, at.now_ms)

    def _claim_member(self, member: str, worker: str, at: Moment) -> Claimed | None:
        owner, _, device = member.rpartition(":")
        state = self._inboxes.find(owner, at)
        row = None if state is None else state.devices.get(device)
        if state is None or row is None or not row.is_usable:
            self._inboxes.dues.remove(member)
            return None
        effects = Effects()
        claimed = claiming.claim(state, row, self._new_claim(), worker, at, effects)
        self._inboxes.commit(state, at, effects)
        return claimed

    async def finish(self, end: Finish) -> bool:
        at, effects = self._inboxes.moment(), Effects()
        owner = inbox_owner(end.user)
        state = self._inboxes.find(owner, at)
        row = None if state is None else state.devices.get(end.device)
        if state is None or row is None or not claiming.finish(state, row, end, at, effects):
            return False
        for dead in end.dead:
            self._inboxes.dead_letters.add(end.lane, end.user, end.device, dead, at.now_ms)
        if not row.is_usable:
            self._inboxes.release_token(owner, row.id, end.gone)
        self._inboxes.commit(state, at, effects)
        return True

    async def waiting_count(self, lane: str) -> int:
        return self._inboxes.dues.count(lane)

    async def oldest_due_ms(self, lane: str) -> int | None:
        first = self._inboxes.dues.first(lane)
        return None if first is None or first.due_ms > self._inboxes.moment().now_ms else first.due_ms

    async def dead_letters(self, lane: str | None, cursor: str, limit: int) -> DeadLetterPage:
        return self._inboxes.dead_letters.page(lane, cursor, limit, self._inboxes.moment().now_ms)

    async def replay_dead_letters(self, ids: Sequence[str]) -> int:
        at = self._inboxes.moment()
        count = 0
        for letter in self._inboxes.dead_letters.take(ids, at.now_ms):
            state = self._inboxes.find(inbox_owner(letter.user), at)
            row = None if state is None else state.devices.get(letter.device)
            if state is not None and row is not None:
                count += claiming.owe_again(state, row, letter.offset, at)
                self._inboxes.commit(state, at)
        return count

    async def drop_dead_letters(self, ids: Sequence[str]) -> int:
        return len(self._inboxes.dead_letters.take(ids, self._inboxes.moment().now_ms))
