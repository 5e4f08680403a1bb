"""Which pages may connect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.transport.origins import OriginPolicy


@pytest.mark.parametrize("patterns", [(), ("*",), ("https://app.example.com",)])
def test_no_origin_is_always_allowed(patterns: tuple[str, ...]) -> None:
    """Phones and servers send none."""
    assert OriginPolicy(patterns).allows(None, "hub.example.com")


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("https://hub.example.com", "hub.example.com", True),
        ("https://HUB.example.com", "hub.EXAMPLE.com", True),
        ("https://hub.example.com", "hub.example.com:443", True),
        ("https://hub.example.com:443", "hub.example.com", True),
        ("http://localhost:8000", "localhost:8000", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://localhost:3000", "localhost:8000", False),
        ("https://evil.example.com", "hub.example.com", False),
        ("https://hub.example.com.evil.org", "hub.example.com", False),
        ("null", "hub.example.com", False),
        ("https://hub.example.com/path", "hub.example.com", False),
        ("https://user@hub.example.com", "hub.example.com", False),
        ("https://hub.example.com:port", "hub.example.com", False),
        ("garbage", "hub.example.com", False),
        ("", "", False),
        ("https://hub.example.com", None, False),
    ],
)
def test_without_a_list_only_our_own_host(origin: str, host: str | None, allowed: bool) -> None:
    """The Host header of the same request says which that is."""
    assert OriginPolicy().allows(origin, host) is allowed


@pytest.mark.parametrize(
    ("pattern", "origin", "allowed"),
    [
        ("*", "https://anything.example", True),
        ("*", "null", True),
        ("https://app.example.com", "https://app.example.com", True),
        ("https://app.example.com", "https://APP.example.com", True),
        ("https://app.example.com", "https://app.example.com:443", True),
        ("https://app.example.com", "http://app.example.com", False),
        ("https://app.example.com", "https://app.example.com:8443", False),
        ("https://app.example.com:8443", "https://app.example.com:8443", True),
        ("https://*.example.com", "https://a.example.com", True),
        ("https://*.example.com", "https://a.b.example.com", True),
        ("https://*.example.com", "https://example.com", False),
        ("https://*.example.com", "https://.example.com", False),
        ("https://*.example.com", "https://evil.org#.example.com", False),
        ("https://*.example.com", "https://a.example.com.evil.org", False),
        ("https://*.example.com", "https://aXexample.com", False),
        ("http://localhost:*", "http://localhost:3000", True),
        ("http://localhost:*", "http://localhost", True),
        ("app.example.com", "https://app.example.com", True),
        ("app.example.com", "http://app.example.com", True),
        ("app.example.com", "http://app.example.com:8080", False),
        ("app.example.com:8080", "http://app.example.com:8080", True),
        ("capacitor://localhost", "capacitor://localhost", True),
        ("null", "null", True),
        ("null", "https://null", False),
        ("http://[::1]:3000", "http://[::1]:3000", True),
    ],
)
def test_patterns(pattern: str, origin: str, allowed: bool) -> None:
    """Exact, with a wildcard host or port, with or without a scheme."""
    assert OriginPolicy([pattern]).allows(origin, "hub.example.com") is allowed


def test_with_a_list_our_own_host_must_be_on_it() -> None:
    """The list says all."""
    assert not OriginPolicy(["https://app.example.com"]).allows("https://hub.example.com", "hub.example.com")


def test_every_wrong_pattern_is_named() -> None:
    """A path is the usual mistake."""
    with pytest.raises(ValueError, match=r"https://a\.example/, b c"):
        OriginPolicy(["https://a.example/", "https://ok.example", "b c"])


@given(st.text(), st.one_of(st.none(), st.text()))
def test_never_raises(origin: str, host: str | None) -> None:
    """Whatever the headers hold."""
    assert OriginPolicy(["https://*.example.com"]).allows(origin, host) is False
    assert OriginPolicy().allows(origin, host) in (True, False)
