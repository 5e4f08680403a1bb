"""What FCM asks of a message, one wrong field at a time."""

from __future__ import annotations

from typing import Any

import pytest

from hub.testing.simulators.fcm.rules import Refused, check

GOOD: list[dict[str, Any]] = [
    {"token": "t"},
    {"fid": "f", "notification": {"title": "x"}},
    {"topic": "news-1.a~b%20"},
    {"condition": "'a' in topics && 'b' in topics"},
    {"token": "t", "android": {"ttl": "0s", "priority": "high", "collapse_key": "k"}},
    {"token": "t", "android": {"ttl": "2419200s", "priority": "NORMAL"}},
    {"token": "t", "android": {"ttl": "1.5s", "notification": {"tag": "x", "notification_count": 0}}},
    {"token": "t", "apns": {"headers": {"apns-priority": "5"}, "payload": {"aps": {"content-available": 1}}}},
    {"token": "t", "apns": {"headers": {"apns-priority": "10"}, "payload": {"aps": {"alert": "x"}}}},
    {"token": "t", "notification": {"title": "x"}, "apns": {"headers": {"apns-priority": "10"}}},
    {"token": "t", "webpush": {"headers": {"TTL": "60", "Urgency": "high"}}},
    {"token": "t", "data": {"hub": "x" * 4000}},
]


@pytest.mark.parametrize("message", GOOD)
def test_a_good_message_may_be_sent(message: dict[str, Any]) -> None:
    """As it is."""
    assert check({"message": message}) == message


BAD: list[tuple[str, Any]] = [
    ("message", {}),
    ("message", {"notification": {"title": "x"}}),
    ("message", {"token": "t", "topic": "u"}),
    ("message", {"token": "t", "unknown": 1}),
    ("message.token", {"token": 5}),
    ("message.topic", {"topic": "no spaces"}),
    ("message.condition", {"condition": " || ".join("'a' in topics" for _ in range(6))}),
    ("message.data", {"token": "t", "data": {"a": 1}}),
    ("message.data", {"token": "t", "data": []}),
    ("message.data", {"token": "t", "data": {"from": "x"}}),
    ("message.data", {"token": "t", "data": {"message_type": "x"}}),
    ("message.data", {"token": "t", "data": {"google.x": "x"}}),
    ("message.data", {"token": "t", "data": {"gcm.x": "x"}}),
    ("message.android", {"token": "t", "android": {"sound": "x"}}),
    ("message.android.ttl", {"token": "t", "android": {"ttl": "3600"}}),
    ("message.android.ttl", {"token": "t", "android": {"ttl": 3600}}),
    ("message.android.ttl", {"token": "t", "android": {"ttl": "2419201s"}}),
    ("message.android.priority", {"token": "t", "android": {"priority": "10"}}),
    ("message.android.collapse_key", {"token": "t", "android": {"collapse_key": 1}}),
    ("message.android.data", {"token": "t", "android": {"data": {"gcm.x": "x"}}}),
    (
        "message.android.notification.notification_count",
        {"token": "t", "android": {"notification": {"notification_count": -1}}},
    ),
    ("message.apns.headers", {"token": "t", "apns": {"headers": {"apns-priority": 5}}}),
    ("message.apns.headers", {"token": "t", "apns": {"headers": {"apns-priority": "10"}}}),
    ("message.apns.payload.aps", {"token": "t", "apns": {"payload": {"aps": 1}}}),
    ("message.webpush.headers", {"token": "t", "webpush": {"headers": {"TTL": "soon"}}}),
    ("message.webpush.headers", {"token": "t", "webpush": {"headers": {"Urgency": "now"}}}),
    ("message", {"token": "t", "data": {"hub": "x" * 4096}}),
    ("message", {"topic": "t", "data": {"hub": "x" * 2048}}),
    ("message", {"token": "t", "android": {"data": {"hub": "x" * 4096}}}),
    ("message", {"token": "t", "apns": {"payload": {"aps": {"alert": "x" * 4096}}}}),
]


@pytest.mark.parametrize(("field", "message"), BAD)
def test_a_bad_message_names_its_field(field: str, message: Any) -> None:
    """The first one that is wrong."""
    with pytest.raises(Refused) as refused:
        check({"message": message})
    assert refused.value.wrong.field == field


def test_unknown_fields_of_the_request_are_refused() -> None:
    """As a typing error would be."""
    with pytest.raises(Refused, match="dry_run"):
        check({"message": {"token": "t"}, "dry_run": True})
