"""A device connects, comes to the front or goes to the back, and leaves. The newest connection wins."""

from __future__ import annotations

from hub.delivery.debts import (
    owe_since,
    owed_entries,
    set_due,
    set_due_after_wait,
    set_due_by,
    settle,
    wait_ms,
)
from hub.delivery.model import Departure, DeviceState, Hello, Mark, Unproven, Welcome
from hub.delivery.moment import Effects, Moment
from hub.delivery.proving import prove, summarize
from hub.delivery.rows import DeviceRow, UserState


def hello(state: UserState, device: str, hello: Hello, at: Moment, effects: Effects) -> Welcome:
    """The device has a connection. Its debts wait a little for the replay, but not without end."""
    row = state.devices.get(device)
    if row is None:
        return Welcome(summarize(state), known=False, registered=False)
    if hello.resumes is not None and hello.resumes != row.generation:
        return _welcome(state, row, None)
    replaced = (row.node, row.client) if row.online and row.client != hello.client else None
    if hello.resumes is None:
        # Never one that a row of this device had which is gone, or a server that lost its newest writes:
        # whoever holds that one leaves late.
        row.generation = max(row.generation + 1, at.now_ms)
    row.node, row.client, row.state, row.online = hello.node, hello.client, hello.state, True
    row.left_ms, row.left_how = 0, None
    row.last_seen_ms = at.now_ms
    row.badge_want = None
    if hello.cursor is not None and hello.cursor.epoch == state.top.epoch:
        prove(state, row, hello.cursor.offset, "cursor", at, effects, node=hello.node)
    if owed_entries(state, row, at):
        set_due_after_wait(row, at)
    else:
        settle(state, row, at)
    return _welcome(state, row, replaced)


def _welcome(state: UserState, row: DeviceRow, replaced: tuple[str, str] | None) -> Welcome:
    return Welcome(
        summarize(state),
        known=True,
        registered=row.is_usable,
        generation=row.generation,
        acked=row.acked,
        replaced=replaced,
    )


def _connected_row(state: UserState, device: str) -> DeviceRow | None:
    row = state.devices.get(device)
    return row if row is not None and row.online else None


def set_state(state: UserState, device: str, generation: int, new: DeviceState, at: Moment) -> None:
    """The app came to the front or went to the back. Generation 0 is whichever connection it has."""
    row = _connected_row(state, device)
    if row is None or generation not in (0, row.generation):
        return
    row.state = new
    if not owed_entries(state, row, at):
        return
    if new == "foreground":
        set_due_after_wait(row, at)
    elif not at.options.background_counts:
        owe_since(row, at)
        set_due(row, at.now_ms, at)


def leave(
    state: UserState,
    device: str,
    generation: int,
    how: Departure,
    unproven: Unproven | None,
    at: Moment,
    effects: Effects,
) -> None:
    """The connection ended. One that just dropped gets some time to come back."""
    row = _connected_row(state, device)
    if row is None or generation != row.generation:
        return
    row.online, row.left_ms, row.left_how = False, at.now_ms, how
    row.last_seen_ms = at.now_ms
    if unproven is not None and unproven.written_ms > 0:
        for entry in state.entries_between(row.acked, unproven.offset):
            if not entry.terms.withdrawn:
                effects.mark(entry.terms, Mark(unproven.written_ms, "written", row.id, row.node))
    if owed_entries(state, row, at):
        owe_since(row, at)
        set_due_by(row, at.now_ms + wait_ms(row, at), at)
