"""When a lane is to be left alone, for how long, and how it comes back. Pure: time is an argument.

Knows no lane and shares nothing; what all workers of a lane know together is in ``workers.gate``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final

from workers.push import Outcome, Verdict
from workers.retry import Random


@dataclass(frozen=True, slots=True)
class BreakerOptions:
    """When a lane stops, and for how long at first; each time in a row for twice as long.

    It stops when of at least ``min_count`` answers within ``window_s`` more than
    ``failed_share`` were failures, and at once when credentials or configuration are wrong.
    Wrong tokens are those that the provider never gave to this app, as when all of an environment
    were mixed up; beyond ``wrong_token_share`` of a minute's answers, the lane stops rather than
    that all of them are dropped.
    """

    window_s: float = 10.0
    min_count: int = 20
    failed_share: float = 0.5
    pause_s: float = 5.0
    stop_pause_s: float = 60.0
    max_pause_s: float = 900.0
    wrong_token_window_s: float = 60.0
    wrong_token_share: float = 0.05
    wrong_token_min_count: int = 20


@dataclass(frozen=True, slots=True)
class Trip:
    """Stop the lane: why, for how long at first, and what the provider asked for at least."""

    reason: str
    pause_s: float
    at_least_s: float = 0.0


_DEAD_TOKEN_STATUS = (404, 410)
_THIRD_PARTY_REFUSED = 401
"""FCM: the key of the project for Apple, or for browsers, is wrong."""


def is_wrong_token(outcome: Outcome) -> bool:
    """Whether the provider says that the token never was one of this app, rather than that it died."""
    return outcome.verdict is Verdict.GONE and outcome.status not in (0, *_DEAD_TOKEN_STATUS)


def is_failure(outcome: Outcome) -> bool:
    """Whether the lane, and not one phone, is in trouble."""
    if outcome.verdict is Verdict.STOP:
        return True
    if outcome.status == _THIRD_PARTY_REFUSED and not outcome.whole_lane:
        # A project whose key for Apple is wrong still reaches its Android phones.
        return False
    return outcome.verdict is Verdict.LATER and (outcome.status != 429 or outcome.whole_lane)


class Answers:
    """The answers of one lane in the last seconds."""

    def __init__(self, options: BreakerOptions) -> None:
        self._options = options
        self._recent = _Window(options.window_s)
        self._tokens = _Window(options.wrong_token_window_s)

    def note(self, outcome: Outcome, now_s: float) -> Trip | None:
        """Count an answer; what the lane has to stop for, if it has to."""
        options = self._options
        failed = is_failure(outcome)
        self._recent.add(now_s, bad=failed)
        wrong = is_wrong_token(outcome)
        self._tokens.add(now_s, bad=wrong)
        if outcome.verdict is Verdict.STOP:
            return Trip(outcome.reason or "refused", options.stop_pause_s, outcome.retry_after_s or 0.0)
        if failed and outcome.whole_lane and outcome.retry_after_s is not None:
            return Trip(outcome.reason or "asked to wait", outcome.retry_after_s, outcome.retry_after_s)
        if failed and self._recent.exceeds(options.failed_share, options.min_count):
            return Trip(
                f"{self._recent.bad_count} of {self._recent.count} failed, the last: {outcome.reason}",
                options.pause_s,
            )
        if wrong and (
            self._tokens.bad_count >= options.wrong_token_min_count
            and self._tokens.exceeds(options.wrong_token_share, options.wrong_token_min_count)
        ):
            return Trip(f"too many tokens are wrong ones: {outcome.reason}", options.stop_pause_s)
        return None

    def clear(self) -> None:
        """Begin anew: what was before a pause says nothing about what comes after it."""
        self._recent.clear()
        self._tokens.clear()


UNCLEAR_IN_A_ROW: Final = 3
"""So many devices without a clear answer are no longer each one's own trouble."""

_FIRST_ROWS: Final = 2
"""What is sent to at once when the probe succeeded, which was one alone."""


class Sign(Enum):
    """What the answer to a probe says about the provider."""

    WELL = "it answers"
    ILL = "it is still in trouble"
    UNCLEAR = "it may as well be this one device"


class Probe:
    """The first devices after a pause, one after another, until one tells how the provider is."""

    def __init__(self) -> None:
        self._unclear = 0

    def judge(self, outcome: Outcome) -> Sign:
        """What is known after this answer; the last of too many unclear ones is clear."""
        if not is_failure(outcome) and not is_wrong_token(outcome):
            return Sign.WELL
        if outcome.verdict is Verdict.STOP or outcome.whole_lane or outcome.status >= 500:
            return Sign.ILL
        self._unclear += 1
        return Sign.ILL if self._unclear >= UNCLEAR_IN_A_ROW else Sign.UNCLEAR


class SlowStart:
    """How many rows may be in flight after a pause: few, and one more for each answer that is no failure.

    So about twice as many each round, as TCP begins (RFC 5681, 3.1): a provider that just came back is
    not met by all that waited for it.
    """

    def __init__(self) -> None:
        self._rows: int | None = None
        self._failed_in_a_row = 0

    def begin(self) -> None:
        """The lane goes on after a pause."""
        self._rows = _FIRST_ROWS
        self._failed_in_a_row = 0

    def rows(self, free: int, in_flight: int) -> int:
        """How many of ``free`` slots may be filled. Once all of them may, it is over."""
        if self._rows is not None and self._rows >= free + in_flight:
            self._rows = None
        return free if self._rows is None else min(free, max(0, self._rows - in_flight))

    def note(self, outcome: Outcome) -> bool:
        """Count an answer; whether all that is in flight fails, so that it was no recovery."""
        if self._rows is None:
            return False
        if not is_failure(outcome):
            self._rows += 1
            self._failed_in_a_row = 0
            return False
        self._failed_in_a_row += 1
        return self._failed_in_a_row >= max(UNCLEAR_IN_A_ROW, self._rows)


def pause_s(trip: Trip, failures: int, options: BreakerOptions, random: Random) -> float:
    """How long a lane pauses that has stopped ``failures`` times in a row before."""
    grown_s = min(trip.pause_s * 2.0 ** min(failures, 20), options.max_pause_s)
    return max(grown_s, trip.at_least_s) * (1 + random() / 4)


class _Window:
    """Counts of the last so many seconds, by the second: rates may be high."""

    def __init__(self, length_s: float) -> None:
        self._slot_s = length_s / 10
        self._slots: deque[list[int]] = deque()
        self.count = 0
        self.bad_count = 0

    def add(self, now_s: float, *, bad: bool) -> None:
        slot = int(now_s / self._slot_s)
        slots = self._slots
        if not slots or slots[-1][0] != slot:
            while slots and slots[0][0] <= slot - 10:
                _, count, bad_count = slots.popleft()
                self.count -= count
                self.bad_count -= bad_count
            slots.append([slot, 0, 0])
        slots[-1][1] += 1
        slots[-1][2] += bad
        self.count += 1
        self.bad_count += bad

    def exceeds(self, share: float, min_count: int) -> bool:
        return self.count >= min_count and self.bad_count > share * self.count

    def clear(self) -> None:
        self._slots.clear()
        self.count = self.bad_count = 0
