"""When a lane stops, and for how long."""

from __future__ import annotations

import pytest

from workers.breaker import (
    Answers,
    BreakerOptions,
    Probe,
    Sign,
    SlowStart,
    Trip,
    is_failure,
    is_wrong_token,
    pause_s,
)
from workers.push import Outcome, Verdict

OPTIONS = BreakerOptions()
FINE = Outcome(Verdict.ACCEPTED, status=200)
FAILED = Outcome(Verdict.LATER, "InternalServerError", status=500)
LOST = Outcome(Verdict.LATER, "timeout", unknown=True)
DEVICE = Outcome(Verdict.LATER, "TooManyRequests", status=429)
QUOTA = Outcome(Verdict.LATER, "QUOTA_EXCEEDED", status=429, retry_after_s=60.0, whole_lane=True)
DEAD = Outcome(Verdict.DEAD, "BadCollapseId", status=400)
GONE = Outcome(Verdict.GONE, "Unregistered", status=410)
WRONG = Outcome(Verdict.GONE, "BadDeviceToken", status=400)
STOP = Outcome(Verdict.STOP, "InvalidProviderToken", status=403)


def noted(*answers: Outcome, seconds: float = 1.0) -> list[Trip]:
    """What a lane stops for, when these come evenly within ``seconds``."""
    counted = Answers(OPTIONS)
    trips = [counted.note(each, 1000 + n * seconds / len(answers)) for n, each in enumerate(answers)]
    return [trip for trip in trips if trip is not None]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (FINE, False),
        (FAILED, True),
        (LOST, True),
        (DEVICE, False),
        (QUOTA, True),
        (DEAD, False),
        (GONE, False),
        (STOP, True),
        (Outcome(Verdict.LATER, "THIRD_PARTY_AUTH_ERROR", 401, retry_after_s=600.0), False),
    ],
)
def test_what_is_the_lanes_trouble_and_what_one_phones(outcome: Outcome, expected: bool) -> None:
    """A provider that answers about a phone or a message is in good health."""
    assert is_failure(outcome) is expected


def test_wrong_credentials_stop_it_at_once() -> None:
    """The first answer says all."""
    assert noted(STOP) == [Trip("InvalidProviderToken", OPTIONS.stop_pause_s)]


def test_a_wish_about_the_lane_stops_it_for_as_long() -> None:
    """And for no less."""
    assert noted(QUOTA) == [Trip("QUOTA_EXCEEDED", 60.0, 60.0)]


def test_more_than_half_stop_it() -> None:
    """Half do not."""
    assert noted(*[FINE, FAILED] * 20) == []
    assert len(noted(*[FINE, FAILED] * 10, FAILED)) == 1


def test_a_few_say_nothing() -> None:
    """A lane with little traffic goes on by each row's own schedule."""
    assert noted(*[FAILED] * (OPTIONS.min_count - 1)) == []
    assert noted(*[FAILED] * OPTIONS.min_count)


def test_what_is_long_ago_does_not_count() -> None:
    """Only the last ten seconds do."""
    assert noted(*[LOST] * 40, seconds=40.0) == []


def test_phones_in_trouble_do_not_stop_the_lane() -> None:
    """Whatever their number."""
    assert noted(*[DEVICE, DEAD, GONE] * 50) == []


def test_wrong_tokens_in_a_mass_stop_it_rather_than_drop_them_all() -> None:
    """As when the tokens of two environments were mixed up; dead ones are no reason."""
    assert is_wrong_token(WRONG)
    assert not is_wrong_token(GONE)
    trips = noted(*[WRONG] * 25)
    assert trips
    assert "BadDeviceToken" in trips[0].reason
    # One in fifty is everyday life.
    assert noted(*([FINE] * 49 + [WRONG]) * 30, seconds=50.0) == []


def test_after_a_pause_it_counts_anew() -> None:
    """What was before says nothing about what comes."""
    counted = Answers(OPTIONS)
    for _ in range(OPTIONS.min_count - 1):
        counted.note(FAILED, 1000.0)
    counted.clear()
    assert counted.note(FAILED, 1000.5) is None


@pytest.mark.parametrize(
    ("failures", "dice", "expected_s"),
    [(0, 0.0, 5.0), (0, 1.0, 6.25), (1, 0.0, 10.0), (3, 0.0, 40.0), (30, 0.0, 900.0), (30, 1.0, 1125.0)],
)
def test_pauses_grow_with_jitter_to_a_bound(failures: int, dice: float, expected_s: float) -> None:
    """Each twice as long as the one before."""
    assert pause_s(Trip("why", 5.0), failures, OPTIONS, lambda: dice) == expected_s


def test_a_pause_is_never_shorter_than_what_the_provider_asked_for() -> None:
    """Not even where that is beyond our own bound."""
    assert pause_s(Trip("why", 3600.0, 3600.0), 0, OPTIONS, lambda: 0.0) == 3600.0


REFUSED_NOW = Outcome(Verdict.LATER, "Request Timeout", status=408)
NO_CONNECTION = Outcome(Verdict.LATER, "connection refused", whole_lane=True)


@pytest.mark.parametrize("outcome", [FINE, DEVICE, DEAD, GONE])
def test_a_probe_that_is_answered_finds_the_provider_well(outcome: Outcome) -> None:
    """Whatever it says about this one device or message."""
    assert Probe().judge(outcome) is Sign.WELL


@pytest.mark.parametrize("outcome", [FAILED, QUOTA, STOP, NO_CONNECTION])
def test_trouble_of_the_provider_itself_needs_no_second_probe(outcome: Outcome) -> None:
    """No device can be to blame for it."""
    assert Probe().judge(outcome) is Sign.ILL


@pytest.mark.parametrize("outcome", [LOST, REFUSED_NOW, WRONG])
def test_one_device_without_a_clear_answer_says_nothing_about_the_provider(outcome: Outcome) -> None:
    """Three do."""
    probe = Probe()
    assert [probe.judge(outcome) for _ in range(3)] == [Sign.UNCLEAR, Sign.UNCLEAR, Sign.ILL]


def test_an_unclear_answer_is_cleared_up_by_the_next_device() -> None:
    """In either direction."""
    probe = Probe()
    assert [probe.judge(LOST), probe.judge(FINE)] == [Sign.UNCLEAR, Sign.WELL]


def test_after_a_pause_rows_double_with_each_round_that_succeeds() -> None:
    """Until all slots may be filled; from then on it says nothing."""
    start = SlowStart()
    assert start.rows(100, 0) == 100
    start.begin()
    rounds = []
    while (rows := start.rows(100, 0)) < 100:
        rounds.append(rows)
        assert not any([start.note(FINE) for _ in range(rows)])
    assert rounds == [2, 4, 8, 16, 32, 64]
    assert not any([start.note(LOST) for _ in range(100)])
    assert start.rows(100, 0) == 100


def test_what_is_in_flight_counts_against_a_slow_start() -> None:
    """Free slots are not what bounds it."""
    start = SlowStart()
    start.begin()
    assert start.rows(99, 1) == 1
    assert start.rows(98, 2) == 0
    assert start.rows(95, 5) == 0


def test_failures_do_not_quicken_a_slow_start_and_a_run_of_them_ends_it() -> None:
    """One of several is everyday life; where all that is in flight fails, it was no recovery."""
    start = SlowStart()
    start.begin()
    assert not any(start.note(each) for each in (LOST, LOST, FINE, LOST, LOST))
    assert start.rows(100, 0) == 3
    assert start.note(LOST)


def test_a_small_lane_starts_no_slower_than_it_is() -> None:
    """Two slots are two slots."""
    start = SlowStart()
    start.begin()
    assert start.rows(2, 0) == 2
    assert not any([start.note(LOST) for _ in range(5)])
