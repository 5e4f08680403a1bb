"""What can be published: what the server API would take, and nothing else."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hub.errors import BAD_REQUEST, DATA_TOO_LARGE, HubError
from hub.payloads import MAX_DEPTH
from hub.publisher import NewPublication
from hub.publisher.new_publication import check_fields, payload_of


def payload(data: Any, *, opaque: bool = False, max_bytes: int = 1000) -> bytes:
    """The bytes of ``data``."""
    return payload_of(data, opaque=opaque, max_bytes=max_bytes)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"a": [1, "ä", None]}, '{"a":[1,"ä",null]}'.encode()),
        ("text", b'"text"'),
        (None, b"null"),
        (0, b"0"),
        (b'{"b": 1.0,  "a":1e2}', b'{"b": 1.0,  "a":1e2}'),
        (bytearray(b"[1]"), b"[1]"),
    ],
)
def test_values_become_json_and_documents_stay_as_they_are(data: Any, expected: bytes) -> None:
    """A document that is written already is not written again."""
    assert payload(data) == expected


def test_opaque_bytes_need_not_be_json() -> None:
    """If that is said."""
    assert payload(b"\x00\xff", opaque=True) == b"\x00\xff"


@pytest.mark.parametrize(
    "data", [b"\x00\xff", b"{", b"", object(), {1: 2}, 2**70, "\ud800", {"a": {1, 2}}, math]
)
def test_what_is_no_json_is_refused(data: Any) -> None:
    """It would end the connections of JSON clients."""
    with pytest.raises(HubError) as refusal:
        payload(data)
    assert refusal.value.error is BAD_REQUEST


@pytest.mark.parametrize("data", ["text", {"a": 1}, b"", None])
def test_opaque_data_is_bytes_and_not_empty(data: Any) -> None:
    """Nothing is encoded on the quiet."""
    with pytest.raises(HubError) as refusal:
        payload(data, opaque=True)
    assert refusal.value.error is BAD_REQUEST


def test_too_deep_and_too_large_are_refused() -> None:
    """Depth as by the server API, size as the publisher was told; opaque bytes have no depth."""
    deep = b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)
    with pytest.raises(HubError, match="deeper") as refusal:
        payload(deep)
    assert refusal.value.error is BAD_REQUEST
    assert payload(deep, opaque=True) == deep
    assert payload(b"1" * 1000)
    with pytest.raises(HubError, match="1001 bytes") as refusal:
        payload(b"1" * 1001)
    assert refusal.value.error is DATA_TOO_LARGE


@pytest.mark.parametrize(
    "fields",
    [
        {"channel": 7},
        {"channel": "\ud800"},
        {"idempotency_key": "x" * 513},
        {"idempotency_key": 7},
        {"idempotency_key": "\ud800"},
        {"version_epoch": "x" * 513},
        {"version": -1},
        {"version": 2**63},
        {"version": 1.5},
        {"version": True},
        {"tags": {"a": 1}},
        {"tags": {1: "a"}},
        {"tags": ["a"]},
        {"tags": {"a": "\ud800"}},
    ],
    ids=str,
)
def test_fields_that_no_hub_would_take_are_refused(fields: dict[str, Any]) -> None:
    """By their name, before anything is sent."""
    (name,) = fields
    with pytest.raises(HubError, match=f"`{name}`") as refusal:
        check_fields(NewPublication(**{"channel": "news", "data": 1, **fields}))
    assert refusal.value.error is BAD_REQUEST


def test_fields_at_their_limits_are_taken() -> None:
    """The longest keys, the greatest version."""
    check_fields(
        NewPublication(
            channel="news",
            data=1,
            tags={"a": ""},
            idempotency_key="x" * 512,
            version=2**63 - 1,
            version_epoch="é" * 512,
        )
    )
