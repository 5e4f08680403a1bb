"""Makes tokens: for the command line, for examples and for tests. The hub itself only verifies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from hub.auth.jws import sign
from hub.auth.keys import HMAC_ALGORITHMS, algorithms_for

PrivateKey: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """A key that signs, and the algorithm and ``kid`` it signs with. Never prints the key."""

    algorithm: str
    kid: str
    material: bytes | PrivateKey = field(repr=False)

    @classmethod
    def from_secret(cls, secret: str | bytes, *, algorithm: str = "HS256", kid: str = "") -> TokenSigner:
        """A signer with a shared secret of any length; the verifying side judges the length.

        Raises:
            ValueError: for an empty secret or an algorithm that is not HMAC.
        """
        material = secret.encode() if isinstance(secret, str) else secret
        if not material:
            raise ValueError("the secret is empty")
        if algorithm not in HMAC_ALGORITHMS:
            raise ValueError(f"a secret signs with {', '.join(HMAC_ALGORITHMS)} only")
        return cls(algorithm, kid, material)

    @classmethod
    def from_private_pem(cls, pem: str | bytes, *, algorithm: str = "", kid: str = "") -> TokenSigner:
        """A signer with an unencrypted PEM private key; the algorithm is the first of its kind if not named.

        Raises:
            ValueError: when it is no such key, or the algorithm is not one of its kind.
        """
        try:
            key = load_pem_private_key(pem.encode() if isinstance(pem, str) else pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError("the PEM text is not a readable, unencrypted private key") from None
        if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey):
            raise ValueError("the key is neither RSA, nor EC, nor Ed25519")
        possible = algorithms_for(key.public_key())
        if algorithm and algorithm not in possible:
            raise ValueError(f"this key signs with {', '.join(possible)} only")
        return cls(algorithm or possible[0], kid, key)

    def sign(self, claims: Mapping[str, object]) -> str:
        """The token that carries exactly these claims.

        Raises:
            TypeError: when they are not JSON.
        """
        return sign(orjson.dumps(dict(claims)), self.material, self.algorithm, self.kid)


def issue_connection_token(
    signer: TokenSigner,
    user: str,
    *,
    exp_s: int | None = None,
    expire_at_s: int | None = None,
    info: object = None,
    channels: Iterable[str] = (),
    subs: Mapping[str, object] | None = None,
    meta: Mapping[str, object] | None = None,
    user_claim: str = "sub",
    extra_claims: Mapping[str, object] | None = None,
) -> str:
    """A connection token (client protocol, 6.1). What is not given is no claim of it.

    Times are unix seconds. ``subs`` maps channels to options as the claim has them.
    ``extra_claims`` (``iss``, ``aud``, ``jti``, ``token_type``...) win over all others.
    """
    claims: dict[str, object] = {
        user_claim: user or None,
        "exp": exp_s,
        "expire_at": expire_at_s,
        "info": info,
        "channels": list(channels) or None,
        "subs": dict(subs) if subs else None,
        "meta": dict(meta) if meta else None,
    }
    return signer.sign(_given(claims) | dict(extra_claims or {}))


def issue_subscription_token(
    signer: TokenSigner,
    user: str,
    channel: str,
    *,
    exp_s: int | None = None,
    expire_at_s: int | None = None,
    client: str = "",
    info: object = None,
    override: Mapping[str, bool] | None = None,
    user_claim: str = "sub",
    extra_claims: Mapping[str, object] | None = None,
) -> str:
    """A subscription token for one channel (client protocol, 6.2). What is not given is no claim of it.

    ``override`` maps the names of ``Override`` to plain booleans; the rest is as for
    :func:`issue_connection_token`.
    """
    claims: dict[str, object] = {
        user_claim: user or None,
        "channel": channel,
        "client": client or None,
        "exp": exp_s,
        "expire_at": expire_at_s,
        "info": info,
        "override": {name: {"value": value} for name, value in override.items()} if override else None,
    }
    return signer.sign(_given(claims) | dict(extra_claims or {}))


def _given(claims: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in claims.items() if value is not None}
