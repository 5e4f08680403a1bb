"""Buckets of FCM: how much, and how they refill."""

from __future__ import annotations

from hub.testing.simulators import Quotas
from hub.testing.simulators.fcm.quotas import Meter


def taken(meter: Meter, count: int, device: str = "d", *, collapsible: bool = False, now_ms: int = 0) -> int:
    """How many of so many messages are taken."""
    asked = [meter.exceeded("p", device, collapsible=collapsible, now_ms=now_ms) for _ in range(count)]
    return asked.count("")


def test_a_device_has_its_own_bucket_that_refills() -> None:
    """Half of it in half a minute."""
    meter = Meter(Quotas(device_per_minute=10))
    assert taken(meter, 15) == 10
    assert taken(meter, 15, "e") == 10
    assert taken(meter, 15, now_ms=30_000) == 5


def test_the_project_bucket_is_shared() -> None:
    """And is named when it is empty; what was refused costs the device nothing."""
    meter = Meter(Quotas(project_per_minute=3, device_per_minute=2))
    assert taken(meter, 5) == 2
    assert taken(meter, 5, "e") == 1
    assert meter.exceeded("p", "f", collapsible=False, now_ms=0) == "project"
    assert taken(meter, 5, "f", now_ms=60_000) == 2


def test_collapsible_messages_have_a_bucket_of_twenty() -> None:
    """One more every three minutes; others are not counted there."""
    meter = Meter(Quotas())
    assert taken(meter, 30, collapsible=True) == 20
    assert taken(meter, 5) == 5
    assert taken(meter, 5, collapsible=True, now_ms=180_000) == 1
    assert taken(meter, 5, collapsible=True, now_ms=180_000 + 360_000) == 2


def test_the_hour_has_a_limit_too() -> None:
    """Beyond what the minutes would allow."""
    meter = Meter(Quotas(device_per_minute=240, device_per_hour=300))
    assert taken(meter, 300) == 240
    assert taken(meter, 300, now_ms=60_000) == 65


def test_unlimited_is_unlimited() -> None:
    """For load."""
    assert taken(Meter(Quotas.unlimited()), 1000, collapsible=True) == 1000
