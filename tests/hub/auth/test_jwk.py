"""JWK sets: what is taken out of them and what is left out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.auth.jwk import MAX_KEYS, read_jwk_set
from tests.support.signing import KeyPair, ec_pair, ed_pair, jwk_set, rsa_pair


@pytest.mark.parametrize(
    ("pair", "algorithms"),
    [
        (rsa_pair(), ("RS256", "RS384", "RS512")),
        (ec_pair(256), ("ES256",)),
        (ec_pair(384), ("ES384",)),
        (ec_pair(521), ("ES512",)),
        (ed_pair(), ("EdDSA",)),
    ],
    ids=["rsa", "p256", "p384", "p521", "ed25519"],
)
def test_each_kind_of_public_key_is_read(pair: KeyPair, algorithms: tuple[str, ...]) -> None:
    """Name and algorithms of every kind of key come out."""
    keys, skipped = read_jwk_set(jwk_set(pair.jwk("k", use="sig")))
    assert [(key.kid, key.algorithms) for key in keys] == [("k", algorithms)]
    assert skipped == ()


def test_alg_pins_the_key() -> None:
    """A key that names its algorithm verifies no other."""
    keys, _ = read_jwk_set(jwk_set(rsa_pair().jwk(alg="RS384")))
    assert [key.algorithms for key in keys] == [("RS384",)]


@pytest.mark.parametrize(
    ("jwk", "words"),
    [
        ({"kty": "oct", "k": "c2VjcmV0"}, "shared secret"),
        ({"kty": "XYZ"}, "none of RSA, EC, OKP"),
        ({"kty": ["RSA"]}, "none of RSA, EC, OKP"),
        ({}, "none of RSA, EC, OKP"),
        ("text", "not an object"),
        (rsa_pair().jwk(use="enc"), "not for signatures"),
        (rsa_pair().jwk(key_ops=["encrypt"]), "not for verifying"),
        (rsa_pair().jwk(key_ops=7), "not for verifying"),
        (rsa_pair().jwk(kid=7), "kid is not text"),
        (rsa_pair().jwk(d="AQAB"), "private key"),
        (rsa_pair().jwk(alg="HS256"), "not one for its kind"),
        (rsa_pair().jwk(alg="none"), "not one for its kind"),
        (rsa_pair().jwk(alg=["RS256"]), "not one for its kind"),
        (rsa_pair(bits=1024).jwk(), "at least 2048 bits"),
        (ec_pair().jwk(crv="P-384"), "cannot be read"),
        ({"kty": "RSA", "n": 5, "e": None}, "cannot be read"),
        ({"kty": "OKP", "crv": "Ed25519"}, "cannot be read"),
    ],
)
def test_an_unusable_key_is_left_out_and_told(jwk: Any, words: str) -> None:
    """One strange key does not spoil the set; the others stay usable."""
    keys, skipped = read_jwk_set(jwk_set(jwk, ed_pair().jwk("good")))
    assert [key.kid for key in keys] == ["good"]
    assert len(skipped) == 1
    assert skipped[0].startswith("key 1: ")
    assert words in skipped[0]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"<html>", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "no list of keys"),
        (b"{}", "no list of keys"),
        (b'{"keys":{}}', "no list of keys"),
        (b'{"keys":[]}', "no usable key"),
        (jwk_set({"kty": "oct", "k": "c2VjcmV0"}), "no usable key"),
        (jwk_set(*[{}] * (MAX_KEYS + 1)), "more than 64"),
    ],
)
def test_a_document_without_usable_keys_is_refused(document: bytes, words: str) -> None:
    """An answer that would leave the hub without keys is an error, not an empty set."""
    with pytest.raises(ValueError, match=words):
        read_jwk_set(document)


_text = st.text(alphabet="aZ0-_=é", max_size=12) | st.sampled_from(["P-256", "Ed25519", "AQAB", "sig"])
_scalar = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _text
_json = _scalar | st.lists(_scalar, max_size=3) | st.dictionaries(_text, _scalar, max_size=2)
_members = st.sampled_from(["n", "e", "x", "y", "crv", "kid", "use", "alg", "key_ops", "d", "k"])


@given(
    kty=st.sampled_from(["RSA", "EC", "OKP", "oct"]),
    members=st.dictionaries(_members, _json, max_size=6),
)
def test_no_key_crashes_the_reader(kty: str, members: dict[str, Any]) -> None:
    """Whatever a key says, it is read or left out with a reason."""
    keys, skipped = read_jwk_set(jwk_set({"kty": kty} | members, ed_pair().jwk("good")))
    assert len(keys) + len(skipped) == 2


@given(st.binary(max_size=200))
def test_no_document_crashes_the_reader(document: bytes) -> None:
    """Garbage is a ValueError and nothing else."""
    with pytest.raises(ValueError):
        read_jwk_set(document)
