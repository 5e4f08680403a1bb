"""What a service worker receives."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.payloads.pushes import HUB, TAG, push
from workers.payloads.webpush import ENCRYPTION_BYTES, MAX_BODY_BYTES, build_message


def test_the_object_has_hub_notification_data_badge_and_tag() -> None:
    """All that a service worker needs to draw, to replace and to resume."""
    built = build_message(push(data=[1, 2]))
    assert orjson.loads(built.plaintext) == {
        "hub": HUB,
        "notification": {"title": "Ben", "body": "Lunch?"},
        "data": [1, 2],
        "badge": 3,
        "tag": TAG,
    }
    assert built.headers == {"TTL": "86400", "Urgency": "high", "Topic": TAG}
    assert built.trimmed == "nothing"


@pytest.mark.parametrize("kind", ["badge", "clear", "sync"])
def test_what_shows_nothing_is_small_and_not_urgent(kind: Any) -> None:
    """No text travels with what only takes something back."""
    built = build_message(push(kind=kind, hub={**HUB, "kind": kind}, data=None))
    assert set(orjson.loads(built.plaintext)) == {"hub", "badge", "tag"}
    assert built.headers["Urgency"] == "low"


def test_a_topic_that_the_protocol_forbids_is_left_out() -> None:
    """At most 32 signs of base64url, else the push service refuses the message."""
    assert "Topic" not in build_message(push(collapse_id="x" * 33)).headers


@pytest.mark.parametrize(("ttl_s", "ttl"), [(0, "0"), (-5, "0"), (17, "17"), (10**8, "2419200")])
def test_a_lifetime_stays_within_what_push_services_keep(ttl_s: int, ttl: str) -> None:
    """From now or never up to four weeks."""
    assert build_message(push(ttl_s=ttl_s)).headers["TTL"] == ttl


def test_overrides_are_merged_but_never_into_hub() -> None:
    """The app's backend shapes what is shown, not what it is about."""
    overrides = {"notification": {"icon": "/i.png", "body": None}, "hub": {"id": "forged"}}
    built = orjson.loads(build_message(push(overrides=overrides)).plaintext)
    assert built["notification"] == {"title": "Ben", "icon": "/i.png"}
    assert built["hub"] == HUB


def test_the_second_try_leaves_everything_out_but_the_resume() -> None:
    """A service that found the first try too long gets the least there is."""
    built = build_message(push(), generic_text="News", with_content=False)
    said = orjson.loads(built.plaintext)
    assert said == {"hub": HUB, "notification": {"body": "News"}, "badge": 3, "tag": TAG}
    assert built.trimmed == "content"


def test_what_json_cannot_express_is_a_value_error() -> None:
    """One exception for the sender to turn into a dead letter."""
    with pytest.raises(ValueError, match=r"."):
        build_message(push(data={"x": object()}))


@settings(max_examples=100, deadline=None)
@given(
    body=st.text(st.characters(codec="utf-8"), max_size=6000),
    blob=st.text(st.characters(codec="utf-8"), max_size=6000),
)
def test_every_push_fits_once_encrypted(body: str, blob: str) -> None:
    """Whatever the text and the data are, hub arrives."""
    built = build_message(push(notification={"body": body}, data={"blob": blob}))
    assert len(built.plaintext) + ENCRYPTION_BYTES <= MAX_BODY_BYTES
    assert orjson.loads(built.plaintext)["hub"] == HUB


def test_a_repr_shows_no_content() -> None:
    """It ends in logs and in the texts of failures."""
    assert "Lunch" not in repr(build_message(push()))
