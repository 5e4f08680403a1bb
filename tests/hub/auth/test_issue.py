"""Issuing: what the command line makes, the verifier takes."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from hub.auth.issue import TokenSigner, issue_connection_token, issue_subscription_token
from hub.auth.jws import read_unverified
from tests.support.signing import SECRET, KeyPair, ec_pair, ed_pair, rsa_pair

SIGNER = TokenSigner.from_secret(SECRET)


def test_only_what_is_given_becomes_a_claim() -> None:
    """A token without anything is an empty object."""
    assert read_unverified(issue_connection_token(SIGNER, ""))[1] == {}
    assert read_unverified(issue_subscription_token(SIGNER, "", "news"))[1] == {"channel": "news"}


def test_a_full_connection_token() -> None:
    """Every argument finds its claim; extra claims win."""
    token = issue_connection_token(
        SIGNER,
        "42",
        exp_s=2000,
        expire_at_s=0,
        info={"n": 1},
        channels=("a",),
        subs={"b": {"data": 1}},
        meta={"m": 1},
        user_claim="user_id",
        extra_claims={"jti": "x", "exp": 3000},
    )
    assert read_unverified(token)[1] == {
        "user_id": "42",
        "exp": 3000,
        "expire_at": 0,
        "info": {"n": 1},
        "channels": ["a"],
        "subs": {"b": {"data": 1}},
        "meta": {"m": 1},
        "jti": "x",
    }


def test_a_full_subscription_token() -> None:
    """Overrides are given as plain booleans."""
    token = issue_subscription_token(
        SIGNER, "42", "news", exp_s=2000, expire_at_s=0, client="c", info=1, override={"presence": True}
    )
    assert read_unverified(token)[1] == {
        "sub": "42",
        "channel": "news",
        "client": "c",
        "exp": 2000,
        "expire_at": 0,
        "info": 1,
        "override": {"presence": {"value": True}},
    }


@pytest.mark.parametrize(
    ("pair", "algorithm", "expected"),
    [
        (rsa_pair(), "", "RS256"),
        (rsa_pair(), "RS512", "RS512"),
        (ec_pair(256), "", "ES256"),
        (ec_pair(384), "", "ES384"),
        (ec_pair(521), "", "ES512"),
        (ed_pair(), "", "EdDSA"),
    ],
)
def test_a_private_key_signs_with_an_algorithm_of_its_kind(
    pair: KeyPair, algorithm: str, expected: str
) -> None:
    """The first of its kind unless one is named; the kid goes into the header."""
    header, _ = read_unverified(pair.signer(algorithm, "k").sign({}))
    assert header == {"alg": expected, "kid": "k", "typ": "JWT"}


def test_a_signer_never_prints_its_key() -> None:
    """Neither secret nor private key."""
    assert SECRET not in repr(SIGNER)
    assert "material" not in repr(ed_pair().signer())


def test_a_wrong_algorithm_is_refused() -> None:
    """A signer cannot be made to disagree with its key."""
    with pytest.raises(ValueError, match="HS256, HS384, HS512 only"):
        TokenSigner.from_secret(SECRET, algorithm="RS256")
    with pytest.raises(ValueError, match="ES256 only"):
        ec_pair().signer("ES384")


def test_what_cannot_sign_is_refused() -> None:
    """No secret, a public key, an encrypted key, a kind not taken."""
    with pytest.raises(ValueError, match="empty"):
        TokenSigner.from_secret("")
    with pytest.raises(ValueError, match="private key"):
        TokenSigner.from_private_pem(rsa_pair().public_pem)
    encrypted = rsa_pair().private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass")
    )
    with pytest.raises(ValueError, match="unencrypted"):
        TokenSigner.from_private_pem(encrypted)
    foreign = ed448.Ed448PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    with pytest.raises(ValueError, match="neither RSA"):
        TokenSigner.from_private_pem(foreign)
