"""Keys out of a JWK set document (RFC 7517).

Takes what it can use and says what it left out; never quotes the document. Does not care
how the document got here.
"""

from __future__ import annotations

from typing import NamedTuple

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from hub.auth.keys import KeySet, VerificationKey, algorithms_for, key_from_public

MAX_KEYS = 64
"""A token without ``kid`` may have to be tried with every key; more than this is no honest set."""

_LOADERS = {"RSA": RSAAlgorithm.from_jwk, "EC": ECAlgorithm.from_jwk, "OKP": OKPAlgorithm.from_jwk}


class ReadKeySet(NamedTuple):
    """The usable keys, and for each other one a line that says which and why."""

    keys: KeySet
    skipped: tuple[str, ...]


def read_jwk_set(document: bytes) -> ReadKeySet:
    """The keys of a JWK set that can verify tokens.

    Shared secrets (``oct``) are left out: whoever can read the document could sign with
    them. So are private keys, keys for encryption, and kinds not known.

    Raises:
        ValueError: when it is no JWK set, holds too many keys, or none that is usable.
    """
    try:
        content = orjson.loads(document)
    except orjson.JSONDecodeError:
        raise ValueError("the JWK set is not JSON") from None
    listed = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise ValueError("the JWK set has no list of keys")
    if len(listed) > MAX_KEYS:
        raise ValueError(f"the JWK set holds {len(listed)} keys, more than {MAX_KEYS}")
    keys: list[VerificationKey] = []
    skipped: list[str] = []
    for number, jwk in enumerate(listed, start=1):
        try:
            keys.append(_read_key(jwk))
        except ValueError as error:
            skipped.append(f"key {number}: {error}")
    if not keys:
        raise ValueError("the JWK set holds no usable key")
    return ReadKeySet(KeySet(keys), tuple(skipped))


def _read_key(jwk: object) -> VerificationKey:
    if not isinstance(jwk, dict):
        raise ValueError("not an object")
    kty = jwk.get("kty")
    if kty == "oct":
        raise ValueError("a shared secret does not belong in a JWK set")
    loader = _LOADERS.get(kty) if isinstance(kty, str) else None
    if loader is None:
        raise ValueError("its kty is none of RSA, EC, OKP")
    if "d" in jwk:
        raise ValueError("it is a private key")
    if jwk.get("use", "sig") != "sig":
        raise ValueError("it is not for signatures")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("it is not for verifying")
    kid = jwk.get("kid", "")
    if not isinstance(kid, str):
        raise ValueError("its kid is not text")
    try:
        material = loader(jwk)
    except (InvalidKeyError, UnsupportedAlgorithm, ValueError, TypeError, KeyError):
        raise ValueError("it cannot be read") from None
    algorithm = jwk.get("alg")
    if algorithm is not None and algorithm not in algorithms_for(material):
        raise ValueError("its alg is not one for its kind of key")
    return key_from_public(material, kid=kid, algorithms=(algorithm,) if algorithm else None)
