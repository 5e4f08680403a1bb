"""A worker takes a device's debts for a while, and says what became of them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from hub.delivery.debts import has_work, is_live, move_pushed, owe_since, owed_entries, set_due, settle
from hub.delivery.model import Claimed, Entry, Finish, Group, Mark
from hub.delivery.moment import Effects, Moment
from hub.delivery.rows import DeviceRow, UserState


def claim(
    state: UserState, row: DeviceRow, claim_id: str, worker: str, at: Moment, effects: Effects
) -> Claimed | None:
    """Hand the debts of a due row to ``worker``; None, and nothing due, where there are none any more."""
    move_pushed(state, row, state.top.offset, at, effects)
    if not has_work(state, row, at):
        settle(state, row, at)
        return None
    owed = owed_entries(state, row, at)
    due_ms = at.now_ms if row.due_ms is None else row.due_ms
    row.claim, row.claim_until_ms, row.target = claim_id, at.now_ms + at.claim_ms, state.top.offset
    row.due_ms = row.claim_until_ms
    for entry in owed:
        effects.mark(entry.terms, Mark(due_ms, "due", row.id))
        effects.mark(entry.terms, Mark(at.now_ms, "claimed", row.id, worker, claim_id))
    unread = state.unread
    if row.badge_want is not None:
        # What the worker is told is what it will say it sent.
        row.badge_want = unread
    groups, rest = group_by_thread(owed, at.options.max_groups)
    return Claimed(
        user=state.user,
        device=row.id,
        claim=claim_id,
        now_ms=at.now_ms,
        until_ms=row.claim_until_ms,
        record=row.record,
        token_hash=row.token_hash,
        token_updated_ms=row.token_updated_ms,
        epoch=state.top.epoch,
        target=row.target,
        read=state.read,
        unread=unread,
        attempts=row.attempts,
        groups=groups,
        rest=rest,
        badge=row.badge_want,
        clear=tuple(row.clear),
    )


def group_by_thread(owed: Sequence[Entry], max_groups: int) -> tuple[tuple[Group, ...], tuple[Entry, ...]]:
    """The pushes for these entries, oldest thread first, and what is beyond ``max_groups``, without data.

    An entry without a thread is a thread of its own.
    """
    threads: dict[str | int, list[Entry]] = {}
    rest: list[Entry] = []
    for entry in owed:
        thread: str | int = entry.terms.thread or entry.offset
        if thread in threads:
            threads[thread].append(entry)
        elif len(threads) < max_groups:
            threads[thread] = [entry]
        else:
            rest.append(replace(entry, data=b""))
    groups = tuple(
        Group(
            entries[-1],
            tuple(entry.offset for entry in entries),
            tuple(entry.terms.id for entry in entries),
        )
        for entries in threads.values()
    )
    return groups, tuple(rest)


def finish(state: UserState, row: DeviceRow, end: Finish, at: Moment, effects: Effects) -> bool:
    """Settle a claim; False, and nothing changed, when another one took its place.

    Dead letters are the caller's to keep.
    """
    if not row.claim or row.claim != end.claim:
        return False
    target = row.target
    row.drop_claim()
    if end.put_off_ms is None:
        row.attempts = 0 if end.retry_ms is None else row.attempts + 1
    read_on_its_way = _note_sent(state, row, end)
    _note_told(row, end)
    if read_on_its_way and not is_live(row, at) and end.badge_sent != state.unread:
        # It came onto the screen after it was read elsewhere, and counted as if it had not been.
        row.badge_want = state.unread
    for mark in end.marks:
        entry = state.entry_of(mark.id)
        full_trace = entry is not None and entry.terms.full_trace
        told = Mark(at.now_ms, mark.event, row.id, end.node, mark.detail)
        effects.mark_id(mark.id, told, full_trace=full_trace)
    move_pushed(state, row, target, at, effects)
    if end.gone and end.gone == row.token_hash:
        # A token that was registered after the provider lost it is a living one.
        if end.gone_at_ms is None or end.gone_at_ms >= row.token_updated_ms:
            row.drop_token()
    if has_work(state, row, at):
        owe_since(row, at)
        waits = (end.put_off_ms, end.retry_ms, at.again_ms)
        row.due_ms = at.now_ms + next(wait_ms for wait_ms in waits if wait_ms is not None)
    else:
        settle(state, row, at)
    return True


def _note_sent(state: UserState, row: DeviceRow, end: Finish) -> bool:
    """Whether something was sent that was read meanwhile."""
    through = {*end.sent, *(dead.offset for dead in end.dead)}
    row.again -= through
    row.sent |= {offset for offset in through if offset > row.acked}
    withdrawn = {entry.offset: entry.terms.id for entry in state.entries if entry.terms.withdrawn}
    # Taken back while it was on its way: it is on the screen now, and must go from there.
    row.clear += [
        withdrawn[offset] for offset in end.sent if offset in withdrawn and withdrawn[offset] not in row.clear
    ]
    sent = {offset for offset in end.sent if offset not in withdrawn}
    row.has_shown({offset for offset in sent if offset > state.read})
    return any(offset <= state.read for offset in sent)


def _note_told(row: DeviceRow, end: Finish) -> None:
    if end.badge_sent is not None:
        row.badge_sent = end.badge_sent
        if row.badge_want == end.badge_sent:
            row.badge_want = None
    row.clear = [each for each in row.clear if each not in end.cleared]


def owe_again(state: UserState, row: DeviceRow, offset: int, at: Moment) -> bool:
    """Owe an entry once more that was given up; False where it cannot be sent any more anyway."""
    entry = next((entry for entry in state.entries if entry.offset == offset), None)
    if entry is None or not row.is_usable or offset <= row.acked:
        return False
    if not entry.terms.push or entry.terms.expires_at_ms <= at.now_ms:
        return False
    row.again.add(offset)
    owe_since(row, at)
    set_due(row, at.now_ms, at)
    return True
