"""This machine's clock against those of others. Tokens, receipts and provider tokens live by it."""

from __future__ import annotations

from collections.abc import Iterator

from hub.doctor.finding import Area, Finding

AREA = Area("clock")

MOST_APART_S = 2.0
TOO_FAR_APART_S = 60.0
"""Beyond it tokens that are good are refused, and Google refuses ours."""


def check_clock(whose: str, ahead_s: float, *, exact_to_s: float = 0.0) -> Iterator[Finding]:
    """Judge how far another clock is ahead of ours."""
    apart_s = max(0.0, abs(ahead_s) - exact_to_s)
    if apart_s <= MOST_APART_S:
        yield AREA.ok(f"agrees with {whose}")
        return
    direction = "ahead of" if ahead_s > 0 else "behind"
    what = f"{whose} is {apart_s:.0f} s {direction} this machine"
    advice = "Let NTP set both clocks (`timedatectl`); meanwhile auth.leeway_s forgives tokens a difference."
    yield AREA.error(what, advice) if apart_s > TOO_FAR_APART_S else AREA.warning(what, advice)
