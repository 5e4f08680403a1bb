"""Who the client is, behind proxies that are trusted and those that are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.transport.peer import UNIX, Peer, TrustedProxies, parse_address

PRIVATE = TrustedProxies(["10.0.0.0/8", "2001:db8::/32"])
PROXY = PRIVATE.peer("10.0.0.1", 5000)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7 ", "192.0.2.7"),
        ("192.0.2.7:1234", "192.0.2.7"),
        ("2001:DB8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:1234", "2001:db8::7"),
        ('"[2001:db8::7]:1234"', "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("unknown", None),
        ("", None),
        ("192.0.2", None),
        ("192.0.2.7:port", None),
        ("_hidden", None),
        ("unix:", None),
    ],
)
def test_addresses_in_all_their_spellings(text: str, address: str | None) -> None:
    """One peer has one name."""
    assert parse_address(text) == address


def test_an_untrusted_peer_is_the_client_whatever_it_claims() -> None:
    """Anybody can send the header."""
    peer = PRIVATE.peer("192.0.2.7", 1)
    assert not peer.trusted
    assert PRIVATE.client_of(peer, ["198.51.100.9"]) == "192.0.2.7"


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        ([], "10.0.0.1"),
        ([""], "10.0.0.1"),
        (["192.0.2.7"], "192.0.2.7"),
        (["203.0.113.5, 192.0.2.7"], "192.0.2.7"),
        (["203.0.113.5, 192.0.2.7, 10.0.0.2"], "192.0.2.7"),
        (["203.0.113.5", "192.0.2.7", "2001:db8::2"], "192.0.2.7"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (["192.0.2.7, garbage"], "10.0.0.1"),
        (["192.0.2.7, garbage, 10.0.0.2"], "10.0.0.2"),
        (["192.0.2.7:99"], "192.0.2.7"),
    ],
)
def test_the_walk_goes_right_to_left_past_our_own_proxies(forwarded_for: list[str], client: str) -> None:
    """And stops at the first stranger, or at what is no address."""
    assert PRIVATE.client_of(PROXY, forwarded_for) == client


def test_peers_of_sockets() -> None:
    """TCP over both families, and Unix sockets, which only ``unix`` trusts."""
    assert PRIVATE.peer_of(("10.0.0.1", 5000)) == PROXY
    assert PRIVATE.peer_of(("::ffff:10.0.0.1", 5000, 0, 0)) == PROXY
    assert PRIVATE.peer_of("") == Peer(UNIX, 0, trusted=False)
    assert PRIVATE.peer_of(None) == Peer(UNIX, 0, trusted=False)
    assert TrustedProxies(["unix"]).peer_of("") == Peer(UNIX, 0, trusted=True)


def test_a_unix_peer_that_is_trusted_tells_the_client() -> None:
    """A proxy on the same machine."""
    local = TrustedProxies([UNIX])
    assert local.client_of(local.peer_of(""), ["192.0.2.7"]) == "192.0.2.7"


def test_every_wrong_network_is_named() -> None:
    """All mistakes at once."""
    with pytest.raises(ValueError, match=r"banana, 10\.0\.0\.0/99"):
        TrustedProxies(["10.0.0.0/8", "banana", "10.0.0.0/99"])


@given(st.lists(st.text(max_size=40), max_size=5))
def test_never_raises_on_any_header(forwarded_for: list[str]) -> None:
    """And always names an address."""
    assert parse_address(PRIVATE.client_of(PROXY, forwarded_for)) is not None
