"""Tokens already verified, remembered by their hash for a while, bounded in number.

Holds what a token said, never the token. Knows no claims and no keys: whoever owns the
cache clears it when the keys change.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Generic, NamedTuple, TypeVar

TokenT = TypeVar("TokenT")


def digest_of(token: str) -> bytes:
    """The hash under which a token is remembered."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class _Entry(NamedTuple, Generic[TokenT]):
    token: TokenT
    since_s: float
    until_s: float


class VerifiedTokens(Generic[TokenT]):
    """The most recently used ``max_count`` verified tokens, each for ``ttl_s`` at most."""

    __slots__ = ("_entries", "_max_count", "_ttl_s")

    def __init__(self, max_count: int, ttl_s: float) -> None:
        self._entries: OrderedDict[bytes, _Entry[TokenT]] = OrderedDict()
        self._max_count = max_count if ttl_s > 0 else 0
        self._ttl_s = ttl_s

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, digest: bytes, now_s: float) -> TokenT | None:
        """What the token said, or None when it must be verified (again)."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        # A clock that was set back would otherwise prolong every entry by that step.
        if not entry.since_s <= now_s < entry.until_s:
            del self._entries[digest]
            return None
        self._entries.move_to_end(digest)
        return entry.token

    def put(self, digest: bytes, token: TokenT, now_s: float, valid_until_s: float | None) -> None:
        """Remember a token just verified; ``valid_until_s`` is its own end, None when it has none."""
        if self._max_count == 0:
            return
        until_s = now_s + self._ttl_s
        if valid_until_s is not None:
            until_s = min(until_s, valid_until_s)
        self._entries[digest] = _Entry(token, now_s, until_s)
        self._entries.move_to_end(digest)
        if len(self._entries) > self._max_count:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
