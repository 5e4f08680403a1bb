"""``Retry-After`` as HTTP has it: seconds, or a date (RFC 9110, 10.2.3). Pure: the present time is given."""

from __future__ import annotations

import contextlib
from email.utils import parsedate_to_datetime
from typing import Final

MAX_WAIT_S: Final = 3_600.0
"""Longer wishes are cut: a notification of a day must not wait a week for one odd header."""


def retry_after_s(header: str | None, now_s: float, date: str | None = None) -> float | None:
    """Seconds to wait as ``header`` wants, 0 to :data:`MAX_WAIT_S`; None if it says nothing usable.

    ``date`` is the ``Date`` of the same answer: a moment that the provider names goes by the provider's
    clock, and by ours (``now_s``) only where that is not told.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        # A number too long to be one is a wish for the maximum, never an exception.
        return MAX_WAIT_S if len(text) > 9 else min(float(text), MAX_WAIT_S)
    at_s = _unix_s(text)
    if at_s is None:
        return None
    said_at_s = _unix_s(date) if date else None
    return min(max(at_s - (now_s if said_at_s is None else said_at_s), 0.0), MAX_WAIT_S)


def _unix_s(text: str) -> float | None:
    with contextlib.suppress(ValueError, OverflowError, TypeError, IndexError):
        return parsedate_to_datetime(text).timestamp()
    return None
