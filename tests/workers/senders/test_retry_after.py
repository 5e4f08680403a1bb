"""Both forms of ``Retry-After``, and what is neither."""

from __future__ import annotations

import pytest

from workers.senders.retry_after import MAX_WAIT_S, retry_after_s

NOW_S = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Sun, 06 Nov 1994 08:50:07 GMT", 30.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("Sun, 06 Nov 2044 08:00:00 GMT", MAX_WAIT_S),
        ("86400", MAX_WAIT_S),
        ("9" * 400, MAX_WAIT_S),
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("Sun, 99 Nov 1994 08:50:07 GMT", None),
    ],
)
def test_a_wish_to_wait_is_read_in_either_form_or_not_at_all(
    header: str | None, seconds: float | None
) -> None:
    """Seconds or a date, bounded; nonsense is no wish, and no exception."""
    assert retry_after_s(header, NOW_S) == seconds


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:50:07 GMT", "Sun, 06 Nov 1994 08:50:00 GMT", 7.0),
        ("Sun, 06 Nov 1994 08:50:07 GMT", "Sun, 06 Nov 1994 09:50:00 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:50:07 GMT", "today", 30.0),
        ("Sun, 06 Nov 1994 08:50:07 GMT", "", 30.0),
        ("120", "Sun, 06 Nov 1994 08:50:00 GMT", 120.0),
    ],
)
def test_a_moment_goes_by_the_clock_of_who_names_it(header: str, date: str, seconds: float) -> None:
    """A machine whose clock is an hour behind would wait an hour for half a minute."""
    assert retry_after_s(header, NOW_S, date) == seconds
