"""Keys of the server API: who they are and what they open."""

from __future__ import annotations

from hashlib import sha256

import pytest

from hub.api.keys import ANYBODY, ApiKey, KeyRing
from hub.errors import PERMISSION_DENIED, HubError


def test_finds_the_caller_by_key() -> None:
    """A key opens as its own caller, whether it was given in clear or as a digest."""
    clear = ApiKey.of_secret("clear", "first", ["read"])
    hashed = ApiKey.of_digest("hashed", sha256(b"second").hexdigest().upper(), ["read"])
    ring = KeyRing([clear, hashed])
    assert ring.find(b"first") is clear
    assert ring.find(b"second") is hashed


@pytest.mark.parametrize(
    "presented", [b"", b"firs", b"first ", b"FIRST", b"\xff\x00", sha256(b"first").digest()]
)
def test_finds_nobody_for_anything_else(presented: bytes) -> None:
    """Nothing but the key itself opens, its digest neither."""
    assert KeyRing([ApiKey.of_secret("clear", "first", ["read"])]).find(presented) is None


def test_shows_neither_key_nor_digest() -> None:
    """A caller can be logged."""
    key = ApiKey.of_secret("clear", "first", ["read"])
    assert "first" not in repr(key)
    assert "digest" not in repr(key)


def test_refuses_an_empty_key() -> None:
    """An empty setting must not open the API to everybody."""
    with pytest.raises(ValueError, match="is empty"):
        ApiKey.of_secret("backend", "", ["read"])


@pytest.mark.parametrize("digest", ["", "abcd", "zz" * 32, "ab" * 33])
def test_refuses_what_is_no_sha256(digest: str) -> None:
    """A digest cut short would never match, and nobody would know why."""
    with pytest.raises(ValueError):
        ApiKey.of_digest("backend", digest, ["read"])


def test_refuses_an_unknown_scope() -> None:
    """A misspelt scope is found at start, not by the first refused call."""
    with pytest.raises(ValueError, match="pubish"):
        ApiKey.of_secret("backend", "k", ["pubish"])  # type: ignore[list-item]


def test_refuses_the_same_key_twice() -> None:
    """Two callers with one key could not be told apart."""
    with pytest.raises(ValueError, match="the same key"):
        KeyRing([ApiKey.of_secret("a", "k", ["read"]), ApiKey.of_secret("b", "k", ["publish"])])


def test_requires_the_scope() -> None:
    """A caller does only what its scopes say, and the refusal names the one that is missing."""
    key = ApiKey.of_secret("backend", "k", ["read"])
    key.require_scope("read")
    with pytest.raises(HubError, match="'publish'") as refusal:
        key.require_scope("publish")
    assert refusal.value.error is PERMISSION_DENIED


def test_admin_includes_every_scope() -> None:
    """Whoever holds admin needs no other scope."""
    ApiKey.of_secret("backend", "k", ["admin"]).require_scope("devices")
    ANYBODY.require_scope("publish")


@pytest.mark.parametrize(
    ("patterns", "channel", "seen"),
    [
        ([], "anything", True),
        (["chat:*"], "chat:lobby", True),
        (["chat:*"], "chat:", True),
        (["chat:*"], "chats:lobby", False),
        (["chat:*"], "xchat:lobby", False),
        (["chat:*"], "chat:a\nb", True),
        (["chat:lobby"], "chat:lobby", True),
        (["chat:lobby"], "chat:lobby2", False),
        (["chat.*"], "chatx1", False),
        (["news", "chat:*"], "news", True),
        (["[a-z]"], "b", False),
        (["*"], "b", True),
    ],
)
def test_is_confined_to_its_channels(patterns: list[str], channel: str, seen: bool) -> None:
    """Only the star has a meaning in a pattern; everything else is itself."""
    assert ApiKey.of_secret("backend", "k", ["read"], patterns).sees(channel) is seen


def test_refuses_other_channels() -> None:
    """A confined caller is refused with 103."""
    with pytest.raises(HubError) as refusal:
        ApiKey.of_secret("backend", "k", ["read"], ["chat:*"]).require_channel("news")
    assert refusal.value.error is PERMISSION_DENIED
