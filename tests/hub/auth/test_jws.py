"""Signatures: each algorithm accepts its own and refuses what was touched or disguised."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.auth.issue import TokenSigner
from hub.auth.jws import (
    MAX_TOKEN_BYTES,
    TokenHeader,
    read_claims,
    read_header,
    read_signed,
    read_unverified,
)
from hub.auth.keys import VerificationKey, key_from_secret
from hub.auth.tokens import InvalidToken
from tests.support.signing import SECRET, ec_pair, ed_pair, rsa_pair

CLAIMS = {"sub": "42"}
PAIRS = [
    *[
        (TokenSigner.from_secret(SECRET, algorithm=name), key_from_secret(SECRET))
        for name in ("HS256", "HS384", "HS512")
    ],
    *[(rsa_pair().signer(name), rsa_pair().key()) for name in ("RS256", "RS384", "RS512")],
    *[(ec_pair(bits).signer(), ec_pair(bits).key()) for bits in (256, 384, 521)],
    (ed_pair().signer(), ed_pair().key()),
]
EVERY_ALGORITHM = pytest.mark.parametrize(("signer", "key"), PAIRS, ids=[pair[0].algorithm for pair in PAIRS])


def encode(part: Any) -> str:
    text = part if isinstance(part, bytes) else orjson.dumps(part)
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def forge_hs256(header: dict[str, Any], secret: bytes) -> str:
    """A token with any header, signed by HMAC over ``secret``."""
    signed = f"{encode(header)}.{encode(CLAIMS)}"
    return f"{signed}.{encode(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


@EVERY_ALGORITHM
def test_a_signed_token_is_read(signer: TokenSigner, key: VerificationKey) -> None:
    """The payload comes out byte for byte."""
    assert read_signed(signer.sign(CLAIMS), key) == b'{"sub":"42"}'


@EVERY_ALGORITHM
def test_other_claims_under_the_same_signature_are_refused(signer: TokenSigner, key: VerificationKey) -> None:
    """The signature covers the claims."""
    header, _, signature = signer.sign(CLAIMS).split(".")
    assert read_signed(f"{header}.{encode({'sub': '43'})}.{signature}", key) is None


@EVERY_ALGORITHM
def test_another_header_under_the_same_signature_is_refused(
    signer: TokenSigner, key: VerificationKey
) -> None:
    """The signature covers the header."""
    _, claims, signature = signer.sign(CLAIMS).split(".")
    header = encode({"alg": signer.algorithm, "typ": "JWT", "x": 1})
    assert read_signed(f"{header}.{claims}.{signature}", key) is None


@EVERY_ALGORITHM
def test_a_touched_signature_is_refused(signer: TokenSigner, key: VerificationKey) -> None:
    """One bit is enough."""
    signed, _, signature = signer.sign(CLAIMS).rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
    raw[0] ^= 1
    assert read_signed(f"{signed}.{encode(bytes(raw))}", key) is None


@EVERY_ALGORITHM
@pytest.mark.parametrize("signature", ["", "AA", "AAAA" * 40])
def test_a_signature_of_another_length_is_refused(
    signer: TokenSigner, key: VerificationKey, signature: str
) -> None:
    """An empty signature in particular."""
    signed, _, _ = signer.sign(CLAIMS).rpartition(".")
    assert read_signed(f"{signed}.{signature}", key) is None


@pytest.mark.parametrize(
    ("signer", "key"),
    [
        (rsa_pair(1).signer(), rsa_pair(2).key()),
        (ec_pair(256, 1).signer(), ec_pair(256, 2).key()),
        (ed_pair(1).signer(), ed_pair(2).key()),
        (TokenSigner.from_secret(SECRET + "x"), key_from_secret(SECRET)),
    ],
    ids=["rsa", "ec", "ed", "hmac"],
)
def test_another_key_of_the_kind_is_refused(signer: TokenSigner, key: VerificationKey) -> None:
    """The right algorithm is not enough."""
    assert read_signed(signer.sign(CLAIMS), key) is None


@pytest.mark.parametrize(
    "public", [rsa_pair().public_pem, rsa_pair().public_pem.strip(), rsa_pair().certificate_pem]
)
def test_a_public_key_used_as_hmac_secret_opens_nothing(public: str) -> None:
    """The classic confusion: HS256 signed with the text of the public key."""
    token = forge_hs256({"alg": "HS256", "typ": "JWT"}, public.encode())
    with pytest.raises(InvalidToken):
        read_signed(token, rsa_pair().key())


@EVERY_ALGORITHM
@pytest.mark.parametrize("name", ["none", "None", "NONE", ""])
def test_none_is_refused(signer: TokenSigner, key: VerificationKey, name: str) -> None:
    """In every spelling, with and without a signature, by header and by key."""
    for signature in ("", signer.sign(CLAIMS).rpartition(".")[2]):
        token = f"{encode({'alg': name})}.{encode(CLAIMS)}.{signature}"
        with pytest.raises(InvalidToken, match="no supported algorithm"):
            read_header(token)
        with pytest.raises(InvalidToken):
            read_signed(token, key)


def test_a_key_verifies_its_pinned_algorithms_only() -> None:
    """A good RS512 signature is refused by a key pinned to RS256."""
    with pytest.raises(InvalidToken):
        read_signed(rsa_pair().signer("RS512").sign(CLAIMS), rsa_pair().key(algorithms=("RS256",)))


def test_the_short_secret_of_development_warns_nobody() -> None:
    """A warning for each token would drown the log, and here it would be an error."""
    key = key_from_secret("secret", allow_short_secret=True)
    # The vector is the sample of the client protocol, section 20.
    token = (
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI0MiJ9.79CVgMIG_JB921dVUeJDWNJubJojFodH3-XtC_1C408"
    )
    assert read_signed(token, key) == b'{"sub":"42"}'
    assert TokenSigner.from_secret("secret").sign(CLAIMS) == token


def test_the_header_tells_algorithm_and_kid() -> None:
    """A missing kid is the empty one."""
    assert read_header(rsa_pair().signer(kid="k").sign(CLAIMS)) == TokenHeader("RS256", "k")
    assert read_header(ed_pair().signer().sign(CLAIMS)) == TokenHeader("EdDSA", "")


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("", "three base64url parts"),
        ("a.b", "three base64url parts"),
        ("a.b.c.d", "three base64url parts"),
        ("é.b.c", "three base64url parts"),
        ("\ud800.b.c", "three base64url parts"),
        ("a.b.c", "not base64url JSON"),
        (f"{encode(b'no json')}.b.c", "not base64url JSON"),
        (f"{encode([1])}.b.c", "not a JSON object"),
        (f"{encode({})}.b.c", "no supported algorithm"),
        (f"{encode({'alg': 5})}.b.c", "no supported algorithm"),
        (f"{encode({'alg': ['HS256']})}.b.c", "no supported algorithm"),
        (f"{encode({'alg': 'PS256'})}.b.c", "no supported algorithm"),
        (f"{encode({'alg': 'ES256K'})}.b.c", "no supported algorithm"),
        (f"{encode({'alg': 'HS256', 'kid': 5})}.b.c", "kid of the header"),
        (f"{encode({'alg': 'HS256', 'crit': ['b64'], 'b64': False})}.b.c", "demands an extension"),
        (f"{encode({'alg': 'HS256', 'crit': []})}.b.c", "demands an extension"),
        ("a" * (MAX_TOKEN_BYTES + 1), "longer than 16384 bytes"),
    ],
)
def test_an_unreadable_header_is_refused(token: str, words: str) -> None:
    """Each with a reason that does not quote the token."""
    with pytest.raises(InvalidToken, match=words) as caught:
        read_header(token)
    assert caught.value.__cause__ is None


def test_parts_with_their_padding_are_read() -> None:
    """Some issuers leave it on; the signature is over what they wrote."""
    parts = (b'{"alg":"HS256"}', b'{"sub":"7"}')
    signed = ".".join(base64.urlsafe_b64encode(part).decode() for part in parts)
    signature = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()
    for last in (base64.urlsafe_b64encode(signature).decode(), encode(signature)):
        assert read_signed(f"{signed}.{last}", key_from_secret(SECRET)) == b'{"sub":"7"}'


@pytest.mark.parametrize(
    "claims", ["eyJ+", "eyJ/", "eyI!", "eyI ", "e", "eyI==", "eyI=A", "ey=J", "eyJ9e", "eyJ9fR", "eyJ9\n"]
)
def test_a_part_in_no_canonical_form_is_refused(claims: str) -> None:
    """However well it was signed: one text of claims has one token."""
    signed = f"{encode({'alg': 'HS256'})}.{claims}"
    signature = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()
    with pytest.raises(InvalidToken, match="payload is not base64url"):
        read_signed(f"{signed}.{encode(signature)}", key_from_secret(SECRET))
    with pytest.raises(InvalidToken):
        read_header(f"{claims}.e30.e30")


def test_a_detached_payload_is_refused() -> None:
    """``b64`` false without ``crit`` is no way around either."""
    token = forge_hs256({"alg": "HS256", "b64": False}, SECRET.encode())
    with pytest.raises(InvalidToken):
        read_signed(token, key_from_secret(SECRET))


@pytest.mark.parametrize("payload", [b"", b"x", b"[]", b"5", b"\xff", b'{"a":NaN}', b"[" * 2000])
def test_claims_are_a_json_object(payload: bytes) -> None:
    """Anything else is an invalid token, however well it was signed."""
    with pytest.raises(InvalidToken):
        read_claims(payload)


def test_a_token_can_be_shown_without_a_key() -> None:
    """Header and claims, for people; the signature is not part of it."""
    token = TokenSigner.from_secret(SECRET, kid="k").sign(CLAIMS)
    assert read_unverified(token) == ({"alg": "HS256", "kid": "k", "typ": "JWT"}, CLAIMS)
    with pytest.raises(InvalidToken):
        read_unverified("a" * (MAX_TOKEN_BYTES + 1))
    with pytest.raises(InvalidToken):
        read_unverified("a.b")


@given(st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9_=.-]{0,80}", fullmatch=True))
def test_no_text_crashes_the_readers(token: str) -> None:
    """Arbitrary text is an invalid token and nothing else."""
    key = key_from_secret(SECRET)
    for read in (read_header, read_unverified, lambda text: read_signed(text, key)):
        with pytest.raises(InvalidToken):
            read(token)
