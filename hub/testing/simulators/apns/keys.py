"""Provider tokens as APNs judges them: signature, key, team, age, and how often they change.

Knows no HTTP. A token is checked once and remembered; its age is looked at every time.
"""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hub.testing.simulators.authority import private_pem
from hub.testing.simulators.ledger import hash_prefix

LIFETIME_S = 3600
RENEWAL_S = 1200
"""A key may bring a new token once in this time."""
CLOCK_SKEW_S = 300
MAX_REMEMBERED = 4096
TEAM_ID = "SIMTEAM001"

UpdateScope = Literal["connection", "key", "off"]
"""Where too many new tokens are counted. The scope of the real service is not published."""


@dataclass(frozen=True, slots=True)
class ApnsKey:
    """A signing key as the developer account hands it out.

    ``p8`` is the text of the ``.p8`` file. ``environment`` (``production`` or ``sandbox``) and ``topics``
    limit a key; None does not.
    """

    key_id: str
    team_id: str
    p8: str = field(repr=False)
    private_key: ec.EllipticCurvePrivateKey = field(repr=False, compare=False)
    environment: str | None = None
    topics: frozenset[str] | None = None

    def token(self, issued_at_s: float) -> str:
        """A provider token of this key, for clients that have no minter of their own."""
        claims = {"iss": self.team_id, "iat": int(issued_at_s)}
        return jwt.encode(claims, self.private_key, algorithm="ES256", headers={"kid": self.key_id})


def new_key(
    key_id: str | None = None,
    team_id: str = TEAM_ID,
    environment: str | None = None,
    topics: frozenset[str] | None = None,
) -> ApnsKey:
    """A key that nobody knows yet; without ``key_id`` it gets one of ten characters."""
    private_key = ec.generate_private_key(ec.SECP256R1())
    letters = string.ascii_uppercase + string.digits
    name = key_id or "".join(secrets.choice(letters) for _ in range(10))
    return ApnsKey(name, team_id, private_pem(private_key).decode(), private_key, environment, topics)


def key_of(p8: str, key_id: str, team_id: str) -> ApnsKey:
    """The key of a ``.p8`` file.

    Raises:
        ValueError: it is no key for ES256.
    """
    private_key = serialization.load_pem_private_key(p8.encode(), None)
    if not isinstance(private_key, ec.EllipticCurvePrivateKey):
        raise ValueError("no key of an elliptic curve")
    return ApnsKey(key_id, team_id, p8, private_key)


class TokenRefused(Exception):
    """The provider token is not accepted; ``status`` and ``reason`` are the answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Known:
    key: ApnsKey
    issued_at_s: float
    token_hash: str


@dataclass(slots=True)
class _Seen:
    """The tokens of one scope, and when the newest came."""

    hashes: set[str]
    changed_at_ms: int


class ProviderTokens:
    """All keys of the simulated accounts, and the tokens that came."""

    def __init__(self, environment: str, scope: UpdateScope, wrong_environment_reason: str) -> None:
        self.scope: UpdateScope = scope
        self._environment = environment
        self._wrong_environment_reason = wrong_environment_reason
        self._keys: dict[str, ApnsKey] = {}
        self._known: dict[str, _Known] = {}
        self._seen: dict[str, _Seen] = {}

    def add(self, key: ApnsKey) -> None:
        """Accept tokens of this key."""
        self._keys[key.key_id] = key

    def revoke(self, key_id: str) -> None:
        """Accept none of its tokens any more."""
        self._keys.pop(key_id, None)
        self._known.clear()

    def judged(self, authorization: str | None, notes: dict[str, Any], now_ms: int) -> tuple[ApnsKey, str]:
        """The key behind an ``authorization`` header, and the hash of its token.

        ``notes`` are those of the connection, which belongs to the key of its first push.

        Raises:
            TokenRefused: no token, or none that is accepted.
        """
        known = self._known.get(authorization or "") or self._checked(authorization)
        age_s = now_ms / 1000 - known.issued_at_s
        if age_s > LIFETIME_S:
            raise TokenRefused(403, "ExpiredProviderToken")
        if age_s < -CLOCK_SKEW_S:
            raise TokenRefused(403, "InvalidProviderToken")
        if known.key.environment not in (None, self._environment):
            raise TokenRefused(403, self._wrong_environment_reason)
        if notes.setdefault("key_id", known.key.key_id) != known.key.key_id:
            raise TokenRefused(403, "UnrelatedKeyIdInToken")
        self._count(known, notes, now_ms)
        return known.key, known.token_hash

    def _checked(self, authorization: str | None) -> _Known:
        if not authorization:
            raise TokenRefused(403, "MissingProviderToken")
        scheme, _, token = authorization.partition(" ")
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            claims = jwt.decode(
                token,
                key.private_key.public_key(),
                algorithms=["ES256"],
                # Ages are judged by the simulator's own clock.
                options={"verify_iat": False, "verify_exp": False, "verify_nbf": False, "verify_aud": False},
            )
            known = _Known(key, float(claims["iat"]), hash_prefix(token))
        except (jwt.PyJWTError, KeyError, TypeError, ValueError):
            raise TokenRefused(403, "InvalidProviderToken") from None
        if scheme.lower() != "bearer" or claims.get("iss") != key.team_id:
            raise TokenRefused(403, "InvalidProviderToken")
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[authorization] = known
        return known

    def _count(self, known: _Known, notes: dict[str, Any], now_ms: int) -> None:
        if self.scope == "off":
            return
        place: dict[str, Any] = notes if self.scope == "connection" else self._seen
        seen: _Seen | None = place.get(f"seen {known.key.key_id}")
        if seen is None:
            place[f"seen {known.key.key_id}"] = _Seen({known.token_hash}, now_ms)
        elif known.token_hash not in seen.hashes:
            if now_ms - seen.changed_at_ms < RENEWAL_S * 1000:
                raise TokenRefused(429, "TooManyProviderTokenUpdates")
            seen.hashes.add(known.token_hash)
            seen.changed_at_ms = now_ms
