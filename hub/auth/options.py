"""What an operator may set about tokens. Values only."""

from __future__ import annotations

from dataclasses import dataclass

MAX_CACHE_TTL_S = 600
"""A verified token is trusted unseen for no longer than this, whatever its own expiry."""


@dataclass(frozen=True, slots=True)
class VerifierOptions:
    """Which tokens are acceptable. All rules hold for connection and subscription tokens alike.

    ``user_claim`` names the user; Django REST's SimpleJWT says ``user_id``. ``issuer`` and
    ``audience`` are checked only when set; of several audiences one match is enough.
    ``leeway_s`` forgives clocks that differ. ``required_claim`` is a claim and the text it
    must have, such as ``("token_type", "access")``. ``ignore_expiry`` is for insecure mode:
    time claims refuse nothing and nothing expires, all else is still verified.
    ``cache_size`` 0 or ``cache_ttl_s`` 0 remembers nothing.
    """

    user_claim: str = "sub"
    issuer: str | None = None
    audience: tuple[str, ...] | None = None
    leeway_s: float = 0.0
    require_exp: bool = True
    required_claim: tuple[str, str] | None = None
    ignore_expiry: bool = False
    cache_size: int = 50_000
    cache_ttl_s: float = MAX_CACHE_TTL_S

    def __post_init__(self) -> None:
        if not self.user_claim:
            raise ValueError("the claim that names the user must not be empty")
        if self.issuer == "":
            raise ValueError("an expected issuer must not be empty; leave it unset to check none")
        if self.audience is not None and not all(self.audience):
            raise ValueError("an expected audience must not be empty; leave it unset to check none")
        if self.audience == ():
            raise ValueError("no audience can match an empty list; leave it unset to check none")
        if self.leeway_s < 0:
            raise ValueError("the leeway must not be negative")
        if not 0 <= self.cache_ttl_s <= MAX_CACHE_TTL_S:
            raise ValueError(f"tokens are remembered for 0 to {MAX_CACHE_TTL_S} s")
        if self.cache_size < 0:
            raise ValueError("the number of remembered tokens must not be negative")
