"""What FCM is told, for each kind of push and each platform."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.payloads.pushes import HUB, NOW_S, TAG, TOKEN, push, target
from workers.payloads.fcm import MAX_BODY_BYTES, FcmMessage, FcmStyle, build_message, target_field
from workers.payloads.fitting import fit
from workers.push import Push


def message(given_push: Push, style: FcmStyle | None = None) -> dict[str, Any]:
    """What is sent for a push."""
    return message_of(build_message(given_push, style))


def message_of(built: FcmMessage) -> dict[str, Any]:
    """The message inside the request body."""
    found: dict[str, Any] = orjson.loads(built.body)["message"]
    return found


def test_an_android_notification_is_drawn_by_the_system_and_replaces_its_predecessor() -> None:
    """Text, tag, count, channel, lifetime and priority are where Android looks for them."""
    built = message(
        push(notification={"title": "Ben", "body": "Lunch?", "sound": "ding", "collapse_key": "chats"}),
        FcmStyle(android_channel_id="messages"),
    )
    assert built["notification"] == {"title": "Ben", "body": "Lunch?"}
    assert built["android"] == {
        "priority": "high",
        "ttl": "86400s",
        "collapse_key": "chats",
        "notification": {
            "tag": TAG,
            "channel_id": "messages",
            "sound": "ding",
            "notification_count": 3,
        },
    }
    assert built["token"] == TOKEN
    assert "apns" not in built
    assert "webpush" not in built


def test_the_hub_object_is_one_json_string_beside_the_apps_data() -> None:
    """FCM's data knows strings only; what is none goes as JSON."""
    built = message(push(data={"chat": "7", "seen": [1, 2], "big": None}))
    assert json.loads(built["data"]["hub"]) == HUB
    assert built["data"] == {"hub": built["data"]["hub"], "chat": "7", "seen": "[1,2]", "big": "null"}


@pytest.mark.parametrize("data", [[1], "text", 7, {"from": "x"}, {"gcm.a": "x"}, {"hub": "mine"}, {"": 1}])
def test_data_that_has_no_flat_form_goes_whole_under_one_key(data: Any) -> None:
    """No reserved key of FCM, and no foreign ``hub``, makes a message that FCM refuses."""
    built = message(push(data=data))
    assert set(built["data"]) == {"hub", "data"}
    text = built["data"]["data"]
    assert (text if isinstance(data, str) else json.loads(text)) == data
    assert json.loads(built["data"]["hub"]) == HUB


@pytest.mark.parametrize("kind", ["badge", "clear", "sync"])
def test_what_shows_nothing_is_data_alone_at_normal_priority(kind: Any) -> None:
    """High priority that shows nothing is downgraded by FCM in the end."""
    built = message(push(kind=kind, hub={**HUB, "kind": kind}))
    assert "notification" not in built
    assert "notification" not in built["android"]
    assert built["android"]["priority"] == "normal"


def test_a_badge_and_a_sync_replace_what_is_stored_and_a_clear_does_not() -> None:
    """Only the newest badge matters, but each clear is about another notification."""
    keys = {k: message(push(kind=k))["android"].get("collapse_key") for k in ("badge", "clear", "sync")}
    assert keys == {"badge": "hub.badge", "clear": None, "sync": "hub.sync"}


def test_a_notify_without_text_is_data_alone_and_keeps_its_priority() -> None:
    """An app that draws itself is woken at once."""
    built = message(push(notification={}))
    assert "notification" not in built
    assert built["android"]["priority"] == "high"


def test_ios_through_fcm_gets_apples_words() -> None:
    """Headers and aps as they would go to Apple directly; the text comes from the common block."""
    built = message(
        push(
            target=target(platform="ios"),
            notification={"title": "Ben", "body": "Lunch?", "sound": "default", "thread": "chat-7"},
        )
    )
    assert built["apns"]["headers"] == {
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-expiration": str(NOW_S + 86_400),
        "apns-collapse-id": TAG,
    }
    assert built["apns"]["payload"] == {
        "aps": {"badge": 3, "sound": "default", "thread-id": "chat-7", "mutable-content": 1}
    }
    assert "android" not in built


def test_ios_is_not_asked_for_priority_ten_by_what_shows_nothing() -> None:
    """A silent push of priority 10 is an error to Apple."""
    silent = message(push(kind="sync", badge=None, target=target(platform="ios")))["apns"]
    assert silent["headers"]["apns-push-type"] == "background"
    assert silent["headers"]["apns-priority"] == "5"
    assert silent["payload"] == {"aps": {"content-available": 1}}
    badge = message(push(kind="badge", badge=0, target=target(platform="ios")))["apns"]
    assert badge["headers"]["apns-push-type"] == "alert"
    assert badge["headers"]["apns-priority"] == "5"
    assert badge["payload"] == {"aps": {"badge": 0, "content-available": 1}}


def test_an_expiry_of_zero_is_one_attempt_everywhere() -> None:
    """Neither Android nor Apple keeps what is to arrive now or never."""
    assert message(push(ttl_s=0))["android"]["ttl"] == "0s"
    ios = message(push(expires_at_s=0, ttl_s=0, target=target(platform="ios")))
    assert ios["apns"]["headers"]["apns-expiration"] == "0"


def test_a_lifetime_never_passes_what_fcm_takes() -> None:
    """Four weeks at most."""
    assert message(push(ttl_s=10**8))["android"]["ttl"] == "2419200s"


def test_a_browser_registered_with_fcm_gets_the_webpush_block() -> None:
    """TTL, urgency, topic and tag."""
    built = message(push(target=target(platform="web")))
    assert built["webpush"] == {
        "headers": {"TTL": "86400", "Urgency": "high", "Topic": TAG},
        "notification": {"tag": TAG},
    }


@pytest.mark.parametrize(
    ("token", "name"),
    [
        (TOKEN, "token"),
        ("cAbCdEfGhIjKlMnOpQrStU", "fid"),
        ("zAbCdEfGhIjKlMnOpQrStU", "token"),
        ("cAbCdEfGhIjKlMnOpQrStUv", "token"),
        ("cAbCdEfGhIjKlMnOpQrStU:APA91b", "token"),
    ],
)
def test_an_installation_id_is_told_from_a_registration_token(token: str, name: str) -> None:
    """Both kinds live in one registry; FCM wants to know which it gets."""
    assert target_field(token) == name
    built = message(push(target=target(token=token)))
    assert built[name] == token
    assert ("token" in built) != ("fid" in built)


def test_overrides_are_merged_and_a_null_takes_a_field_out() -> None:
    """The app's backend has the last word on what is shown."""
    built = message(
        push(
            overrides={
                "android": {"notification": {"color": "#ff0000", "tag": None}, "ttl": "60s"},
                "notification": {"title": "Someone"},
                "fcm_options": {"analytics_label": "lunch"},
            }
        )
    )
    assert built["notification"] == {"title": "Someone", "body": "Lunch?"}
    assert built["android"]["notification"] == {"notification_count": 3, "color": "#ff0000"}
    assert built["android"]["ttl"] == "60s"
    assert built["fcm_options"] == {"analytics_label": "lunch"}


def test_overrides_neither_redirect_a_message_nor_lose_the_hub_object() -> None:
    """A block's own data stands in for the common one, so hub must be in both."""
    built = message(
        push(
            overrides={
                "token": "somebody else",
                "topic": "everybody",
                "data": {"hub": "forged", "n": 5},
                "android": {"data": {"only": True}},
            }
        )
    )
    assert built["token"] == TOKEN
    assert "topic" not in built
    assert json.loads(built["data"]["hub"]) == HUB
    assert built["data"]["n"] == "5"
    assert json.loads(built["android"]["data"]["hub"]) == HUB
    assert built["android"]["data"]["only"] == "true"


def test_a_long_text_is_cut_and_the_data_stays() -> None:
    """The preview is what can be spared."""
    built = build_message(push(notification={"title": "Ben", "body": "é" * 5000}))
    assert built.trimmed == "preview"
    assert MAX_BODY_BYTES - 4 <= len(built.body) <= MAX_BODY_BYTES
    assert message_of(built)["notification"]["body"].strip("é") == "…"
    assert message_of(built)["data"]["chat"] == "7"


def test_data_goes_before_the_text_is_lost() -> None:
    """What a person reads is worth more than what the app can fetch."""
    built = build_message(push(data={"blob": "x" * 5000}))
    assert built.trimmed == "data"
    assert message_of(built)["notification"] == {"title": "Ben", "body": "Lunch?"}
    assert set(message_of(built)["data"]) == {"hub"}


def test_what_fits_in_no_way_becomes_a_push_without_content() -> None:
    """The app is told to resume, and a person sees a generic text."""
    built = build_message(push(notification={"title": "t" * 5000}), FcmStyle(generic_text="News"))
    assert built.trimmed == "content"
    assert message_of(built)["notification"] == {"body": "News"}
    assert json.loads(message_of(built)["data"]["hub"]) == HUB
    silent = build_message(push(kind="sync", data={"blob": "x" * 5000}, overrides={"x": "y" * 5000}))
    assert "notification" not in message_of(silent)
    assert len(silent.body) <= MAX_BODY_BYTES


@pytest.mark.parametrize(
    "changes",
    [
        {"notification": {"title": 5}},
        {"notification": {"title": "x", "sound": {}}},
        {"data": {"x": 2**70}},
        {"notification": {"title": "\ud800"}},
        {"overrides": {"android": {"x": object()}}},
    ],
)
def test_what_cannot_be_expressed_is_a_value_error(changes: dict[str, Any]) -> None:
    """One exception for the sender to turn into a dead letter."""
    with pytest.raises(ValueError, match=r"."):
        build_message(push(**changes))


TEXTS = st.text(st.characters(codec="utf-8"), max_size=3000)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=120, deadline=None)
@given(
    platform=st.sampled_from(["android", "ios", "web"]),
    kind=st.sampled_from(["notify", "badge", "clear", "sync"]),
    title=TEXTS,
    body=TEXTS,
    data=JSON,
    override=JSON,
)
def test_every_push_fits_and_tells_the_app_what_it_is_about(
    platform: str, kind: Any, title: str, body: str, data: Any, override: Any
) -> None:
    """Never refused for its size, never without the hub object, never to somebody else."""
    built = build_message(
        push(
            kind=kind,
            target=target(platform=platform),
            notification={"title": title, "body": body},
            data=data,
            overrides={"android": override, "extra": override},
        )
    )
    assert len(built.body) <= MAX_BODY_BYTES
    assert json.loads(message_of(built)["data"]["hub"]) == HUB
    assert message_of(built)["token"] == TOKEN
    assert all(isinstance(value, str) for value in message_of(built)["data"].values())


def test_a_repr_shows_neither_token_nor_content_nor_receipt() -> None:
    """It ends in logs and in the texts of failures."""
    told = push()
    shown = repr([told, build_message(told), fit(told, lambda *_: {"token": TOKEN}, 4096, "")])
    assert told.push_id in shown
    assert not [secret for secret in (TOKEN, "Lunch?", HUB["receipt"]) if str(secret) in shown]
