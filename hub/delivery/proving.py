"""Proof of receipt, and the read watermark, which is one for all devices of the user."""

from __future__ import annotations

import json

from hub.delivery.debts import is_live, owed_entries, set_due_by, settle
from hub.delivery.model import Ack, Acked, Mark, ReadResult, Summary
from hub.delivery.moment import Effects, Moment
from hub.delivery.rows import DeviceRow, UserState


def summarize(state: UserState) -> Summary:
    """The inbox now."""
    return Summary(state.top, state.read, state.unread)


def ack(state: UserState, proof: Ack, at: Moment, effects: Effects) -> Acked:
    """A device has everything up to an offset. Counts from any connection of it."""
    row = state.devices.get(proof.device)
    same_epoch = proof.epoch == state.top.epoch
    if row is None:
        return Acked(state.top, 0, known=False, same_epoch=same_epoch)
    if same_epoch:
        if proof.how != "receipt":
            row.last_seen_ms = at.now_ms
        prove(state, row, proof.offset, proof.how, at, effects, node=proof.node, written_ms=proof.written_ms)
    return Acked(state.top, row.acked, known=True, same_epoch=same_epoch)


def prove(
    state: UserState,
    row: DeviceRow,
    offset: int,
    how: str,
    at: Moment,
    effects: Effects,
    *,
    node: str = "",
    written_ms: int = 0,
) -> None:
    """Close the debts up to ``offset``, mark them as proven, and see what is left."""
    before = row.acked
    _raise_acked(state, row, offset)
    for entry in state.entries_between(before, row.acked):
        if not entry.terms.withdrawn:
            if written_ms > 0:
                effects.mark(entry.terms, Mark(written_ms, "written", row.id, node))
            effects.mark(entry.terms, Mark(at.now_ms, "proven", row.id, node, how))
    _look_at_the_rest(state, row, at)


def _raise_acked(state: UserState, row: DeviceRow, offset: int) -> None:
    row.acked = max(row.acked, min(offset, state.top.offset))
    row.sent = {each for each in row.sent if each > row.acked}
    row.again = {each for each in row.again if each > row.acked}


def _look_at_the_rest(state: UserState, row: DeviceRow, at: Moment) -> None:
    settle(state, row, at)
    owed = owed_entries(state, row, at)
    if not owed:
        return
    oldest_ms = owed[0].appended_ms
    row.p0_ms = oldest_ms
    is_claimed = row.claim != "" and row.claim_until_ms > at.now_ms
    if row.due_ms is not None and not is_claimed and is_live(row, at):
        # A busy phone that proves the older ones in time is not pushed to for the younger ones.
        row.due_ms = max(row.due_ms, min(oldest_ms, at.now_ms) + at.ack_wait_ms)


def read(state: UserState, epoch: str, offset: int, at: Moment, effects: Effects) -> ReadResult:
    """The user has seen everything up to ``offset``, on whichever device."""
    if epoch != state.top.epoch:
        return ReadResult(summarize(state), same_epoch=False)
    before = state.read
    state.read = max(before, min(offset, state.top.offset))
    moved = state.read > before
    unread = state.unread
    if moved:
        for entry in state.entries_between(before, state.read):
            if not entry.terms.withdrawn:
                effects.mark(entry.terms, Mark(at.now_ms, "read"))
        effects.messages.append(_read_message(epoch, state.read, unread))
    for row in state.devices.values():
        _raise_acked(state, row, offset)
        if moved:
            _tell_badge(row, state.read, unread, at)
        _look_at_the_rest(state, row, at)
    return ReadResult(Summary(state.top, state.read, unread), same_epoch=True)


def _tell_badge(row: DeviceRow, read: int, unread: int, at: Moment) -> None:
    """A screen that nobody's socket reaches would go on to show what was read elsewhere."""
    left = [offset for offset in row.shown if offset > read]
    shows_too_much = len(left) < len(row.shown) or row.badge_want is not None
    shows_too_much = shows_too_much or (row.badge_sent is not None and row.badge_sent != unread)
    row.shown = left
    if row.is_usable and not is_live(row, at) and shows_too_much:
        row.badge_want = unread
        set_due_by(row, at.now_ms + at.badge_delay_ms, at)


def _read_message(epoch: str, offset: int, unread: int) -> bytes:
    told = {"type": "read", "epoch": epoch, "offset": offset, "unread": unread}
    return json.dumps(told, separators=(",", ":")).encode()
