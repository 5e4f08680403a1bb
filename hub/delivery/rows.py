"""What the ledger keeps of one user: the inbox as it stands, the ids it knows, and a row for each device.

Plain values that the rules change in place. Knows no rule and no engine.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from msgspec.structs import replace

from hub.delivery.model import Departure, DeviceRecord, DeviceState, Entry
from hub.model import Position

MAX_SHOWN = 32
"""Newest pushes of a device that can still be cleared from its screen."""


@dataclass(slots=True)
class DeviceRow:
    """One device of the user. Offsets are those of the stream whose ``birth`` it holds.

    ``acked`` is proven, all up to ``pushed`` needs no push any more, and neither does what is in
    ``sent``; ``again`` is what a replay owes once more. ``shown`` are offsets that the device's
    screen may show. ``p0_ms`` is since when something is owed, ``due_ms`` when a worker may try.
    """

    id: str
    record: DeviceRecord
    birth: str
    acked: int
    pushed: int
    token_hash: str = ""
    token_updated_ms: int = 0
    sent: set[int] = field(default_factory=set)
    again: set[int] = field(default_factory=set)
    shown: list[int] = field(default_factory=list)
    clear: list[str] = field(default_factory=list)
    badge_want: int | None = None
    badge_sent: int | None = None
    p0_ms: int | None = None
    due_ms: int | None = None
    claim: str = ""
    claim_until_ms: int = 0
    target: int = 0
    attempts: int = 0
    generation: int = 0
    node: str = ""
    client: str = ""
    state: DeviceState = "foreground"
    online: bool = False
    left_ms: int = 0
    left_how: Departure | None = None
    last_seen_ms: int = 0

    @property
    def is_usable(self) -> bool:
        """Whether it has a token that a push can go to."""
        return self.token_hash != ""

    def drop_token(self) -> None:
        """Without a token nothing is owed, and no claim of former debts goes on."""
        self.record = replace(self.record, token="")
        self.token_hash = ""
        self.sent.clear()
        self.again.clear()
        self.clear.clear()
        self.badge_want = self.badge_sent = None
        self.p0_ms = self.due_ms = None
        self.attempts = 0
        self.drop_claim()

    def drop_claim(self) -> None:
        """Whoever holds the row, holds it no longer."""
        self.claim = ""
        self.claim_until_ms = self.target = 0

    def begin_stream(self, birth: str) -> None:
        """Another stream, in which no offset means what it meant."""
        self.birth = birth
        self.acked = self.pushed = 0
        self.sent.clear()
        self.again.clear()
        self.shown.clear()
        self.clear.clear()
        self.attempts = 0
        self.drop_claim()

    def has_shown(self, offsets: set[int]) -> None:
        """The provider took pushes of these."""
        self.shown = sorted(offsets.union(self.shown))[-MAX_SHOWN:]


@dataclass(slots=True)
class Seen:
    """A notification id that this user's inbox knows, and where it went."""

    position: Position
    body_hash: str
    until_ms: int
    withdrawn: bool = False


@dataclass(slots=True)
class UserState:
    """One user. ``entries`` are those still in the inbox, oldest first, with offsets that only grow.

    ``last_push`` and ``push_until_ms`` bound what can be owed at all; the entries are the truth.
    """

    user: str
    top: Position
    birth: str
    entries: deque[Entry] = field(default_factory=deque)
    read: int = 0
    last_push: int = 0
    push_until_ms: int = 0
    devices: dict[str, DeviceRow] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)

    def move_to(self, top: Position, birth: str) -> None:
        """Take over where the stream is now; a new stream begins everything anew."""
        self.top = top
        if birth != self.birth:
            self.birth = birth
            self.entries.clear()
            self.read = self.last_push = self.push_until_ms = 0
        for row in self.devices.values():
            if row.birth != birth:
                row.begin_stream(birth)

    @property
    def unread(self) -> int:
        """Entries above the watermark that were not withdrawn."""
        count = 0
        for entry in reversed(self.entries):
            if entry.offset <= self.read:
                break
            count += not entry.terms.withdrawn
        return count

    def note_seen(self, notification: str, seen: Seen) -> None:
        """The inbox knows an id. Behind the others: the first is always the one whose time is over first."""
        self.seen.pop(notification, None)
        self.seen[notification] = seen

    def forget_seen(self, now_ms: int) -> None:
        """Let go the ids whose time is over."""
        while self.seen and now_ms >= self.seen[first := next(iter(self.seen))].until_ms:
            del self.seen[first]

    def entries_between(self, after: int, up_to: int) -> list[Entry]:
        """The entries with offsets above ``after``, up to ``up_to``, oldest first."""
        found: list[Entry] = []
        for entry in reversed(self.entries):
            if entry.offset <= after:
                break
            if entry.offset <= up_to:
                found.append(entry)
        found.reverse()
        return found

    def entry_of(self, notification: str) -> Entry | None:
        """The entry with this id, where the inbox still has it."""
        return next((entry for entry in reversed(self.entries) if entry.terms.id == notification), None)
