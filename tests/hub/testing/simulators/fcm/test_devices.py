"""What waits for a phone that is away, by the rules of FCM's store."""

from __future__ import annotations

import orjson

from hub.testing.simulators import AcceptedPush
from hub.testing.simulators.fcm.devices import Device


def push(number: int, **android: str) -> AcceptedPush:
    """An accepted message."""
    body = orjson.dumps({"message": {"token": "t", "android": android}})
    return AcceptedPush(number, "fcm", number, "t", str(number), body)


def received(device: Device, now_ms: int = 1000) -> list[int]:
    """What comes when the phone does."""
    device.come_online(now_ms)
    return [entry.number for entry in device.received]


def test_a_phone_that_is_there_receives_at_once() -> None:
    """Whatever the rest says."""
    device = Device("t")
    device.take(push(1, ttl="0s"))
    assert [entry.number for entry in device.received] == [1]


def test_a_collapse_key_keeps_its_newest() -> None:
    """And at most four keys are kept."""
    device = Device("t", online=False)
    for number, key in enumerate("aabcde"):
        device.take(push(number, collapse_key=key))
    assert received(device) == [2, 3, 4, 5]


def test_more_than_a_hundred_waiting_are_all_dropped() -> None:
    """The app is told to synchronise."""
    device = Device("t", online=False)
    for number in range(100):
        device.take(push(number))
    assert not device.deleted_messages
    device.take(push(100))
    assert device.deleted_messages
    assert received(device) == []


def test_nothing_waits_longer_than_its_ttl() -> None:
    """Zero does not wait at all."""
    device = Device("t", online=False)
    device.take(push(1, ttl="0s"))
    device.take(push(2, ttl="1s"))
    device.take(push(3, ttl="60s"))
    device.take(push(4))
    assert received(device, 2_000) == [3, 4]
