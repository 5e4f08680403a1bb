"""When to try again, and when to give up. Pure: the clock and the dice are arguments.

The schedules are those that providers ask for. They count attempts at one device; what is wrong
with a whole lane is the breaker's business, and while that is open nothing is counted here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from workers.push import Outcome

Random = Callable[[], float]
"""A number from 0 up to, not including, 1."""

MAX_ATTEMPTS: Final = 12
"""Attempts at one device after which its notifications become dead letters, where nothing says less."""

_RETRY_AFTER_SPREAD: Final = 0.1
"""What is added at most to a wait that the provider named, so that not everybody comes back at once."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Waits between attempts: from and to how many seconds, one pair an attempt; the last repeats.

    After ``max_attempts`` attempts there is no next one.
    """

    waits_s: tuple[tuple[float, float], ...]
    max_attempts: int = MAX_ATTEMPTS

    def wait_s(self, attempt: int, random: Random) -> float:
        """How long to wait after the attempt of this number, the first being 0."""
        least_s, most_s = self.waits_s[min(attempt, len(self.waits_s) - 1)]
        return least_s + random() * (most_s - least_s)


LOST: Final = Schedule(((0, 1), (0, 5), (0, 30), (0, 120), (0, 600)))
"""No answer, or none that can be relied on: full jitter."""
GOOGLE_TROUBLE: Final = Schedule(
    ((10, 20), (10, 40), (10, 80), (10, 160), (10, 320), (10, 600)), max_attempts=11
)
"""500 and above at FCM and push services: ten seconds at least, about an hour in all at most."""
QUOTA: Final = Schedule(((60, 120), (60, 240), (60, 480), (60, 960), (60, 1920), (60, 3600)))
"""429 at FCM and push services: a minute at least."""
APPLE_TROUBLE: Final = Schedule(((0, 1), (900, 1125)))
"""500 and above at APNs: one quick try, mostly on another connection, then quarters of an hour."""
APPLE_DEVICE: Final = Schedule(((30, 45), (120, 150), (600, 660)))
"""429 at APNs, which is about one device."""


@dataclass(frozen=True, slots=True)
class Again:
    """Try again in so many milliseconds."""

    wait_ms: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not; ``reason`` is for the dead letter."""

    reason: str


def schedule_for(provider: str, outcome: Outcome) -> Schedule:
    """The schedule that ``provider`` asks for after this answer."""
    if outcome.status == 0 or outcome.unknown:
        return LOST
    if provider == "apns":
        return APPLE_DEVICE if outcome.status == 429 else APPLE_TROUBLE if outcome.status >= 500 else LOST
    if outcome.status == 429:
        return QUOTA
    return GOOGLE_TROUBLE if outcome.status >= 500 else LOST


def decide(
    provider: str, outcome: Outcome, attempt: int, expires_in_s: float, random: Random
) -> Again | GiveUp:
    """What to do after the attempt of this number (the first is 0) ended in ``outcome``.

    What the provider asks for by Retry-After is never undercut. No attempt is put off beyond the
    expiry: rather there is none.
    """
    schedule = schedule_for(provider, outcome)
    why = outcome.reason or (f"status {outcome.status}" if outcome.status else "no answer")
    if attempt + 1 >= schedule.max_attempts:
        return GiveUp(f"{attempt + 1} attempts, the last: {why}")
    if outcome.retry_after_s is not None and outcome.retry_after_s > 0:
        wait_s = outcome.retry_after_s * (1 + _RETRY_AFTER_SPREAD * random())
    else:
        wait_s = schedule.wait_s(attempt, random)
    if wait_s >= expires_in_s:
        return GiveUp(f"expires before it may be tried again: {why}")
    return Again(max(1, round(wait_s * 1000)))
