"""What may be published: JSON, and not too deep."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.payloads import MAX_DEPTH, is_json, is_too_deep


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1])
def test_counts_how_deep_json_is_nested(depth: int) -> None:
    """Arrays and objects alike, and no bracket within text."""
    text = b'"' + b"[{" * 1000 + b'"'
    for payload in (b"[" * depth + text + b"]" * depth, b'{"a":' * depth + text + b"}" * depth):
        assert is_too_deep(payload) is (depth > MAX_DEPTH)


@pytest.mark.parametrize("payload", [b"null", b' {"a": [1, "\xc3\xa4"]} ', b'"\\ud83d\\ude00"', b"-1.5e3"])
def test_knows_json(payload: bytes) -> None:
    """Whole documents of any type are JSON."""
    assert is_json(payload)


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"\xff", b'"\xff"', b'"\xed\xa0\x80"', b'"\\ud800"', b"1 2", b"NaN", b'"\n"', b"[" * 10**5],
)
def test_knows_what_is_not_json(payload: bytes) -> None:
    """Anything that would break the document around it is not JSON."""
    assert not is_json(payload)


@given(st.binary())
def test_never_fails_to_say(payload: bytes) -> None:
    """Any bytes get an answer."""
    assert is_json(payload) in (True, False)
