"""The memory for verified tokens: how long, how many, and what ends it."""

from __future__ import annotations

from hub.auth.cache import VerifiedTokens, digest_of

A, B, C = digest_of("a"), digest_of("b"), digest_of("c")


def test_a_token_is_remembered_for_the_ttl() -> None:
    """Up to the ttl it is there, from then on it is not."""
    cache: VerifiedTokens[str] = VerifiedTokens(10, ttl_s=600)
    cache.put(A, "alice", now_s=1000, valid_until_s=None)
    assert cache.get(A, 1599.9) == "alice"
    assert cache.get(A, 1600) is None
    assert len(cache) == 0


def test_a_token_is_not_remembered_beyond_its_own_end() -> None:
    """Its expiry wins over the ttl."""
    cache: VerifiedTokens[str] = VerifiedTokens(10, ttl_s=600)
    cache.put(A, "alice", now_s=1000, valid_until_s=1010)
    assert cache.get(A, 1009.9) == "alice"
    assert cache.get(A, 1010) is None


def test_a_clock_set_back_ends_what_is_remembered() -> None:
    """A step of the wall clock must not prolong trust."""
    cache: VerifiedTokens[str] = VerifiedTokens(10, ttl_s=600)
    cache.put(A, "alice", now_s=1000, valid_until_s=None)
    assert cache.get(A, 999) is None


def test_the_token_not_used_for_longest_leaves_first() -> None:
    """The number of tokens is bounded and reading one keeps it."""
    cache: VerifiedTokens[str] = VerifiedTokens(2, ttl_s=600)
    cache.put(A, "alice", 1000, None)
    cache.put(B, "bob", 1000, None)
    assert cache.get(A, 1000) == "alice"
    cache.put(C, "carol", 1000, None)
    assert cache.get(B, 1000) is None
    assert cache.get(A, 1000) == "alice"
    assert cache.get(C, 1000) == "carol"


def test_no_room_or_no_time_means_no_memory() -> None:
    """Size 0 and ttl 0 both switch it off."""
    for cache in (VerifiedTokens[str](0, ttl_s=600), VerifiedTokens[str](10, ttl_s=0)):
        cache.put(A, "alice", 1000, None)
        assert len(cache) == 0


def test_clear_forgets_everything() -> None:
    """After a change of keys nothing old is trusted."""
    cache: VerifiedTokens[str] = VerifiedTokens(10, ttl_s=600)
    cache.put(A, "alice", 1000, None)
    cache.clear()
    assert cache.get(A, 1000) is None


def test_a_digest_takes_any_text() -> None:
    """Lone surrogates, which no encoding takes, are no crash."""
    assert digest_of("\ud800") != digest_of("\ud801")
