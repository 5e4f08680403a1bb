"""Cursors of an inbox, and what paging through it proves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.delivery.paging import Order, PageCursor, parse_cursor, proven_by_paging
from hub.errors import HubError

ORDERS = st.sampled_from(["newest", "oldest"])


@given(ORDERS, st.text(max_size=20), st.integers(0, 2**50), st.integers(0, 2**50))
def test_a_cursor_comes_back_as_it_was(order: Order, epoch: str, start: int, offset: int) -> None:
    """Whatever the epoch is called."""
    cursor = PageCursor(order, epoch, start, offset)
    assert parse_cursor(cursor.text()) == cursor


@given(st.text(max_size=60))
def test_anything_else_is_refused(text: str) -> None:
    """With 107, never with another error."""
    try:
        cursor = parse_cursor(text)
    except HubError as refused:
        assert refused.error.code == 107
    else:
        assert parse_cursor(cursor.text()) == cursor


@pytest.mark.parametrize(
    "packed", ["W10", "WyJuIiwiZSIsLTEsMF0", "WyJ4IiwiZSIsMCwwXQ", "WyJuIiwxLDAsMF0", "bnVsbA"]
)
def test_forged_cursors_are_refused(packed: str) -> None:
    """Well formed base64 of something else."""
    with pytest.raises(HubError, match="cursor"):
        parse_cursor(packed)


@given(
    order=ORDERS,
    top=st.integers(0, 30),
    trimmed=st.integers(0, 30),
    acked=st.integers(0, 30),
    limit=st.integers(1, 10),
    stop_after=st.integers(1, 40),
)
def test_never_proves_an_entry_that_no_page_held(
    order: Order, top: int, trimmed: int, acked: int, limit: int, stop_after: int
) -> None:
    """Wherever the paging stops, everything acked was acked before, given, or not there any more."""
    stored = [offset for offset in range(1, top + 1) if offset > trimmed]
    acked_at_first = acked = min(acked, top)
    seen: set[int] = set()
    cursor: PageCursor | None = None
    is_last = False
    for _ in range(stop_after):
        if order == "oldest":
            page = [o for o in stored if cursor is None or o > cursor.offset][:limit]
        else:
            page = [o for o in reversed(stored) if cursor is None or o < cursor.offset][:limit]
        is_last = len(page) < limit
        # What the client had when it asked is all that is sure to have arrived, but for the last page.
        if is_last:
            seen |= set(page)
        acked = proven_by_paging(
            cursor, order, top=top, lowest=min(page, default=None), is_last=is_last, acked=acked
        )
        seen |= set(page)
        assert {o for o in stored if acked_at_first < o <= acked} <= seen
        if is_last:
            break
        start = cursor.start if cursor is not None else top if order == "newest" else 0
        cursor = PageCursor(order, "e", start, page[-1])
    if is_last:
        assert acked == top
