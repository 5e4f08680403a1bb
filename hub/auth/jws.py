"""The signed envelope of a token: its header, and whether a key signed it (RFC 7515, compact form).

Decides nothing about claims. Verification is PyJWT's; this module gives it one key and
only the algorithms pinned to that key.
"""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

import jwt
import orjson
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidSignatureError, PyJWTError

from hub.auth.keys import ALGORITHMS, VerificationKey
from hub.auth.tokens import InvalidToken

MAX_TOKEN_BYTES = 16 * 1024
"""Longer tokens are refused unread: nobody makes the hub hash and parse megabytes."""


class TokenHeader(NamedTuple):
    """What the header, not yet trusted, says about the key. ``kid`` is empty when absent."""

    algorithm: str
    kid: str


class _CheckedHMAC(HMACAlgorithm):
    """HMAC over a secret that was examined when the key was made.

    PyJWT examines the secret's form and length again for every token, which costs more
    than the signature itself and warns about short secrets that development allows.
    """

    def prepare_key(self, key: str | bytes) -> bytes:
        if not isinstance(key, bytes):
            raise TypeError("HMAC takes the bytes of a shared secret")
        return key

    def check_key_length(self, key: bytes) -> str | None:
        return None


def _make_jws() -> jwt.PyJWS:
    # Starts from nothing, so that ``none`` is not even registered.
    jws = jwt.PyJWS(algorithms=[])
    jws.register_algorithm("HS256", _CheckedHMAC(HMACAlgorithm.SHA256))
    jws.register_algorithm("HS384", _CheckedHMAC(HMACAlgorithm.SHA384))
    jws.register_algorithm("HS512", _CheckedHMAC(HMACAlgorithm.SHA512))
    for bits, rsa_hash, ec_hash in (
        ("256", RSAAlgorithm.SHA256, ECAlgorithm.SHA256),
        ("384", RSAAlgorithm.SHA384, ECAlgorithm.SHA384),
        ("512", RSAAlgorithm.SHA512, ECAlgorithm.SHA512),
    ):
        jws.register_algorithm(f"RS{bits}", RSAAlgorithm(rsa_hash))
        jws.register_algorithm(f"ES{bits}", ECAlgorithm(ec_hash))
    jws.register_algorithm("EdDSA", OKPAlgorithm())
    return jws


_JWS = _make_jws()


def read_header(token: str) -> TokenHeader:
    """The header of a token, without trusting it.

    Raises:
        InvalidToken: when it is too long, not in compact form, names no algorithm of ours,
            or demands an extension (``crit``): the hub knows none.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidToken(f"longer than {MAX_TOKEN_BYTES} bytes")
    if not token.isascii() or token.count(".") != 2:
        raise InvalidToken("not three base64url parts")
    header = _read_object(token.partition(".")[0], "header")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InvalidToken("the header names no supported algorithm")
    kid = header.get("kid", "")
    if not isinstance(kid, str):
        raise InvalidToken("the kid of the header is not text")
    if "crit" in header:
        raise InvalidToken("the header demands an extension")
    return TokenHeader(algorithm, kid)


def read_signed(token: str, key: VerificationKey) -> bytes | None:
    """The payload, if ``key`` signed it; None when the signature is another's.

    Raises:
        InvalidToken: when the token is not in compact form.
    """
    try:
        complete = _JWS.decode_complete(token, key.material, algorithms=list(key.algorithms))
    except InvalidSignatureError:
        return None
    except (PyJWTError, ValueError, TypeError):
        # PyJWT's own text may quote the header; ours quotes nothing.
        raise InvalidToken("not a readable signed token") from None
    payload = complete["payload"]
    if not isinstance(payload, bytes):
        raise InvalidToken("the payload is not readable")
    return payload


def sign(claims: bytes, key: object, algorithm: str, kid: str = "") -> str:
    """A token over the JSON text ``claims``; ``key`` is a secret or private key of that algorithm."""
    headers = {"kid": kid} if kid else None
    return _JWS.encode(claims, key, algorithm=algorithm, headers=headers)  # type: ignore[arg-type]


def read_unverified(token: str) -> tuple[dict[str, object], dict[str, object]]:
    """Header and claims for showing them to a person. Nothing of it may be trusted.

    Raises:
        InvalidToken: when there is nothing readable to show.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidToken(f"longer than {MAX_TOKEN_BYTES} bytes")
    if not token.isascii() or token.count(".") != 2:
        raise InvalidToken("not three base64url parts")
    header, payload, _ = token.split(".")
    return _read_object(header, "header"), _read_object(payload, "payload")


def read_claims(payload: bytes) -> dict[str, object]:
    """The claims of a payload.

    Raises:
        InvalidToken: when it is not a JSON object.
    """
    try:
        claims = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise InvalidToken("the payload is not JSON") from None
    if not isinstance(claims, dict):
        raise InvalidToken("the payload is not a JSON object")
    return claims


def _read_object(segment: str, name: str) -> dict[str, object]:
    try:
        value = orjson.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (binascii.Error, orjson.JSONDecodeError):
        raise InvalidToken(f"the {name} is not base64url JSON") from None
    if not isinstance(value, dict):
        raise InvalidToken(f"the {name} is not a JSON object")
    return value
