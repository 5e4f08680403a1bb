"""How long a debt may wait, and what a row under a claim is spared."""

from __future__ import annotations

import pytest

from hub.delivery.debts import move_pushed, owed_entries, set_due, set_due_by, wait_ms
from hub.delivery.model import Departure, DeviceRecord, DeviceState, Entry, EntryTerms
from hub.delivery.moment import Effects, Moment
from hub.delivery.options import DeliveryOptions
from hub.delivery.rows import DeviceRow, UserState
from hub.model import Position

NOW_MS = 1_000_000
AT = Moment(NOW_MS, DeliveryOptions(), frozenset({"alive"}))


def new_row(**fields: object) -> DeviceRow:
    """A device with a token."""
    record = DeviceRecord("ios", "apns", "shop", "production", "t")
    shown = {"birth": "b", "acked": 0, "pushed": 0, "token_hash": "h", **fields}
    return DeviceRow("d", record, **shown)  # type: ignore[arg-type]


def new_entry(offset: int, *, push: bool = True, ttl_ms: int = 1_000, full: bool = True) -> Entry:
    """An entry of an inbox."""
    return Entry(offset, NOW_MS, EntryTerms(f"n{offset}", push, NOW_MS + ttl_ms, full))


def new_state(*entries: Entry) -> UserState:
    """An inbox with these."""
    state = UserState("ann", Position(entries[-1].offset, "b-0"), "b")
    state.entries.extend(entries)
    state.last_push = max(entry.offset for entry in entries)
    state.push_until_ms = max(entry.terms.expires_at_ms for entry in entries)
    return state


@pytest.mark.parametrize(
    ("online", "node", "state", "counts", "expected_ms"),
    [
        (True, "alive", "foreground", False, 5_000),
        (True, "alive", "background", False, 0),
        (True, "alive", "background", True, 5_000),
        (True, "dead", "foreground", False, 0),
        (True, "dead", "background", True, 0),
        (False, "alive", "foreground", False, 0),
    ],
)
def test_who_is_there_gets_time_to_prove(
    online: bool, node: str, state: DeviceState, counts: bool, expected_ms: int
) -> None:
    """In front of a user, on a hub that lives."""
    at = Moment(NOW_MS, DeliveryOptions(background_counts=counts), frozenset({"alive"}))
    assert wait_ms(new_row(online=online, node=node, state=state), at) == expected_ms


def test_where_no_node_is_known_all_are_alive() -> None:
    """Redis was away: that is no reason to push to everybody."""
    at = Moment(NOW_MS, DeliveryOptions())
    assert wait_ms(new_row(online=True, node="dead"), at) == 5_000


@pytest.mark.parametrize(
    ("how", "gone_ms", "expected_ms"),
    [
        ("dropped", 0, 8_000),
        ("dropped", 7_999, 1),
        ("drained", 3_000, 5_000),
        ("dropped", 9_000, 0),
        ("closed", 0, 0),
        (None, 0, 0),
    ],
)
def test_who_just_dropped_gets_time_to_come_back(
    how: Departure | None, gone_ms: int, expected_ms: int
) -> None:
    """The rest of the grace; whoever said goodbye gets none."""
    assert wait_ms(new_row(left_ms=NOW_MS - gone_ms, left_how=how), AT) == expected_ms


def test_owed_is_what_nothing_has_closed() -> None:
    """Neither proof, push, expiry, nor a wish of the sender."""
    entries = [
        new_entry(1),
        new_entry(2),
        new_entry(3, push=False),
        new_entry(4, ttl_ms=0),
        new_entry(5),
        new_entry(6),
    ]
    row = new_row(acked=1, pushed=2, sent={5})
    assert [entry.offset for entry in owed_entries(new_state(*entries), row, AT)] == [6]
    row.again = {2, 5}
    assert [entry.offset for entry in owed_entries(new_state(*entries), row, AT)] == [2, 5, 6]
    row.token_hash = ""
    assert owed_entries(new_state(*entries), row, AT) == []


def test_a_row_under_a_claim_is_left_alone() -> None:
    """Its due time is the claim's end, and nothing moves it."""
    row = new_row(claim="c", claim_until_ms=NOW_MS + 9)
    set_due(row, NOW_MS, AT)
    assert row.due_ms == NOW_MS + 9
    row.due_ms = NOW_MS + 5
    set_due_by(row, NOW_MS, AT)
    assert row.due_ms == NOW_MS + 5
    row.claim_until_ms = NOW_MS
    set_due_by(row, NOW_MS + 7, AT)
    assert row.due_ms == NOW_MS + 5
    set_due(row, NOW_MS + 7, AT)
    assert row.due_ms == NOW_MS + 7


def test_what_expired_is_marked_once_when_it_is_passed() -> None:
    """What is behind something owed waits for its own turn."""
    expired = new_entry(1, ttl_ms=0, full=False)
    state = new_state(expired, new_entry(2, push=False), new_entry(3), new_entry(4, ttl_ms=0))
    row, effects = new_row(), Effects()
    move_pushed(state, row, 4, AT, effects)
    move_pushed(state, row, 4, AT, effects)
    assert row.pushed == 2
    assert [(name, mark.event, mark.device) for name, mark in effects.marks] == [("n1", "expired", "d")]
    row.sent = {3}
    move_pushed(state, row, 4, AT, effects)
    assert (row.pushed, row.sent) == (4, set())
    assert [name for name, _ in effects.marks] == ["n1", "n4"]
