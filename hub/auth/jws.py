"""The signed envelope of a token: its header, and whether a key signed it (RFC 7515, compact form).

Decides nothing about claims. Signatures are PyJWT's; this module takes the envelope apart and
gives PyJWT one key, with the one algorithm that the header names and that key is pinned to.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jwt
import orjson
from jwt.algorithms import Algorithm, ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from hub.auth.keys import ALGORITHMS, VerificationKey
from hub.auth.tokens import InvalidToken

MAX_TOKEN_BYTES = 16 * 1024
"""Longer tokens are refused unread: nobody makes the hub hash and parse megabytes."""


class TokenHeader(NamedTuple):
    """What the header, not yet trusted, says about the key. ``kid`` is empty when absent."""

    algorithm: str
    kid: str


class Found(NamedTuple):
    """The payload, if one of the keys signed it, and how many signatures it took to know."""

    payload: bytes | None
    check_count: int


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

    def sign(self, msg: bytes, key: bytes) -> bytes:
        return hmac.digest(key, msg, self.hash_alg)  # in one step, where the stock method takes four


def _make_algorithms() -> dict[str, Algorithm]:
    # ``none`` is not among them.
    algorithms: dict[str, Algorithm] = {
        "HS256": _CheckedHMAC(HMACAlgorithm.SHA256),
        "HS384": _CheckedHMAC(HMACAlgorithm.SHA384),
        "HS512": _CheckedHMAC(HMACAlgorithm.SHA512),
        "EdDSA": OKPAlgorithm(),
    }
    for bits, rsa_hash, ec_hash in (
        ("256", RSAAlgorithm.SHA256, ECAlgorithm.SHA256),
        ("384", RSAAlgorithm.SHA384, ECAlgorithm.SHA384),
        ("512", RSAAlgorithm.SHA512, ECAlgorithm.SHA512),
    ):
        algorithms[f"RS{bits}"] = RSAAlgorithm(rsa_hash)
        algorithms[f"ES{bits}"] = ECAlgorithm(ec_hash)
    return algorithms


def _make_jws(algorithms: dict[str, Algorithm]) -> jwt.PyJWS:
    jws = jwt.PyJWS(algorithms=[])
    for name, algorithm in algorithms.items():
        jws.register_algorithm(name, algorithm)
    return jws


_ALGORITHMS = _make_algorithms()
_JWS = _make_jws(_ALGORITHMS)

_TO_STANDARD = bytes.maketrans(b"-_+/", b"+/!!")
"""From the alphabet of URLs to that of ``binascii``, whose own two characters become strangers."""

_REMEMBERED_HEADERS = 64
"""Issuers sign all their tokens under a handful of headers."""


def read_header(token: str) -> TokenHeader:
    """The header of a token, without trusting it.

    Raises:
        InvalidToken: when it is too long, not in compact form, names no algorithm of ours,
            or demands an extension (``crit``, ``b64``): the hub knows none.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidToken(f"longer than {MAX_TOKEN_BYTES} bytes")
    if not token.isascii() or token.count(".") != 2:
        raise InvalidToken("not three base64url parts")
    return _header_of(token.partition(".")[0])


@lru_cache(_REMEMBERED_HEADERS)
def _header_of(segment: str) -> TokenHeader:
    header = _read_object(segment, "header")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InvalidToken("the header names no supported algorithm")
    kid = header.get("kid", "")
    if not isinstance(kid, str):
        raise InvalidToken("the kid of the header is not text")
    # RFC 7797, 6: ``b64`` false without ``crit`` is no way around either.
    if "crit" in header or header.get("b64") is False:
        raise InvalidToken("the header demands an extension")
    _decoded(segment.encode("ascii"), "header")
    return TokenHeader(algorithm, kid)


def read_signed(token: str, key: VerificationKey) -> bytes | None:
    """The payload, if ``key`` signed it; None when the signature is another's.

    Raises:
        InvalidToken: when the token is not in compact form, or signed by an algorithm that the
            key is not for.
    """
    header = read_header(token)
    if header.algorithm not in key.algorithms:
        raise InvalidToken("the key is not for the algorithm of the header")
    signed, _, last = token.encode("ascii").rpartition(b".")
    payload = _decoded(signed.partition(b".")[2], "payload")
    signature = _decoded(last, "signature")
    algorithm: Any = _ALGORITHMS[header.algorithm]
    try:
        is_signed = algorithm.verify(signed, algorithm.prepare_key(key.material), signature)
    except (PyJWTError, ValueError, TypeError):
        raise InvalidToken("not a readable signed token") from None
    return payload if is_signed else None


def find_signed(token: str, keys: Sequence[VerificationKey]) -> Found:
    """Look for the key that signed ``token``. Safe to be called in any thread.

    Raises:
        InvalidToken: when the token is not in compact form.
    """
    for count, key in enumerate(keys, start=1):
        payload = read_signed(token, key)
        if payload is not None:
            return Found(payload, count)
    return Found(None, len(keys))


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


def _decoded(segment: bytes, name: str) -> bytes:
    """The bytes of a base64url part in its one canonical form, with or without padding.

    ``binascii`` passes over characters that it does not know, and bits that should not be there:
    encoding anew what it found is the cheapest way to see that it found everything.
    """
    standard = segment.translate(_TO_STANDARD)
    try:
        decoded = binascii.a2b_base64(standard + b"==")
    except binascii.Error:
        decoded = b""
    canonical = binascii.b2a_base64(decoded, newline=False)
    if standard != canonical and standard != canonical.rstrip(b"="):
        raise InvalidToken(f"the {name} is not base64url")
    return decoded
