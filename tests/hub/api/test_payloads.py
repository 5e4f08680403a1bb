"""Payloads: taken as they are, or refused."""

from __future__ import annotations

import pytest
from msgspec import UNSET, Raw

from hub.api.payloads import payload_of
from hub.errors import BAD_REQUEST, HubError
from hub.payloads import MAX_DEPTH


def test_keeps_json_byte_for_byte() -> None:
    """Spaces, order of keys and spelling of numbers are the publisher's."""
    assert payload_of(Raw(b'{"b": 1.0,  "a":1e2}'), None, "data") == b'{"b": 1.0,  "a":1e2}'


def test_tells_absent_from_null() -> None:
    """Null is a payload, nothing is none."""
    assert payload_of(UNSET, None, "data") is None
    assert payload_of(Raw(b"null"), None, "data") == b"null"


def test_base64_wins() -> None:
    """Clients that must fill the plain field can still send bytes."""
    assert payload_of(Raw(b'""'), "AP8=", "data") == b"\x00\xff"


def test_empty_base64_is_absent() -> None:
    """A client that writes empty fields means the plain one."""
    assert payload_of(Raw(b"1"), "", "data") == b"1"


@pytest.mark.parametrize("text", ["AP8", "A P8=", "%%%%", "AP_-", "ä", "===="])
def test_refuses_what_is_not_base64(text: str) -> None:
    """Half a payload is never published, and the refusal names the field."""
    with pytest.raises(HubError, match="`b64info`") as refusal:
        payload_of(UNSET, text, "info")
    assert refusal.value.error is BAD_REQUEST


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b"[" + b"[]," * 1000 + b"1]",
        b'"' + b"[{" * 1000 + b'"',
        b'"\\"' + b"[{" * 1000 + b'"',
        b'["\\\\"' + b",[]" * 1000 + b"]",
    ],
)
def test_takes_json_of_bearable_depth(payload: bytes) -> None:
    """Depth is what counts, not how many brackets there are, and not those within text."""
    assert payload_of(Raw(payload), None, "data") == payload


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
        b'["\\\\",' * (MAX_DEPTH + 1) + b"1" + b"]" * (MAX_DEPTH + 1),
    ],
)
def test_refuses_json_too_deep(payload: bytes) -> None:
    """What a phone's parser may choke on is not published."""
    with pytest.raises(HubError, match="deeper"):
        payload_of(Raw(payload), None, "data")
