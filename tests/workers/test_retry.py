"""When it is tried again: by provider, answer and attempt, as tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.push import Outcome, Verdict
from workers.retry import MAX_ATTEMPTS, Again, GiveUp, decide

DAY_S = 86_400.0


def later(status: int = 0, **more: object) -> Outcome:
    """An answer that asks for another attempt."""
    return Outcome(Verdict.LATER, "why", status=status, **more)  # type: ignore[arg-type]


LOST = later()
UNKNOWN = later(200, unknown=True)


@pytest.mark.parametrize(
    ("provider", "outcome", "attempt", "least_s", "most_s"),
    [
        ("apns", LOST, 0, 0, 1),
        ("apns", LOST, 1, 0, 5),
        ("fcm", LOST, 2, 0, 30),
        ("fcm", UNKNOWN, 3, 0, 120),
        ("webpush", LOST, 4, 0, 600),
        ("webpush", LOST, 9, 0, 600),
        ("apns", later(503), 0, 0, 1),
        ("apns", later(500), 1, 900, 1125),
        ("apns", later(503), 8, 900, 1125),
        ("apns", later(429), 0, 30, 45),
        ("apns", later(429), 1, 120, 150),
        ("apns", later(429), 5, 600, 660),
        ("fcm", later(500), 0, 10, 20),
        ("fcm", later(503), 1, 10, 40),
        ("fcm", later(503), 9, 10, 600),
        ("fcm", later(429), 0, 60, 120),
        ("fcm", later(429), 6, 60, 3600),
        ("webpush", later(503), 0, 10, 20),
        ("webpush", later(429), 0, 60, 120),
        ("apns", later(400), 0, 0, 1),
        ("recording", later(500), 0, 10, 20),
        ("apns", later(503, retry_after_s=7.0), 0, 7, 7.7),
        ("apns", later(429, retry_after_s=2.0), 3, 2, 2.2),
        ("fcm", later(429, retry_after_s=300.0), 0, 300, 330),
    ],
)
def test_the_schedule(provider: str, outcome: Outcome, attempt: int, least_s: float, most_s: float) -> None:
    """From the least to the most, as the dice fall; what the provider names is never undercut."""
    assert decide(provider, outcome, attempt, DAY_S, lambda: 0.0) == Again(max(1, round(least_s * 1000)))
    most = decide(provider, outcome, attempt, DAY_S, lambda: 1.0)
    assert isinstance(most, Again)
    assert most.wait_ms == pytest.approx(most_s * 1000, abs=2)


@pytest.mark.parametrize(
    ("provider", "outcome", "attempts"),
    [("apns", LOST, MAX_ATTEMPTS), ("apns", later(503), MAX_ATTEMPTS), ("fcm", later(503), 11)],
)
def test_there_is_a_last_attempt(provider: str, outcome: Outcome, attempts: int) -> None:
    """After it, the notification is a dead letter that says how often and why."""
    assert isinstance(decide(provider, outcome, attempts - 2, DAY_S, lambda: 0.0), Again)
    last = decide(provider, outcome, attempts - 1, DAY_S, lambda: 0.0)
    assert last == GiveUp(f"{attempts} attempts, the last: why")


def test_an_hour_of_trouble_at_google_is_the_most() -> None:
    """Ten waits at their longest are within what Google advises."""
    waits = [decide("fcm", later(503), n, DAY_S, lambda: 1.0) for n in range(10)]
    total_s = sum(wait.wait_ms for wait in waits if isinstance(wait, Again)) / 1000
    assert 1800 < total_s <= 3630


@given(
    st.sampled_from(["apns", "fcm", "webpush", "recording"]),
    st.sampled_from([0, 400, 429, 500, 503]),
    st.none() | st.floats(0, 10_000),
    st.integers(0, 40),
    st.floats(-10, 100_000),
    st.floats(0, 1, exclude_max=True),
)
def test_no_attempt_is_put_off_beyond_the_expiry(
    provider: str, status: int, retry_after_s: float | None, attempt: int, expires_in_s: float, dice: float
) -> None:
    """Either it is in time, or there is none; and the provider's own wish is kept to."""
    decision = decide(
        provider, later(status, retry_after_s=retry_after_s), attempt, expires_in_s, lambda: dice
    )
    match decision:
        case Again(wait_ms):
            assert attempt + 1 < MAX_ATTEMPTS
            assert 1 <= wait_ms <= max(1, round(expires_in_s * 1000))
            assert wait_ms >= round((retry_after_s or 0) * 1000)
        case GiveUp(reason):
            assert reason
