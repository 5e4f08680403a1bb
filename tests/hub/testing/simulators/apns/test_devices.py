"""What waits for a phone that is away, and what is on its screen."""

from __future__ import annotations

from hub.testing.simulators import AcceptedPush
from hub.testing.simulators.apns.devices import Device


def push(number: int, **headers: str) -> AcceptedPush:
    """An accepted push; names of headers without ``apns-``."""
    named = {f"apns-{name.replace('_', '-')}": value for name, value in headers.items()}
    return AcceptedPush(number, "apns", number, "t", str(number), b"{}", {"apns-topic": "app", **named})


def test_one_push_per_topic_waits() -> None:
    """The newest; zero expiration never waits."""
    device = Device("t", online=False)
    for entry in (push(1), push(2), push(3, topic="other"), push(4, expiration="0", topic="third")):
        device.take(entry)
    device.come_online(0)
    assert [entry.number for entry in device.received] == [2, 3]
    assert device.discarded == 2


def test_what_has_expired_is_not_received() -> None:
    """By the second that the header names."""
    device = Device("t", online=False)
    device.take(push(1, expiration="100"))
    device.take(push(2, expiration="100", topic="other"))
    device.come_online(99_999)
    assert len(device.received) == 2
    device.online = False
    device.take(push(3, expiration="100"))
    device.come_online(100_000)
    assert len(device.received) == 2


def test_a_collapse_id_replaces_what_is_shown() -> None:
    """Background pushes show nothing."""
    device = Device("t")
    for entry in (
        push(1, collapse_id="a"),
        push(2),
        push(3, collapse_id="a"),
        push(4, push_type="background"),
    ):
        device.take(entry)
    assert [entry.number for entry in device.screen()] == [3, 2]


def test_a_minute_has_room_for_so_many() -> None:
    """And makes room again."""
    device = Device("t", per_minute=2)
    assert [device.takes_one_more(now_ms) for now_ms in (0, 1, 2, 59_999, 60_000)] == [
        True,
        True,
        False,
        False,
        True,
    ]
