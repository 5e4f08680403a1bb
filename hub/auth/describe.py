"""Tells a person what is in a token and whether this hub would take it, and if not, why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hub.auth.jws import read_unverified
from hub.auth.tokens import ConnectionToken, InvalidToken, SubscriptionToken
from hub.auth.verifier import TokenVerifier
from hub.errors import TOKEN_EXPIRED, HubError

TokenKind: TypeAlias = Literal["connection", "subscription", "unreadable"]
Verdict: TypeAlias = Literal["valid", "expired", "invalid", "undecided"]


@dataclass(frozen=True, slots=True)
class TokenReport:
    """What a token holds and what the hub makes of it. Never holds the signature or a key.

    ``header`` and ``claims`` are shown as they stand, also when the verdict is that nothing
    of them can be trusted. ``token`` is the verified value, None unless the verdict is valid.
    """

    kind: TokenKind
    verdict: Verdict
    reason: str
    header: Mapping[str, object]
    claims: Mapping[str, object]
    token: ConnectionToken | SubscriptionToken | None = None


async def describe_token(token: str, verifier: TokenVerifier) -> TokenReport:
    """A report on ``token``; never raises for anything a token can hold."""
    try:
        header, claims = read_unverified(token)
    except InvalidToken as error:
        return TokenReport("unreadable", "invalid", error.reason, {}, {})
    kind: TokenKind = "connection" if claims.get("channel") is None else "subscription"
    verified: ConnectionToken | SubscriptionToken | None = None
    verdict: Verdict = "valid"
    reason = "signature and claims are in order"
    try:
        if kind == "connection":
            verified = await verifier.verify_connection(token)
        else:
            verified = await verifier.verify_subscription(token)
    except InvalidToken as error:
        verdict, reason = "invalid", error.reason
    except HubError as error:
        verdict = "expired" if error.error is TOKEN_EXPIRED else "undecided"
        reason = error.detail or error.error.message
    return TokenReport(kind, verdict, reason, header, claims, verified)
