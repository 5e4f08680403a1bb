"""A notification enters an inbox, and is taken back. What it would do can be asked before."""

from __future__ import annotations

import json

from msgspec.structs import replace

from hub.delivery.debts import owe_since, set_due, set_due_by, settle, wait_ms
from hub.delivery.model import Entry, Mark, NewEntry, Notified, Planned
from hub.delivery.moment import Effects, Moment
from hub.delivery.options import SEEN_TTL_S
from hub.delivery.rows import Seen, UserState


def find_seen(state: UserState, notification: str, at: Moment) -> Seen | None:
    """What is known of an id, as long as it is known."""
    seen = state.seen.get(notification)
    return seen if seen is not None and at.now_ms < seen.until_ms else None


def answer_known(state: UserState, entry: NewEntry, at: Moment) -> Notified | None:
    """The first answer again, where the id came before; None for a new one, which may be appended."""
    seen = find_seen(state, entry.terms.id, at)
    if seen is None:
        return None
    same = seen.body_hash == entry.body_hash
    return Notified(seen.position, duplicate=same, conflict=not same)


def owe_new_entry(state: UserState, entry: Entry, body_hash: str, at: Moment, effects: Effects) -> Notified:
    """Open the debts of an entry that was appended just now, and stands at the top."""
    state.entries.append(entry)
    terms = entry.terms
    state.note_seen(terms.id, Seen(state.top, body_hash, at.now_ms + SEEN_TTL_S * 1000))
    effects.mark(terms, Mark(at.now_ms, "accepted"))
    if terms.push:
        state.last_push = entry.offset
        state.push_until_ms = max(state.push_until_ms, terms.expires_at_ms)
        for row in state.devices.values():
            if row.is_usable:
                owe_since(row, at)
                set_due_by(row, at.now_ms + wait_ms(row, at), at)
    return Notified(state.top)


def plan(state: UserState, at: Moment) -> list[Planned]:
    """Which way a notification would take to each device now."""
    planned: list[Planned] = []
    for device, row in sorted(state.devices.items()):
        if not row.is_usable:
            reachable = row.online and at.lives(row.node)
            planned.append(Planned(device, "socket" if reachable else "none", 0))
        else:
            wait = wait_ms(row, at)
            planned.append(Planned(device, "socket" if wait else "push", wait))
    return planned


def opened(state: UserState, device: str, notification: str, at: Moment, effects: Effects) -> bool:
    """The user opened a notification on a device, which need not be known."""
    if find_seen(state, notification, at) is None:
        return False
    effects.mark_id(notification, Mark(at.now_ms, "opened", device), full_trace=True)
    return True


def withdraw(state: UserState, notification: str, at: Moment, effects: Effects) -> bool:
    """Take a notification back, once: out of the debts, and off the screens it was pushed to.

    Whoever keeps the inbox replaces the publication by :func:`withdrawn_data`.
    """
    seen = find_seen(state, notification, at)
    if seen is None or seen.withdrawn:
        return False
    seen.withdrawn = True
    offset = _blank(state, notification)
    if offset is None and seen.position.epoch == state.top.epoch:
        # The inbox has it no more; a screen may.
        offset = seen.position.offset
    effects.messages.append(withdrawn_data(notification))
    for row in state.devices.values():
        if offset is not None:
            row.sent.discard(offset)
            row.again.discard(offset)
            if row.is_usable and offset in row.shown:
                row.shown.remove(offset)
                row.clear.append(notification)
                set_due(row, at.now_ms, at)
        settle(state, row, at)
    effects.mark_id(notification, Mark(at.now_ms, "withdrawn"), full_trace=True)
    return True


def _blank(state: UserState, notification: str) -> int | None:
    """Replace the entry where it stands; its offset, None where the inbox has it no more."""
    for place, entry in enumerate(state.entries):
        if entry.terms.id == notification:
            terms = replace(entry.terms, push=False, withdrawn=True)
            state.entries[place] = replace(entry, terms=terms, data=withdrawn_data(notification))
            return entry.offset
    return None


def withdrawn_data(notification: str) -> bytes:
    """What stands in the inbox in place of a withdrawn notification, and what live devices are told."""
    return json.dumps({"type": "withdrawn", "id": notification}, separators=(",", ":")).encode()
