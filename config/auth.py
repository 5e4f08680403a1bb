"""How tokens of clients are verified: keys, claims, and what is asked of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from config.section import Secret, Section, Shown, TextList, split_list

SecretAlgorithm = Literal["HS256", "HS384", "HS512"]
KeyAlgorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"
]
SecretAlgorithms = Annotated[tuple[SecretAlgorithm, ...], BeforeValidator(split_list), Shown("list of text")]
KeyAlgorithms = Annotated[tuple[KeyAlgorithm, ...], BeforeValidator(split_list), Shown("list of text")]
Paths = Annotated[tuple[Path, ...], BeforeValidator(split_list), Shown("list of paths")]


class AuthKey(Section):
    """One of several keys, for rotation: exactly one of `secret`, `pem` and `pem_file`."""

    kid: str = ""
    """Key id that tokens name in their header. Empty: tried for tokens that name none of the others."""
    secret: Secret | None = None
    """Shared secret of an HS algorithm."""
    pem: Secret | None = None
    """Public key or certificate in PEM form, written out."""
    pem_file: Path | None = None
    """File with the public key or certificate in PEM form."""
    algorithms: KeyAlgorithms = ()
    """Algorithms this key is pinned to. Empty: those that fit the kind of key."""

    @property
    def material(self) -> tuple[str, ...]:
        """Names of the settings that hold key material; exactly one is right."""
        return tuple(name for name in ("secret", "pem", "pem_file") if getattr(self, name) is not None)


class RequiredClaim(Section):
    """A claim that must have a value, such as `token_type` = `access`."""

    name: str = ""
    """Name of the claim. Empty: no claim is asked for."""
    value: str = ""
    """Value the claim must have."""


class AuthSettings(Section):
    """Verification of the JWTs that clients bring."""

    secret: Secret | None = None
    """Shared secret of the tokens that your API issues (HS256, HS384, HS512)."""
    secret_algorithms: SecretAlgorithms = ("HS256", "HS384", "HS512")
    """Algorithms that `secret` and `subscription_secret` are pinned to."""
    subscription_secret: Secret | None = None
    """Shared secret of subscription tokens, where it differs from `secret`."""
    pem: Secret | None = None
    """Public key or certificate in PEM form, written out."""
    pem_files: Paths = ()
    """Files with public keys or certificates in PEM form."""
    keys: tuple[AuthKey, ...] = ()
    """Several keys at once, each with its id, for rotation."""
    jwks_url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """Address of a JSON Web Key Set. Fetched at start, refreshed in the background."""
    jwks_refresh_s: int = Field(default=300, ge=10)
    """Seconds between two refreshes of the key set."""
    jwks_allow_http: bool = False
    """Fetch the key set without TLS from other machines, where anybody on the way could replace the keys."""
    issuer: str | None = Field(default=None, min_length=1)
    """Expected `iss`. Not set: not checked."""
    audience: TextList = ()
    """Accepted values of `aud`. Empty: not checked."""
    leeway_s: int = Field(default=0, ge=0, le=600)
    """Seconds by which clocks may differ when `exp` and `nbf` are checked."""
    user_claim: str = Field(default="sub", min_length=1)
    """Claim that names the user; SimpleJWT of Django REST says `user_id`."""
    require_exp: bool = True
    """Refuse tokens that never expire."""
    required_claim: RequiredClaim = RequiredClaim()
    anonymous: bool = False
    """Clients may connect without a token, as the anonymous user."""
    cache_ttl_s: int = Field(default=600, ge=0, le=600)
    """Seconds for which a verified token is remembered, by hash, and never past its expiry. 0: not at all."""

    @property
    def has_keys(self) -> bool:
        """Whether any token at all can be verified."""
        return bool(self.secret or self.pem or self.pem_files or self.keys or self.jwks_url)
