"""Values of the ledger: entries, devices, debts, claims and their ends. Immutable, no behaviour but shape.

All times are unix milliseconds of the engine's clock. Provider tokens are secrets: ``repr`` leaves them out.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from hub.model import Position

DeviceState = Literal["foreground", "background"]
Departure = Literal["dropped", "closed", "drained"]
"""How a connection ended: the socket broke, the client said goodbye, or the hub sent it away."""

Event = Literal[
    "accepted",
    "written",
    "proven",
    "due",
    "claimed",
    "attempt",
    "pushed",
    "retry",
    "dropped",
    "read",
    "opened",
    "withdrawn",
    "expired",
]


class EntryTerms(Struct, frozen=True):
    """What a notification asks of the ledger, kept beside its entry in the inbox.

    ``push`` says that it may be pushed; ``thread`` is a short hash that groups entries, empty
    for none; ``details`` is JSON for the payload builders (``priority``, ``overrides``).
    ``full_trace`` off keeps the marks of the end alone, as large calls do.
    """

    id: str
    push: bool
    expires_at_ms: int
    full_trace: bool = True
    thread: str = ""
    details: bytes = b"{}"
    withdrawn: bool = False


class NewEntry(Struct, frozen=True):
    """A notification on its way into one inbox. ``data`` is the publication's payload, byte for byte.

    ``body_hash`` tells the same call sent again from another one under the same id.
    """

    terms: EntryTerms
    data: bytes
    body_hash: str


class Entry(Struct, frozen=True):
    """An entry as it stands in the inbox."""

    offset: int
    appended_ms: int
    terms: EntryTerms
    data: bytes = b""


class Notified(Struct, frozen=True):
    """What came of writing an entry. A ``duplicate`` was written before; a ``conflict`` wrote nothing."""

    position: Position
    duplicate: bool = False
    conflict: bool = False


class Planned(Struct, frozen=True):
    """What a notification would do to a device now: ``socket`` first, ``push`` after ``wait_ms``, or none."""

    device: str
    way: Literal["socket", "push", "none"]
    wait_ms: int


class DeviceRecord(Struct, frozen=True):
    """What an app registers. ``token`` is the provider's, or the JSON text of a Web Push subscription."""

    platform: str
    provider: str
    app: str
    environment: str
    token: str
    locale: str = ""
    timezone: str = ""
    app_version: str = ""

    def __repr__(self) -> str:
        return f"DeviceRecord({self.platform!r}, {self.lane!r})"

    @property
    def lane(self) -> str:
        """The queue of its pushes: a dead provider fills nobody else's."""
        return lane_name(self.provider, self.app, self.environment)


class DeviceView(Struct, frozen=True):
    """A device as its owner and operators may see it. Without the token, of which only a hash is shown."""

    id: str
    platform: str
    provider: str
    app: str
    environment: str
    token_hash: str
    state: Literal["foreground", "background", "offline"]
    last_seen_ms: int
    acked: int
    owed: int


class ExportedDevice(Struct, frozen=True):
    """A registration as ``hub devices export`` writes it, token included."""

    user: str
    device: str
    record: DeviceRecord
    token_updated_ms: int


class Hello(Struct, frozen=True):
    """A device connected. ``cursor`` is what the client itself brought for its inbox: proof up to there.

    ``resumes`` is the generation that this very connection was given before, where a hub that
    was away tells of it again; a row with another one is then left alone.
    """

    node: str
    client: str
    state: DeviceState
    cursor: Position | None = None
    resumes: int | None = None


class Summary(Struct, frozen=True):
    """An inbox at one moment: its top, the read watermark, and how many entries are above it."""

    top: Position
    read: int
    unread: int


class Welcome(Struct, frozen=True):
    """Where a device stands. Without a row (``registered`` False, generation 0) nothing was noted.

    ``registered`` says that it has a row with a usable token, ``known`` that it has a row.
    ``replaced`` is the (node, client) of its former connection, which must be closed.
    """

    summary: Summary
    known: bool
    registered: bool
    generation: int = 0
    acked: int = 0
    replaced: tuple[str, str] | None = None


class Ack(Struct, frozen=True):
    """Proof that a device has all up to ``offset``. ``written_ms`` is when the hub wrote that, 0 unknown."""

    user: str
    device: str
    epoch: str
    offset: int
    node: str = ""
    written_ms: int = 0
    how: Literal["pong", "ack", "receipt", "history"] = "ack"


class Acked(Struct, frozen=True):
    """Where the device stands now. ``known`` False: it has no row. ``same_epoch`` False: nothing changed."""

    top: Position
    acked: int
    known: bool
    same_epoch: bool


class ReadResult(Struct, frozen=True):
    """The watermark after a read. ``same_epoch`` False: nothing changed."""

    summary: Summary
    same_epoch: bool


class Unproven(Struct, frozen=True):
    """What a connection had written beyond what was proven when it ended, for the trace."""

    offset: int
    written_ms: int


class Group(Struct, frozen=True):
    """What one push tells of: the newest entry of a thread, and all offsets it stands for, oldest first."""

    newest: Entry
    offsets: tuple[int, ...]
    ids: tuple[str, ...] = ()
    """The notification id of each of ``offsets``."""

    @property
    def count(self) -> int:
        """How many notifications it stands for."""
        return len(self.offsets)


class Claimed(Struct, frozen=True):
    """A device whose debts one worker may try to settle until ``until_ms``.

    ``groups`` come oldest thread first; ``rest`` are offsets of further threads, to be told by
    one ``sync``. ``badge`` is the count to show where a read must be told, None else. ``clear``
    are the ids of withdrawn notifications that were pushed. ``unread`` is the badge as of now.
    """

    user: str
    device: str
    claim: str
    now_ms: int
    until_ms: int
    record: DeviceRecord
    token_hash: str
    token_updated_ms: int
    epoch: str
    target: int
    read: int
    unread: int
    attempts: int
    groups: tuple[Group, ...] = ()
    rest: tuple[Entry, ...] = ()
    """Entries (without data) that the ``sync`` push stands for."""
    badge: int | None = None
    clear: tuple[str, ...] = ()


class ClaimBatch(Struct, frozen=True):
    """Rows claimed now. ``next_due_ms`` is when the next row of the lane is due, None for none known.

    ``now_ms`` is the engine's time of the claim: whoever waits for ``next_due_ms`` has a clock of its own.
    """

    rows: tuple[Claimed, ...]
    next_due_ms: int | None
    now_ms: int = 0


class Mark(Struct, frozen=True):
    """One step in the life of a notification, for one device or (device empty) for the user."""

    time_ms: int
    event: Event
    device: str = ""
    node: str = ""
    detail: str = ""


class NewMark(Struct, frozen=True):
    """A mark that a finish leaves on a notification."""

    id: str
    event: Event
    detail: str = ""


class DeadOffset(Struct, frozen=True):
    """An entry that can never be sent to this device as it is, and why."""

    offset: int
    id: str
    reason: str


class Finish(Struct, frozen=True):
    """How a claim ended.

    ``sent`` are offsets the provider took; ``dead`` go to the dead letters; ``retry_ms`` puts
    off what is left after an attempt that failed, ``put_off_ms`` what the device is not to blame for, and no
    attempt is counted (more than 0, never both); ``gone`` drops the token with this hash, unless it
    was registered after ``gone_at_ms`` (None: whenever). ``badge_sent`` and ``cleared`` settle those.
    ``node`` is the worker.
    """

    user: str
    device: str
    lane: str
    claim: str
    sent: tuple[int, ...] = ()
    dead: tuple[DeadOffset, ...] = ()
    retry_ms: int | None = None
    gone: str = ""
    gone_at_ms: int | None = None
    badge_sent: int | None = None
    cleared: tuple[str, ...] = ()
    marks: tuple[NewMark, ...] = ()
    node: str = ""
    put_off_ms: int | None = None


class DeadLetter(Struct, frozen=True):
    """A notification that could not be sent to one device. ``id`` names the letter itself."""

    id: str
    lane: str
    user: str
    device: str
    notification: str
    offset: int
    reason: str
    time_ms: int


class DeadLetterPage(Struct, frozen=True):
    """Some dead letters, oldest first; ``cursor`` reads on, empty at the end."""

    letters: tuple[DeadLetter, ...]
    cursor: str


def lane_name(provider: str, app: str, environment: str) -> str:
    """The queue of an app's pushes at one provider."""
    return f"{provider}:{app}:{environment}"
