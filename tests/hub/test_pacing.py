"""Token buckets against a clock that the test turns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.pacing import Bucket, Buckets, Pace, network_of


def test_a_bucket_gives_its_burst_and_then_its_pace() -> None:
    """After a pause so many at once, then one whenever a token has come back."""
    bucket = Bucket(Pace(per_s=2, burst=3), now_s=100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(100.4)
    assert bucket.take(100.5)
    assert not bucket.take(100.5)


def test_what_is_refused_costs_nothing() -> None:
    """Somebody who asks too often still gets one as soon as there is one."""
    bucket = Bucket(Pace(per_s=1, burst=1), now_s=0.0)
    assert bucket.take(0.0)
    assert not any(bucket.take(0.1) for _ in range(100))
    assert bucket.take(1.0)


def test_charging_makes_debts_that_time_pays() -> None:
    """Whoever goes on beyond the limit has to wait until the debt is paid."""
    bucket = Bucket(Pace(per_s=10, burst=2), now_s=0.0)
    assert [bucket.charge(0.0) for _ in range(4)] == [1, 0, -1, -2]
    assert bucket.level(0.1) == pytest.approx(-1)
    assert bucket.level(10.0) == 2


@given(
    st.floats(0.5, 50),
    st.integers(1, 20),
    st.lists(st.floats(0, 2), max_size=200),
)
def test_never_more_than_burst_and_pace_allow(per_s: float, burst: int, pauses_s: list[float]) -> None:
    """Over any time, no more is given than the burst and what came back."""
    bucket, now_s, given_count = Bucket(Pace(per_s, burst), 0.0), 0.0, 0
    for pause_s in pauses_s:
        now_s += pause_s
        given_count += bucket.take(now_s)
    assert given_count <= burst + now_s * per_s + 1e-6


def test_each_key_has_its_own() -> None:
    """One who asks too often takes nothing from another."""
    buckets = Buckets(Pace(per_s=1, burst=1))
    assert buckets.take("a", 0.0)
    assert not buckets.take("a", 0.0)
    assert buckets.take("b", 0.0)


def test_no_more_than_so_many_keys_are_remembered() -> None:
    """Those that were asked for longest ago go, so that a million addresses fill no memory."""
    buckets = Buckets(Pace(per_s=0.001, burst=1), max_count=3)
    for key in ("a", "b", "c", "a", "d"):
        buckets.take(key, 0.0)
    assert len(buckets) == 3
    assert not buckets.take("a", 0.0)
    assert buckets.take("b", 0.0), "it was forgotten, and begins anew"


def test_a_pace_of_zero_is_no_limit() -> None:
    """Nothing is even remembered."""
    buckets = Buckets(Pace())
    assert all(buckets.take("a", 0.0) for _ in range(1_000))
    assert len(buckets) == 0


def test_another_pace_holds_for_everybody_from_then_on() -> None:
    """As when settings are read again."""
    buckets = Buckets(Pace(per_s=1, burst=1))
    buckets.take("a", 0.0)
    buckets.pace = Pace(per_s=1, burst=2)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("unix", "unix"),
    ],
)
def test_an_address_counts_as_its_network(address: str, network: str) -> None:
    """A subscriber with IPv6 has a whole /64 of addresses to choose from."""
    assert network_of(address) == network
