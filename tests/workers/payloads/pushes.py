"""Pushes for the tests of builders and senders."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from workers.push import Push, Target

NOW_S = 1_800_000_000
TOKEN = "eXampleInstallation-id:APA91bSomethingLongAndSecretThatNobodyMayEverSeeInALog"
TAG = "q3Jx0bO9vNn2k1sHf_8aZw-5tYcUeRdI"

HUB = {
    "v": 1,
    "kind": "notify",
    "id": "0190b5a0-0000-7000-8000-000000000001",
    "channel": "inbox:#ann",
    "epoch": "k3f9a-1",
    "offset": 42,
    "count": 1,
    "user": "9f86d081",
    "receipt": "cmVjZWlwdA",
}


def target(**changes: Any) -> Target:
    """An Android phone; ``changes`` are fields of :class:`Target`."""
    phone = Target(
        user="ann",
        device="6c1f0b8e-phone-of-ann",
        platform="android",
        provider="fcm",
        app="demo-project",
        environment="production",
        token=TOKEN,
        token_hash="1f2e3d4c",
        token_updated_ms=1_799_000_000_000,
    )
    return replace(phone, **changes)


def push(**changes: Any) -> Push:
    """A notification with a text; ``changes`` are fields of :class:`Push`."""
    shown = Push(
        kind="notify",
        push_id="3f1c9a52-7d3b-5c8e-9f61-0a1b2c3d4e5f",
        target=target(),
        hub=HUB,
        notification={"title": "Ben", "body": "Lunch?"},
        data={"chat": "7"},
        badge=3,
        collapse_id=TAG,
        expires_at_s=NOW_S + 86_400,
        ttl_s=86_400,
    )
    return replace(shown, **changes)
