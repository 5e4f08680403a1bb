"""What makes a notification, what its entry says, and what is refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.delivery.inbox import MAX_ENTRY_BYTES
from hub.delivery.notification import MAX_TTL_S, Notification, new_notification_id, unpack
from hub.errors import HubError

NOW = 1_700_000_000_000
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
SHOWN = st.fixed_dictionaries(
    {},
    optional={
        "title": TEXT,
        "body": TEXT,
        "badge": st.integers(0, 2**31 - 1),
        "sound": TEXT,
        "image": TEXT,
        "thread": TEXT,
        "collapse_key": TEXT,
    },
)
NOTIFICATIONS = st.builds(
    Notification,
    created_ms=st.integers(1, 2**42),
    id=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64),
    data=st.sampled_from([b"1", b'{"a":1.0 }', b'"\xc3\xa4"', b"null"]),
    shown=SHOWN,
    overrides=st.sampled_from([{}, {"apns": {"aps": {"category": "x"}}}]),
    ttl_s=st.integers(1, MAX_TTL_S),
    priority=st.sampled_from(["high", "normal"]),
    fallback=st.sampled_from(["push", "none"]),
    full_trace=st.booleans(),
)


@given(NOTIFICATIONS)
def test_a_job_brings_back_the_same_notification(notification: Notification) -> None:
    """To the byte: what a worker expands is what was asked for."""
    again = unpack(notification.packed())
    assert again == notification
    assert again.entry() == notification.entry()


@given(NOTIFICATIONS)
def test_the_entry_carries_the_data_byte_for_byte(notification: Notification) -> None:
    """And is an object, to which history can add its own fields in front."""
    entry = notification.entry()
    assert entry.data.startswith(b'{"type":"notification",')
    assert b'"data":' + (notification.data or b"") + b"," in entry.data
    told = orjson.loads(entry.data)
    assert (told["id"], told["expires_at"]) == (notification.id, notification.expires_at_ms)
    assert told.get("notification", {}) == notification.shown
    assert entry.terms.push is (notification.fallback == "push")
    assert "\n" not in entry.terms.thread


@given(NOTIFICATIONS, NOTIFICATIONS)
def test_the_hash_tells_bodies_apart(one: Notification, other: Notification) -> None:
    """Everything the caller says counts, the time and the id do not."""

    def said(notification: Notification) -> tuple[Any, ...]:
        return (
            notification.data,
            notification.shown,
            notification.overrides,
            notification.ttl_s,
            notification.priority,
            notification.fallback,
        )

    assert (one.body_hash == other.body_hash) is (said(one) == said(other))


def nested(depth: int) -> dict[str, Any]:
    """An object in an object, and so on."""
    return {"a": nested(depth - 1)} if depth else {}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"id": "a b"}, "id"),
        ({"id": "x" * 65}, "id"),
        ({"ttl_s": 0}, "ttl_s"),
        ({"ttl_s": MAX_TTL_S + 1}, "ttl_s"),
        ({"ttl_s": 1.5}, "ttl_s"),
        ({"ttl_s": True}, "ttl_s"),
        ({"ttl_s": "60"}, "ttl_s"),
        ({"id": 7}, "id"),
        ({"shown": "x"}, "notification is an object"),
        ({"overrides": ["x"]}, "overrides is an object"),
        ({"priority": "urgent"}, "priority"),
        ({"fallback": "fax"}, "fallback"),
        ({"shown": {"subtitle": "x"}}, "notification"),
        ({"shown": {"badge": True}}, "badge"),
        ({"shown": {"badge": -1}}, "badge"),
        ({"shown": {"title": 1}}, "title"),
        ({"shown": {"thread": "x" * 257}}, "thread"),
        ({"overrides": {"telex": {}}}, "overrides"),
        ({"overrides": {"apns": 1}}, "overrides"),
        ({"overrides": {"apns": {"a": 10**30}}}, "overrides cannot be sent as JSON"),
        ({"overrides": {"fcm": {"a": {1}}}}, "overrides cannot be sent as JSON"),
        ({"overrides": {"fcm": nested(300)}}, "overrides cannot be sent as JSON"),
        ({"shown": {"title": "\ud800"}}, "notification cannot be sent as JSON"),
        ({"data": None}, "data"),
    ],
    ids=str,
)
def test_refuses_and_names_the_field(change: dict[str, Any], named: str) -> None:
    """107, and what the field may be."""
    with pytest.raises(HubError, match=named) as refused:
        Notification(**{"created_ms": NOW, "data": b"1", **change})
    assert refused.value.error.code == 107


def test_an_entry_has_a_limit() -> None:
    """16 KiB with everything in it."""
    frame = len(Notification(NOW, "n", data=b'""').entry().data) - 2
    fits = Notification(NOW, "n", data=b'"%s"' % (b"x" * (MAX_ENTRY_BYTES - frame - 2)))
    assert len(fits.entry().data) == MAX_ENTRY_BYTES
    with pytest.raises(HubError) as refused:
        Notification(NOW, "n", data=b'"%s"' % (b"x" * (MAX_ENTRY_BYTES - frame - 1))).entry()
    assert refused.value.error.code == 1006


@pytest.mark.parametrize(
    ("data", "fits"),
    [
        (b"[" * 200 + b"1" + b"]" * 200, True),
        (b"[" * 201 + b"1" + b"]" * 201, False),
        (b"[" * 2000 + b"]" * 2000, False),
        (b"[" + b",".join([b"[]"] * 1000) + b"]", True),
        (b'{"a":' * 150 + b'"[[[["' + b"}" * 150, True),
        (b'{"a":' * 201 + b"1" + b"}" * 201, False),
        (b'"' + b"[" * 1000 + b'"', True),
    ],
    ids=["lists", "one more", "nobody could read it", "wide", "objects", "objects, one more", "text"],
)
def test_data_is_no_deeper_than_can_be_pushed(data: bytes, fits: bool) -> None:
    """Else it would be accepted, and no provider ever be given it."""
    call = Notification(NOW, "n", data)
    if fits:
        assert call.entry().data
    else:
        with pytest.raises(HubError, match="data nests at most 200 deep") as refused:
            call.entry()
        assert refused.value.error.code == 107


def test_overrides_have_a_limit() -> None:
    """As much as an entry, and the refusal says that it is about them."""
    with pytest.raises(HubError, match="overrides have at most 16384 bytes") as refused:
        Notification(NOW, "n", b"1", overrides={"apns": {"a": "x" * MAX_ENTRY_BYTES}}).entry()
    assert refused.value.error.code == 1006


def test_made_ids_sort_by_time() -> None:
    """RFC 9562, 5.7: milliseconds first, version and variant in their places."""
    ids = [new_notification_id(NOW + step) for step in range(50)]
    assert ids == sorted(ids)
    assert {each[14] for each in ids} == {"7"}
    assert {each[19] for each in ids} <= set("89ab")
    assert int(ids[0].replace("-", "")[:12], 16) == NOW
