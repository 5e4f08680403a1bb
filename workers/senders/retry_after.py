"""``Retry-After`` as HTTP has it: seconds, or a date (RFC 9110, 10.2.3). Pure: the present time is given."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final

MAX_WAIT_S: Final = 3_600.0
"""Longer wishes are cut: a notification of a day must not wait a week for one odd header."""


def retry_after_s(header: str | None, now_s: float) -> float | None:
    """Seconds to wait as ``header`` wants, 0 to :data:`MAX_WAIT_S`; None if it says nothing usable."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        # A number too long to be one is a wish for the maximum, never an exception.
        return MAX_WAIT_S if len(text) > 9 else min(float(text), MAX_WAIT_S)
    try:
        at_s = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return min(max(at_s - now_s, 0.0), MAX_WAIT_S)
