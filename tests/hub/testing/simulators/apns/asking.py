"""A push as a sender would make it, to be bent by one thing at a time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import orjson

from hub.testing.simulators import ApnsSimulator

TOPIC = "com.example.app"
TOKEN = "ab" * 32
ALERT: dict[str, Any] = {"aps": {"alert": {"title": "Hello"}}}
BODY = orjson.dumps(ALERT)
_JWTS: dict[str, str] = {}
UUID = "9a6f4b1e-6a1d-4c58-9b0f-0d0c2f0a7a11"


def jwt_of(apns: ApnsSimulator) -> str:
    """The one provider token of this simulator; a new one for each push would be too many."""
    if apns.key.key_id not in _JWTS:
        _JWTS[apns.key.key_id] = apns.key.token(time.time())
    return _JWTS[apns.key.key_id]


def headers(
    apns: ApnsSimulator,
    token: str = TOKEN,
    /,
    *,
    method: str = "POST",
    path: str | None = None,
    jwt: str | None = None,
    without: tuple[str, ...] = (),
    also: tuple[tuple[str, str], ...] = (),
    **changed: Any,
) -> list[tuple[str, str]]:
    """Header list of a good push; ``changed`` names have underscores in place of dashes."""
    named: Mapping[str, str] = {
        "authorization": f"bearer {jwt or jwt_of(apns)}",
        "apns-topic": TOPIC,
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-expiration": "0",
        "apns-id": UUID,
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    pairs = [(name, value) for name, value in named.items() if name not in without]
    return [
        (":method", method),
        (":scheme", "https"),
        (":path", f"/3/device/{token}" if path is None else path),
        (":authority", "localhost"),
        *pairs,
        *also,
    ]
