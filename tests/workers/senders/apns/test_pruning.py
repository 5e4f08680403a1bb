"""When so many tokens are called bad that it cannot be the tokens."""

from __future__ import annotations

import pytest

from workers.senders.apns.pruning import PruningGuard


class Clock:
    """Monotonic seconds, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """A clock for the guard of the test."""
    return Clock()


def saw_good(guard: PruningGuard, count: int) -> None:
    """So many pushes were accepted."""
    for _ in range(count):
        guard.saw_other(accepted=True)


def test_a_few_bad_ones_are_dropped_whatever_their_share(clock: Clock) -> None:
    """Two dead phones of three are two dead phones."""
    guard = PruningGuard(clock)
    assert [guard.saw_bad() for _ in range(4)] == [True] * 4


def test_five_in_a_hundred_are_the_ordinary_course(clock: Clock) -> None:
    """At the share, not above it, tokens go."""
    guard = PruningGuard(clock)
    saw_good(guard, 95)
    assert all(guard.saw_bad() for _ in range(5))


def test_more_than_that_trips(clock: Clock) -> None:
    """From then on no token is dropped."""
    guard = PruningGuard(clock)
    saw_good(guard, 95)
    assert [guard.saw_bad() for _ in range(7)] == [True] * 5 + [False] * 2


def test_a_minute_later_they_count_no_more(clock: Clock) -> None:
    """The window slides: what was bad then is not held against those of now."""
    guard = PruningGuard(clock)
    for _ in range(4):
        guard.saw_bad()
    clock.now_s += 60
    assert [guard.saw_bad() for _ in range(4)] == [True] * 4


def test_within_the_minute_they_add_up(clock: Clock) -> None:
    """A slow drip of bad tokens is counted like a burst."""
    guard = PruningGuard(clock)
    allowed = []
    for _ in range(6):
        allowed.append(guard.saw_bad())
        clock.now_s += 9
    assert allowed == [True] * 4 + [False] * 2


def test_time_alone_does_not_untrip(clock: Clock) -> None:
    """A lane that was held and tries again one by one must not go on pruning one by one."""
    guard = PruningGuard(clock)
    for _ in range(5):
        guard.saw_bad()
    clock.now_s += 3600
    assert not guard.saw_bad()


def test_an_accepted_push_untrips(clock: Clock) -> None:
    """It proves that the configuration fits the app again."""
    guard = PruningGuard(clock)
    for _ in range(5):
        guard.saw_bad()
    clock.now_s += 61
    guard.saw_other(accepted=False)
    assert guard.tripped
    guard.saw_other(accepted=True)
    assert guard.saw_bad()
