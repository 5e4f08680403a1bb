"""What a claimed row becomes, push by push."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.delivery.model import Claimed, DeviceRecord, Entry, EntryTerms, Group
from hub.delivery.notification import Notification
from hub.delivery.receipts import Receipt, verify_receipt
from workers.composing import PlannedPush, collapse_id, compose, push_id, target_of

NOW_MS = 1_800_000_000_000
SECRET = bytes(32)
DEVICE = "a" * 16
TTL_S = 604_800


def entry(offset: int, notification: str = "", *, ttl_s: int = 3600, **fields: Any) -> Entry:
    """An entry as ``notify`` writes it."""
    call = Notification(
        NOW_MS,
        notification or f"n-{offset}",
        fields.pop("data", b'{"order":7}'),
        {"title": "Hello", **fields.pop("shown", {})},
        ttl_s=ttl_s,
        **fields,
    )
    new = call.entry()
    return Entry(offset, NOW_MS - 1000, new.terms, new.data)


def alone(offset: int, **fields: Any) -> Group:
    """A group of one."""
    found = entry(offset, **fields)
    return Group(found, (offset,), (found.terms.id,))


def claimed(groups: Sequence[Group] = (), provider: str = "apns", **fields: Any) -> Claimed:
    """A row as the ledger hands it out."""
    token = '{"endpoint":"https://push.example/1","keys":{"p256dh":"k","auth":"s"}}'
    record = DeviceRecord("ios", provider, "com.example.app", "production", token, locale="de")
    row = Claimed(
        user="alice",
        device=DEVICE,
        claim="c-1",
        now_ms=NOW_MS,
        until_ms=NOW_MS + 30_000,
        record=record,
        token_hash="f" * 64,
        token_updated_ms=5,
        epoch="e-1",
        target=99,
        read=0,
        unread=3,
        attempts=0,
        groups=tuple(groups),
    )
    return replace(row, **fields)


def composed(row: Claimed) -> list[PlannedPush]:
    """Its pushes."""
    return compose(row, SECRET, TTL_S)


def receipt_of(planned: PlannedPush) -> Receipt:
    """What its receipt says."""
    return verify_receipt(planned.push.hub["receipt"], SECRET, NOW_MS)


def test_a_notification_becomes_one_push() -> None:
    """With everything that phone and app need, and nothing else."""
    group = alone(7, shown={"body": "there", "sound": "default"}, priority="normal")
    [planned] = composed(claimed([group]))
    push = planned.push
    assert planned.told == ((7, "n-7"),)
    assert planned.expires_at_ms == NOW_MS + 3_600_000
    assert push.expires_at_s == NOW_MS // 1000 + 3600
    assert push.ttl_s == 3600
    assert push.notification == {"title": "Hello", "body": "there", "sound": "default"}
    assert push.data == {"order": 7}
    assert push.badge == 3
    assert push.priority == "normal"
    hub = dict(push.hub)
    assert hub.pop("receipt")
    assert hub == {
        "v": 1,
        "kind": "notify",
        "id": "n-7",
        "channel": "inbox:#alice",
        "epoch": "e-1",
        "offset": 7,
        "count": 1,
        "user": hashlib.sha256(b"alice").hexdigest()[:8],
    }


def test_what_is_left_of_it_goes_by_the_engines_clock() -> None:
    """A worker whose own clock is years off tells the provider the same."""
    [planned] = compose(claimed([alone(9)], now_ms=NOW_MS + 3_590_000), SECRET, TTL_S)
    assert planned.push.ttl_s == 10


def test_ids_are_those_of_the_contract() -> None:
    """The same at every attempt; others for another device or notification."""
    [planned] = composed(claimed([alone(7)]))
    digest = hashlib.sha256(f"{DEVICE}|n-7".encode()).digest()
    assert planned.push.collapse_id == base64.urlsafe_b64encode(digest)[:32].decode()
    assert uuid.UUID(planned.push.push_id).version == 5
    assert planned.push.push_id == composed(claimed([alone(7)], attempts=4))[0].push.push_id
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, "urn:realtime-push-hub:push")
    assert push_id(DEVICE, "n-7") == str(uuid.uuid5(namespace, f"{DEVICE}|n-7"))
    assert len({push_id(d, n) for d in ("a", "b") for n in ("n", "m")}) == 4


def test_a_thread_is_one_push_and_replaces_itself() -> None:
    """Its newest entry, the count, and one collapse id for all its pushes."""
    newest = entry(9, shown={"thread": "chat"})
    group = Group(newest, (4, 9), ("n-4", "n-9"))
    [planned] = composed(claimed([group]))
    assert planned.told == ((4, "n-4"), (9, "n-9"))
    assert (planned.push.hub["count"], planned.push.hub["offset"]) == (2, 9)
    assert planned.push.collapse_id == collapse_id(DEVICE, newest.terms.thread)
    assert receipt_of(planned).acks == 9


@pytest.mark.parametrize(("provider", "expected"), [("apns", {"aps": {"sound": "x"}}), ("fcm", {})])
def test_overrides_are_those_of_the_devices_provider(provider: str, expected: dict[str, Any]) -> None:
    """The others are for other phones."""
    group = alone(1, overrides={"apns": {"aps": {"sound": "x"}}})
    [planned] = composed(claimed([group], provider))
    assert planned.push.overrides == expected


def test_a_badge_that_the_backend_counts_stands() -> None:
    """Who counts over more than this inbox knows better."""
    [planned] = composed(claimed([alone(1, shown={"badge": 12})]))
    assert planned.push.badge == 12


def test_what_is_beyond_the_groups_is_one_sync() -> None:
    """Silent, as long good as the longest of them, and acking nothing: the app has not had them."""
    rest = (replace(entry(8), data=b""), replace(entry(9, ttl_s=7200), data=b""))
    planned = composed(claimed([alone(7)], rest=rest))
    assert [each.push.kind for each in planned] == ["notify", "sync"]
    sync = planned[1]
    assert sync.told == ((8, "n-8"), (9, "n-9"))
    assert sync.push.expires_at_s == NOW_MS // 1000 + 7200
    assert sync.push.ttl_s == 7200
    assert (sync.push.hub["count"], sync.push.hub["offset"]) == (2, 9)
    assert sync.push.priority == "normal"
    assert sync.push.notification == {}
    assert sync.push.push_id != push_id(DEVICE, "n-9")
    assert receipt_of(sync).acks == 6


def test_a_receipt_never_acks_what_another_push_still_has_to_tell() -> None:
    """Acks are cumulative: the older debt might yet fail, and would be closed by the younger's receipt."""
    older, younger = composed(claimed([alone(5), alone(8)]))
    assert (receipt_of(older).offset, receipt_of(older).acks) == (5, 5)
    assert (receipt_of(younger).offset, receipt_of(younger).acks) == (8, 4)


def test_a_badge_alone_is_a_silent_push() -> None:
    """For an hour: later the app will have asked."""
    [planned] = composed(claimed(badge=0, read=6))
    push = planned.push
    assert (push.kind, push.badge, push.priority) == ("badge", 0, "normal")
    assert (planned.badge, planned.told) == (0, ())
    assert push.hub["offset"] == 6
    assert "receipt" not in push.hub
    assert push.expires_at_s == NOW_MS // 1000 + 3600
    assert push.ttl_s == 3600


def test_a_badge_goes_along_with_what_is_shown_anyway() -> None:
    """No second push for it."""
    [planned] = composed(claimed([alone(7)], badge=3))
    assert planned.push.kind == "notify"
    assert planned.badge == 3


def test_what_was_taken_back_is_cleared_one_by_one() -> None:
    """Before anything new is shown."""
    planned = composed(claimed([alone(7)], clear=("n-1", "n-2")))
    assert [each.push.kind for each in planned] == ["clear", "clear", "notify"]
    assert [each.cleared for each in planned] == ["n-1", "n-2", ""]
    assert [each.push.hub["id"] for each in planned] == ["n-1", "n-2", "n-7"]
    assert len({each.push.push_id for each in planned}) == 3


def test_a_web_subscription_is_taken_apart() -> None:
    """The token is its JSON."""
    target = target_of(claimed(provider="webpush"))
    assert target.token == ""
    assert target.subscription == {
        "endpoint": "https://push.example/1",
        "keys": {"p256dh": "k", "auth": "s"},
    }
    assert target_of(claimed(provider="fcm")).subscription is None


@given(
    data=st.binary(max_size=60),
    details=st.binary(max_size=60) | st.sampled_from([b"[]", b'{"overrides":3}', b'{"priority":[]}']),
)
def test_no_entry_breaks_it(data: bytes, details: bytes) -> None:
    """Whatever stands in an inbox becomes a push that tells the app to look."""
    terms = EntryTerms("n-1", push=True, expires_at_ms=NOW_MS + 1, details=details)
    [planned] = composed(claimed([Group(Entry(1, NOW_MS, terms, data), (1,), ("n-1",))]))
    assert planned.push.hub["id"] == "n-1"


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8, unique=True), st.data())
def test_all_that_is_owed_is_told_exactly_once(offsets: list[int], data: st.DataObject) -> None:
    """However it is grouped; and each receipt stops below the first debt that is not its own."""
    offsets = sorted(offsets)
    cut = data.draw(st.integers(0, len(offsets)))
    rest = tuple(entry(offset) for offset in offsets[cut:])
    planned = composed(claimed([alone(offset) for offset in offsets[:cut]], rest=rest))
    assert sorted(offset for each in planned for offset, _ in each.told) == offsets
    for each in planned:
        acks = receipt_of(each).acks
        own = {offset for offset, _ in each.told} if each.push.kind == "notify" else set()
        assert {offset for offset in offsets if offset <= acks} <= own
    orjson.dumps([dict(each.push.hub) for each in planned])
