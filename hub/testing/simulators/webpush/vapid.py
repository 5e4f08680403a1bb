"""Who sends to a push service: the VAPID keys of a sender, and how a signed header is judged.

Knows no subscription. The clock is an argument.
"""

from __future__ import annotations

import base64
from collections.abc import Collection
from dataclasses import dataclass, field

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hub.testing.simulators.authority import private_pem

MAX_LIFETIME_S = 24 * 3600
CLOCK_SKEW_S = 300


@dataclass(frozen=True, slots=True)
class VapidKeys:
    """The key pair of an application server.

    ``private_pem`` is what a sender is configured with, ``public_key`` what a web page subscribes with.
    """

    private_pem: str = field(repr=False)
    public_key: str

    def authorization(self, audience: str, now_s: float, lifetime_s: int = 3600) -> str:
        """A signed header value, for clients that have no signer of their own."""
        claims = {"aud": audience, "exp": int(now_s) + lifetime_s, "sub": "mailto:somebody@example.com"}
        return f"vapid t={jwt.encode(claims, self.private_pem, algorithm='ES256')}, k={self.public_key}"


def new_vapid_keys() -> VapidKeys:
    """A key pair that nobody knows yet."""
    return vapid_keys_of(private_pem(ec.generate_private_key(ec.SECP256R1())).decode())


def vapid_keys_of(pem: str) -> VapidKeys:
    """The pair that belongs to a private key."""
    key = serialization.load_pem_private_key(pem.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return VapidKeys(pem, base64url(point_of(key.public_key())))


def problem(authorization: str, audiences: Collection[str], now_s: float) -> tuple[str, str]:
    """What is wrong with an ``authorization`` header (empty if nothing), and the public key in it."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "vapid":
        return "missing vapid authorization", ""
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    token, public_key = parts.get("t", ""), parts.get("k", "")
    try:
        point = from_base64url(public_key)
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        claims = jwt.decode(
            token,
            key,
            algorithms=["ES256"],
            # Ages are judged by the simulator's own clock.
            options={"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False},
        )
        expires_at_s = float(claims["exp"])
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        return "invalid vapid signature", ""
    if claims.get("aud") not in audiences:
        return "wrong vapid audience", public_key
    if not now_s - CLOCK_SKEW_S < expires_at_s <= now_s + MAX_LIFETIME_S + CLOCK_SKEW_S:
        return "vapid token expired or valid for too long", public_key
    if not str(claims.get("sub", "")).startswith(("mailto:", "https:")):
        return "vapid subject is no mailto or https address", public_key
    return "", public_key


def point_of(key: ec.EllipticCurvePublicKey) -> bytes:
    """The uncompressed point of a public key, 65 bytes."""
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def base64url(raw: bytes) -> str:
    """Base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """What :func:`base64url` encoded.

    Raises:
        ValueError: it is none.
    """
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
