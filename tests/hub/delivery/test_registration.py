"""What an app must tell to be registered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hub.delivery.registration import device_record
from hub.errors import HubError

LANES = {"apns:com.example:production", "fcm:p-1:production", "webpush:web:production", "recording:d:sandbox"}
APNS = {
    "platform": "ios",
    "provider": "apns",
    "app": "com.example",
    "environment": "production",
    "token": "0A" * 32,
}
SUBSCRIPTION: dict[str, Any] = {
    "endpoint": "https://push.example/abc",
    "keys": {"p256dh": "BPl-_0", "auth": "AAAA"},
    "expirationTime": None,
}
WEB: dict[str, Any] = {
    "platform": "web",
    "provider": "webpush",
    "app": "web",
    "environment": "production",
    "token": None,
    "subscription": SUBSCRIPTION,
}


def test_one_phone_is_one_token() -> None:
    """Apple's tokens are hexadecimal in either case."""
    upper = device_record(**APNS, lanes=LANES)
    lower = device_record(**APNS | {"token": "0a" * 32}, lanes=LANES)
    assert upper == lower
    assert upper.lane == "apns:com.example:production"
    assert "0a0a" not in repr(upper)


def test_a_subscription_keeps_what_is_needed() -> None:
    """In one spelling, so that the same browser is the same device."""
    record = device_record(**WEB, lanes=LANES)
    other = {"keys": {"auth": "AAAA", "p256dh": "BPl-_0"}, "endpoint": "https://push.example/abc"}
    assert device_record(**WEB | {"subscription": other}, lanes=LANES).token == record.token
    assert json.loads(record.token) == other


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (APNS | {"platform": "watch"}, 107),
        (APNS | {"environment": "test"}, 107),
        (APNS | {"locale": "x" * 65}, 107),
        (APNS | {"timezone": "Europe/\nBerlin"}, 107),
        (APNS | {"token": None}, 1002),
        (APNS | {"token": "0a" * 7}, 1002),
        (APNS | {"token": "zz" * 32}, 1002),
        (APNS | {"subscription": SUBSCRIPTION}, 1002),
        (APNS | {"app": "com.other"}, 1003),
        (APNS | {"environment": "sandbox"}, 1003),
        (APNS | {"provider": "fcm", "app": "p-1", "token": "with blank"}, 1002),
        (WEB | {"token": "x" * 20}, 1002),
        (WEB | {"subscription": None}, 1002),
        (WEB | {"subscription": SUBSCRIPTION | {"endpoint": "http://push.example/abc"}}, 1002),
        (WEB | {"subscription": SUBSCRIPTION | {"endpoint": "https://u:p@push.example/abc"}}, 1002),
        (WEB | {"subscription": SUBSCRIPTION | {"endpoint": "https://[nonsense/abc"}}, 1002),
        (WEB | {"subscription": SUBSCRIPTION | {"keys": {"auth": "AAAA"}}}, 1002),
        (WEB | {"subscription": SUBSCRIPTION | {"keys": {"auth": "AA AA", "p256dh": "B"}}}, 1002),
    ],
)
def test_refuses_what_cannot_be_pushed_to(fields: dict[str, Any], code: int) -> None:
    """With its code, and without the token in the text."""
    with pytest.raises(HubError) as refused:
        device_record(**fields, lanes=LANES)
    assert refused.value.error.code == code
    assert "0a0a" not in str(refused.value).lower()
