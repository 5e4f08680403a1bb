"""What ledger and devices of the embedded engine share: the users, and what an event leaves behind.

Rules change rows; here is seen to it that the queue of due rows, the traces and the inbox follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from hub.delivery.inbox import INBOX_POLICY, inbox_channel, inbox_owner
from hub.delivery.model import Entry, NewEntry
from hub.delivery.moment import Effects, Moment
from hub.delivery.options import DeliveryOptions
from hub.delivery.rows import DeviceRow, UserState
from hub.delivery.writing import withdrawn_data
from hub.engine.memory.broker import SWEPT_AT_ONCE, MemoryBroker
from hub.engine.memory.dead_letters import DeadLetters
from hub.engine.memory.dues import DueQueue
from hub.engine.memory.traces import Traces
from hub.engine.memory.wakes import Wakes

ROW_LIFE_MS = INBOX_POLICY.meta_ttl_s * 1000
"""How long rows live after they were last of use."""


@dataclass(slots=True)
class _User:
    state: UserState
    until_ms: int


class Inboxes:
    """All users of one process. Every call is one step: nothing in here awaits.

    ``live_nodes`` need not be told where this process is the only node.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        wakes: Wakes,
        options: DeliveryOptions,
        now_ms: Callable[[], int],
        live_nodes: Callable[[], AbstractSet[str]] = frozenset,
    ) -> None:
        self.dues = DueQueue()
        self.traces = Traces(options.trace_ttl_s * 1000)
        self.dead_letters = DeadLetters()
        self.holders: dict[str, tuple[str, str]] = {}
        """Owner and device of each token, by its hash."""
        self._broker = broker
        self._wakes = wakes
        self._options = options
        self._now_ms = now_ms
        self._live_nodes = live_nodes
        self._users: dict[str, _User] = {}
        broker.on_sweep(self.sweep)

    def moment(self) -> Moment:
        """Now."""
        return Moment(self._now_ms(), self._options, self._live_nodes())

    def owners(self) -> list[str]:
        """All users with a state, as they are at this moment."""
        return list(self._users)

    def keeps(self, user: str) -> bool:
        """Whether anything is kept of a user."""
        return inbox_owner(user) in self._users

    def find(self, owner: str, at: Moment) -> UserState | None:
        """The user of an owner name, with the inbox as it stands; None where nothing is kept."""
        kept = self._users.get(owner)
        if kept is None:
            return None
        if at.now_ms >= kept.until_ms:
            self._let_go(owner, kept.state)
            return None
        self._follow_stream(kept.state)
        return kept.state

    def open(self, user: str, at: Moment, *, keep: bool) -> UserState:
        """The user with the inbox as it stands. ``keep`` lets rows and position live on from now."""
        owner = inbox_owner(user)
        state = self.find(owner, at)
        if state is None:
            top = self._broker.inbox_stream(inbox_channel(user), keep_unused=keep).top
            state = UserState(user, top, top.epoch)
            if keep:
                self._users[owner] = _User(state, 0)
        if keep:
            self.keep(state, at)
        return state

    def keep(self, state: UserState, at: Moment) -> None:
        """Let the rows of a user who is kept, and the inbox's position, live on from now."""
        self._users[inbox_owner(state.user)].until_ms = at.now_ms + ROW_LIFE_MS
        self._broker.inbox_stream(inbox_channel(state.user), keep_unused=True)

    def _follow_stream(self, state: UserState) -> None:
        stream = self._broker.inbox_stream(inbox_channel(state.user), keep_unused=False)
        state.move_to(stream.top, stream.top.epoch)
        while state.entries and state.entries[0].offset < stream.oldest_offset:
            state.entries.popleft()

    def append(self, state: UserState, entry: NewEntry) -> Entry:
        """Into the inbox and out to whoever listens."""
        kept = self._broker.append(inbox_channel(state.user), entry.data, INBOX_POLICY)
        self._follow_stream(state)
        return Entry(kept.offset, kept.time_ms, entry.terms, entry.data)

    def blank(self, state: UserState, notification: str) -> None:
        """Replace a withdrawn entry where it stands in the inbox."""
        entry = state.entry_of(notification)
        if entry is not None:
            self._broker.replace(inbox_channel(state.user), entry.offset, withdrawn_data(notification))

    def commit(self, state: UserState, at: Moment, effects: Effects | None = None) -> None:
        """Carry out what an event left behind."""
        owner = inbox_owner(state.user)
        fallen: set[str] = set()
        for row in state.devices.values():
            if self.dues.place(f"{owner}:{row.id}", row.record.lane, row.due_ms):
                fallen.add(row.record.lane)
        if effects is not None:
            for message in effects.messages:
                self._broker.tell(inbox_channel(state.user), message)
            for notification, mark in effects.marks:
                self.traces.add(owner, notification, mark, at.now_ms)
        for lane in fallen:
            self._wakes.tell(lane)

    def release(self, owner: str, row: DeviceRow) -> None:
        """A row is gone: neither due nor the holder of its token any more."""
        self.dues.remove(f"{owner}:{row.id}")
        self.release_token(owner, row.id, row.token_hash)

    def release_token(self, owner: str, device: str, token_hash: str) -> None:
        """The device holds this token no longer, if it did."""
        if self.holders.get(token_hash) == (owner, device):
            del self.holders[token_hash]

    def forget(self, user: str) -> None:
        """Everything of a user."""
        owner = inbox_owner(user)
        kept = self._users.get(owner)
        if kept is not None:
            self._let_go(owner, kept.state)
        self.traces.forget(owner)
        self.dead_letters.forget(user)
        self._broker.forget(inbox_channel(user))

    def _let_go(self, owner: str, state: UserState) -> None:
        for row in state.devices.values():
            self.release(owner, row)
        del self._users[owner]

    def sweep(self) -> Iterator[None]:
        """Free everything whose time is over. Others get their turn where it yields."""
        now_ms = self._now_ms()
        self.dead_letters.sweep(now_ms)
        yield from self.traces.sweep(now_ms)
        for number, owner in enumerate(list(self._users), 1):
            kept = self._users.get(owner)
            if kept is not None and now_ms >= kept.until_ms:
                self._let_go(owner, kept.state)
            elif kept is not None:
                kept.state.forget_seen(now_ms)
            if number % SWEPT_AT_ONCE == 0:
                yield
