"""What a verified token says, as values: who connects, what they may join, and until when.

Pure values. Knows neither signatures nor keys; a value of this module exists only for a
token whose signature and claims were found in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import Struct

from hub.channels import Override


class InvalidToken(Exception):
    """The token is not acceptable and asking again with it is pointless.

    ``reason`` is for logs and people at the server; it never contains the token, a claim's
    value or key material. The same refusal is a close 3500 for a connection token and an
    error 103 for a subscription token (client protocol, 6), so it carries no code itself.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SubscriptionGrant:
    """One server-side subscription of the ``subs`` claim. ``info`` and ``data`` are opaque payloads."""

    info: bytes | None = None
    data: bytes | None = None
    override: Override | None = None


class ConnectionToken(Struct, frozen=True, gc=False):
    """A verified connection token (client protocol, 6.1).

    ``user`` empty is the anonymous user; whether that is allowed is the caller's question.
    ``expire_at_s`` is unix time at which the connection expires, None for never; it may lie
    in the past where the ``expire_at`` claim says so. ``token_id`` is ``jti``, empty when absent.
    """

    user: str
    expire_at_s: int | None
    info: bytes | None
    channels: tuple[str, ...]
    subs: Mapping[str, SubscriptionGrant]
    meta: bytes | None
    token_id: str
    issued_at_s: int | None


@dataclass(frozen=True, slots=True)
class SubscriptionToken:
    """A verified subscription token (client protocol, 6.2).

    The caller still compares ``user``, ``channel`` and a non-empty ``client`` with the
    connection it serves. ``expire_at_s`` is the subscription's own expiry, None for never.
    ``token_id`` is ``jti``, empty when absent.
    """

    user: str
    channel: str
    client: str
    expire_at_s: int | None
    info: bytes | None
    data: bytes | None
    override: Override | None
    token_id: str = ""
    issued_at_s: int | None = None
