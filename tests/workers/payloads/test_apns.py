"""A push in Apple's words: what the body says, which headers match it, what gives way when it is too long."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.payloads.apns import MAX_BODY_BYTES, MAX_VOIP_BODY_BYTES, TOPIC_SUFFIXES, build_apns
from workers.push import Push, Target

HUB = {"v": 1, "kind": "notify", "id": "n-1", "channel": "inbox:ann", "epoch": "b-1", "offset": 7, "count": 1}
TARGET = Target(
    user="ann",
    device="phone-1",
    platform="ios",
    provider="apns",
    app="com.example.chat",
    environment="production",
    token="ab" * 32,
)
PUSH_ID = "6BA7B810-9DAD-51D1-80B4-00C04FD430C8"


def push(**fields: Any) -> Push:
    """A push of kind notify with a title and a body, unless told otherwise."""
    given_fields = {
        "kind": "notify",
        "push_id": PUSH_ID,
        "target": TARGET,
        "hub": HUB,
        "notification": {"title": "Ann", "body": "Hello"},
        **fields,
    }
    return Push(**given_fields)


def body_of(message: Any) -> Any:
    """The body, decoded."""
    return orjson.loads(message.body)


def test_a_notification_becomes_an_alert_with_the_hub_object_beside_it() -> None:
    """Title and body are shown, the app's data and the cursor ride along, the extension may change it."""
    message = build_apns(push(data={"room": 4}, badge=3, collapse_id="c" * 32, expires_at_s=1_900_000_000))
    assert body_of(message) == {
        "aps": {"alert": {"title": "Ann", "body": "Hello"}, "badge": 3, "mutable-content": 1},
        "data": {"room": 4},
        "hub": HUB,
    }
    assert (message.topic, message.push_type, message.priority) == ("com.example.chat", "alert", 10)
    assert (message.collapse_id, message.expiration, message.trimmed) == ("c" * 32, 1_900_000_000, "nothing")


def test_everything_a_notification_names_is_shown() -> None:
    """Sound, thread and subtitle go into aps, the image beside it for the app's extension."""
    named = {
        "title": "Ann",
        "subtitle": "Lunch",
        "body": "Hi",
        "sound": "ping.caf",
        "thread": "t-9",
        "image": "https://x.test/i",
    }
    body = body_of(build_apns(push(notification=named)))
    assert body["aps"] == {
        "alert": {"title": "Ann", "subtitle": "Lunch", "body": "Hi"},
        "sound": "ping.caf",
        "thread-id": "t-9",
        "mutable-content": 1,
    }
    assert body["image"] == "https://x.test/i"


def test_the_id_is_a_canonical_lower_case_uuid() -> None:
    """The provider refuses any other form."""
    assert build_apns(push()).apns_id == str(uuid.UUID(PUSH_ID))


def test_the_body_is_compact_json() -> None:
    """No space between tokens: every byte counts against the limit."""
    assert b'", "' not in build_apns(push()).body
    assert b'": ' not in build_apns(push()).body


def test_an_expiration_of_zero_stands_for_itself() -> None:
    """Zero asks for one attempt without storing and must not become a time."""
    assert build_apns(push(expires_at_s=0)).expiration == 0


@pytest.mark.parametrize(
    ("fields", "push_type", "priority"),
    [
        ({"priority": "high"}, "alert", 10),
        ({"priority": "normal"}, "alert", 5),
        ({"notification": {}, "data": {"a": 1}}, "background", 5),
        ({"notification": {}, "badge": 4}, "alert", 5),
        ({"notification": {"sound": "default"}}, "alert", 10),
        ({"kind": "badge", "badge": 2}, "alert", 5),
        ({"kind": "badge", "badge": 0}, "alert", 5),
        ({"kind": "badge"}, "background", 5),
        ({"kind": "clear"}, "background", 5),
        ({"kind": "clear", "badge": 2}, "alert", 5),
        ({"kind": "sync"}, "background", 5),
        ({"kind": "sync", "badge": 2}, "background", 5),
    ],
)
def test_push_type_and_priority_match_the_body(fields: dict[str, Any], push_type: str, priority: int) -> None:
    """Only what shows something is an alert, only what shows words or sounds may wake the screen."""
    fields.setdefault("notification", {} if fields.get("kind", "notify") != "notify" else {"title": "Ann"})
    message = build_apns(push(**fields))
    assert (message.push_type, message.priority) == (push_type, priority)


@pytest.mark.parametrize("kind", ["sync", "clear", "badge"])
def test_silent_pushes_carry_nothing_but_the_wake_up_in_aps(kind: Any) -> None:
    """A background push with anything else in aps may be dropped by the system."""
    silent = push(kind=kind, notification={"title": "Ann"}, data={"secret": 1})
    assert body_of(build_apns(silent)) == {"aps": {"content-available": 1}, "hub": HUB}


def test_a_badge_goes_alone() -> None:
    """Counting needs no running app: the budget of wake-ups is left to what needs it."""
    body = body_of(build_apns(push(kind="badge", badge=0, notification={})))
    assert body == {"aps": {"badge": 0}, "hub": HUB}


def test_taking_back_wakes_the_app_even_with_a_badge() -> None:
    """What is shown can be removed by the app alone."""
    body = body_of(build_apns(push(kind="clear", badge=1, notification={})))
    assert body["aps"] == {"badge": 1, "content-available": 1}


def test_overrides_are_merged_into_aps_and_body() -> None:
    """Keys that we have no word for reach the provider; what we set and they do not name stays."""
    overrides = {
        "aps": {"interruption-level": "time-sensitive", "category": "CHAT", "alert": {"loc-key": "K"}},
        "campaign": "x",
    }
    body = body_of(build_apns(push(overrides=overrides)))
    assert body["aps"]["alert"] == {"title": "Ann", "body": "Hello", "loc-key": "K"}
    assert body["aps"]["interruption-level"] == "time-sensitive"
    assert body["aps"]["category"] == "CHAT"
    assert body["campaign"] == "x"


def test_overrides_cannot_touch_the_hub_object() -> None:
    """The cursor is ours: an override of it would make the app resume from somewhere else."""
    assert body_of(build_apns(push(overrides={"hub": {"offset": 0}})))["hub"] == HUB


@pytest.mark.parametrize(("push_type", "suffix"), TOPIC_SUFFIXES.items())
def test_each_push_type_has_its_topic(push_type: str, suffix: str) -> None:
    """The suffix follows the push type, so that naming the type is enough."""
    message = build_apns(push(overrides={"headers": {"apns-push-type": push_type}}))
    assert (message.push_type, message.topic) == (push_type, "com.example.chat" + suffix)


def test_headers_can_be_overridden() -> None:
    """Topic, priority, collapse id and expiration of the caller win over ours."""
    headers = {
        "apns-topic": "com.example.other",
        "apns-priority": "5",
        "apns-collapse-id": "mine",
        "apns-expiration": 0,
    }
    message = build_apns(push(expires_at_s=99, collapse_id="ours", overrides={"headers": headers}))
    assert (message.topic, message.priority) == ("com.example.other", 5)
    assert (message.collapse_id, message.expiration) == ("mine", 0)


@pytest.mark.parametrize(
    "headers",
    [
        {"apns-priority": "11"},
        {"apns-priority": True},
        {"apns-topic": "a\r\nb"},
        {"apns-push-type": "nonsense"},
        {"apns-expiration": "soon"},
        {"apns-expiration": -4},
        "nonsense",
    ],
)
def test_headers_that_the_provider_would_refuse_are_left_aside(headers: Any) -> None:
    """A wrong override costs its effect, not the notification."""
    plain = build_apns(push(expires_at_s=5))
    assert build_apns(push(expires_at_s=5, overrides={"headers": headers})) == plain


def test_a_silent_push_never_asks_for_immediate_delivery() -> None:
    """Priority 10 with a background push is an error of the provider."""
    headers = {"apns-priority": "10"}
    assert build_apns(push(kind="sync", overrides={"headers": headers})).priority == 5


def test_a_collapse_id_that_is_too_long_is_hashed_not_refused() -> None:
    """The same long id still collapses with itself."""
    first, second = build_apns(push(collapse_id="x" * 65)), build_apns(push(collapse_id="x" * 65))
    assert first.collapse_id == second.collapse_id
    assert len(first.collapse_id) == 32


def test_a_body_that_is_too_long_loses_its_end() -> None:
    """The preview is what the app can fetch again, so it gives way first."""
    message = build_apns(push(notification={"title": "Ann", "body": "ä" * 5000}, data={"room": 4}))
    body = body_of(message)
    assert message.trimmed == "preview"
    assert MAX_BODY_BYTES - 3 <= len(message.body) <= MAX_BODY_BYTES
    assert body["aps"]["alert"]["body"].endswith("ä…")
    assert body["data"] == {"room": 4}
    assert body["hub"] == HUB


def test_what_has_to_be_escaped_is_measured_as_it_is_sent() -> None:
    """A quote takes two bytes and a control character six."""
    message = build_apns(push(notification={"body": '"\x01' * 2000}))
    assert len(message.body) <= MAX_BODY_BYTES
    assert body_of(message)["aps"]["alert"]["body"].startswith('"\x01"')


def test_data_that_is_too_long_goes_before_the_words() -> None:
    """The app fetches its data by itself; what is shown stays."""
    message = build_apns(push(notification={"title": "Ann", "body": "Hi"}, data="d" * 5000))
    assert message.trimmed == "data"
    assert body_of(message) == {
        "aps": {"alert": {"title": "Ann", "body": "Hi"}, "mutable-content": 1},
        "hub": HUB,
    }


def test_what_is_still_too_long_becomes_content_free() -> None:
    """A generic text is shown, the sound is heard, the app is woken to fetch the rest."""
    shown = {"title": "t" * 5000, "sound": "s" * 50}
    message = build_apns(push(notification=shown), generic_text="News")
    assert message.trimmed == "content"
    assert body_of(message) == {
        "aps": {"alert": {"body": "News"}, "mutable-content": 1, "content-available": 1, "sound": "default"},
        "hub": HUB,
    }
    assert (message.push_type, message.priority) == ("alert", 10)


def test_overrides_that_are_too_long_are_left_out() -> None:
    """They are content like any other."""
    message = build_apns(push(overrides={"extra": "e" * 5000}))
    assert message.trimmed == "content"
    assert "extra" not in body_of(message)


def test_data_without_words_that_is_too_long_is_silent() -> None:
    """Nothing to show means nothing shown."""
    message = build_apns(push(notification={}, data="d" * 5000))
    assert (message.push_type, message.priority, message.trimmed) == ("background", 5, "data")
    assert body_of(message) == {"aps": {"content-available": 1}, "hub": HUB}


def test_what_is_no_json_makes_it_content_free() -> None:
    """A half of a surrogate pair somewhere loses the words, not the notification."""
    message = build_apns(push(notification={"title": "a\ud800b", "body": "Hi"}), generic_text="News")
    assert body_of(message)["aps"]["alert"] == {"body": "News"}


def test_the_short_form_can_be_asked_for() -> None:
    """For a provider that called the ordinary form too large."""
    assert build_apns(push(), with_content=False).trimmed == "content"


@pytest.mark.parametrize("badge", [-1, 2**70, True, "3", 1.5])
def test_a_badge_that_is_no_count_is_left_out(badge: Any) -> None:
    """It would cost the whole notification otherwise."""
    assert "badge" not in body_of(build_apns(push(notification={"title": "Ann", "badge": badge})))["aps"]


def test_a_null_in_overrides_takes_a_field_out() -> None:
    """As in the overrides of every provider."""
    body = body_of(build_apns(push(badge=3, overrides={"aps": {"badge": None, "mutable-content": None}})))
    assert body["aps"] == {"alert": {"title": "Ann", "body": "Hello"}}


def test_a_call_may_be_longer() -> None:
    """The limit of voip pushes is 5120 bytes."""
    headers = {"apns-push-type": "voip"}
    message = build_apns(push(data="d" * 4800, overrides={"headers": headers}))
    assert message.trimmed == "nothing"
    assert MAX_BODY_BYTES < len(message.body) <= MAX_VOIP_BODY_BYTES


def test_a_hub_object_beyond_the_limit_is_refused() -> None:
    """There is nothing left that could give way."""
    with pytest.raises(ValueError, match="hub object"):
        build_apns(push(hub={"v": 1, "id": "x" * 5000}))


def test_the_text_of_a_message_shows_no_content() -> None:
    """The body stays out of ``repr``, and with it out of logs."""
    assert "Hello" not in repr(build_apns(push()))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(), inner, max_size=8),
    max_leaves=20,
)
LONG_TEXT = st.builds(lambda text, times: text * times, st.text(max_size=30), st.integers(1, 400))
ANY_VALUE = JSON | LONG_TEXT
NOTIFICATIONS = st.dictionaries(
    st.sampled_from(["title", "subtitle", "body", "badge", "sound", "image", "thread", "collapse_key"]),
    ANY_VALUE,
)
OVERRIDES = st.fixed_dictionaries(
    {},
    optional={
        "aps": st.dictionaries(
            st.sampled_from(["alert", "badge", "sound", "category"]) | st.text(max_size=9), ANY_VALUE
        )
        | JSON,
        "headers": st.dictionaries(
            st.sampled_from(
                ["apns-push-type", "apns-topic", "apns-priority", "apns-collapse-id", "apns-expiration"]
            ),
            JSON | st.sampled_from([*TOPIC_SUFFIXES, "10", "5"]),
        )
        | JSON,
        "hub": JSON,
        "extra": ANY_VALUE,
    },
)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["notify", "badge", "clear", "sync"]),
    notification=NOTIFICATIONS,
    data=ANY_VALUE,
    badge=st.none() | st.integers(0, 10**6),
    collapse_id=st.text(max_size=100),
    priority=st.sampled_from(["high", "normal"]),
    expires_at_s=st.integers(0, 2**32),
    overrides=OVERRIDES,
)
def test_no_input_exceeds_the_limit_or_loses_the_hub_object(**fields: Any) -> None:
    """Whatever is asked for, what is built can be sent, and the app finds its way from it."""
    message = build_apns(push(**fields))
    assert len(message.body) <= (MAX_VOIP_BODY_BYTES if message.push_type == "voip" else MAX_BODY_BYTES)
    assert body_of(message)["hub"] == HUB
    assert isinstance(body_of(message)["aps"], dict)
    assert message.priority in (1, 5, 10)
    assert not (message.push_type == "background" and message.priority == 10)
    assert len(message.collapse_id) <= 64
    assert all(" " < sign <= "~" for sign in message.topic + message.collapse_id)
    assert message.expiration >= 0
