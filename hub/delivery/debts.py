"""What is owed to a device, how long it may wait, and when it is due.

Presence never decides: it only chooses how long to wait for proof. Knows no event; events are made of these.
"""

from __future__ import annotations

from hub.delivery.model import Entry, Mark
from hub.delivery.moment import Effects, Moment
from hub.delivery.rows import DeviceRow, UserState


def owed_entries(state: UserState, row: DeviceRow, at: Moment) -> list[Entry]:
    """The entries that still need proof, a push or their expiry, oldest first."""
    if not row.is_usable or at.now_ms >= state.push_until_ms:
        return []
    if row.acked >= state.last_push and not row.again:
        return []
    owed: list[Entry] = []
    for entry in reversed(state.entries):
        if entry.offset <= row.acked:
            break
        if _is_owed(row, entry, at):
            owed.append(entry)
    owed.reverse()
    return owed


def _is_owed(row: DeviceRow, entry: Entry, at: Moment) -> bool:
    if not entry.terms.push or entry.terms.expires_at_ms <= at.now_ms or entry.offset <= row.acked:
        return False
    return (entry.offset > row.pushed and entry.offset not in row.sent) or entry.offset in row.again


def is_live(row: DeviceRow, at: Moment) -> bool:
    """Whether its user would see what comes by the socket: connected, on a living node, in front."""
    in_front = row.state == "foreground" or at.options.background_counts
    return row.online and at.lives(row.node) and in_front


def wait_ms(row: DeviceRow, at: Moment) -> int:
    """How long a new debt may wait for proof."""
    if is_live(row, at):
        return at.ack_wait_ms
    if row.online or row.left_how not in ("dropped", "drained"):
        return 0
    # It may have left in the future, by a clock that was set back since.
    return max(0, min(row.left_ms, at.now_ms) + at.grace_ms - at.now_ms)


def set_due(row: DeviceRow, due_ms: int, at: Moment) -> None:
    """Let a worker try at ``due_ms``. A row under a claim stays due when the claim runs out.

    One that waits for another attempt does not come nearer: a provider asked for that wait, and
    what is new would meet the same.
    """
    if row.claim and row.claim_until_ms > at.now_ms:
        if row.due_ms is None:
            row.due_ms = row.claim_until_ms
    elif row.attempts and row.due_ms is not None:
        row.due_ms = max(row.due_ms, due_ms)
    else:
        row.due_ms = due_ms


def set_due_by(row: DeviceRow, due_ms: int, at: Moment) -> None:
    """As :func:`set_due`, unless it is due earlier already."""
    set_due(row, due_ms if row.due_ms is None else min(row.due_ms, due_ms), at)


def set_due_after_wait(row: DeviceRow, at: Moment) -> None:
    """Put the debts off once more, so that the socket can win, but not for ever."""
    since_ms = owe_since(row, at)
    if wait_ms(row, at) > 0:
        set_due(row, min(at.now_ms + at.ack_wait_ms, since_ms + at.max_defer_ms), at)
    else:
        set_due(row, at.now_ms, at)


def owe_since(row: DeviceRow, at: Moment) -> int:
    """Since when something is owed; from now on, where nothing was."""
    if row.p0_ms is None:
        row.p0_ms = at.now_ms
    return row.p0_ms


def has_work(state: UserState, row: DeviceRow, at: Moment) -> bool:
    """Whether a worker has anything to tell this device."""
    return bool(row.clear) or row.badge_want is not None or bool(owed_entries(state, row, at))


def settle(state: UserState, row: DeviceRow, at: Moment) -> None:
    """Where nothing is left to tell, nothing is due. A running claim goes on to its end."""
    if not has_work(state, row, at):
        row.due_ms = row.p0_ms = None
        # Trouble with what is closed now says nothing about what comes.
        row.attempts = 0


def move_pushed(state: UserState, row: DeviceRow, up_to: int, at: Moment, effects: Effects) -> None:
    """Move ``pushed`` over what needs no push any more, up to the first that does.

    Whoever expired unproven and unsent is passed here, hence marked here, hence once.
    """
    passed = up_to
    for entry in state.entries_between(row.pushed, up_to):
        if _is_owed(row, entry, at):
            passed = entry.offset - 1
            break
        unsent = entry.offset > row.acked and entry.offset not in row.sent
        if entry.terms.push and unsent:
            effects.mark(entry.terms, Mark(at.now_ms, "expired", row.id))
    row.pushed = max(row.pushed, passed)
    row.sent = {offset for offset in row.sent if offset > row.pushed}
