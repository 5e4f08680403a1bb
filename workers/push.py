"""What is to be shown on one phone, in no provider's words, and what came of trying.

Values only: payload builders turn a :class:`Push` into a provider's message, senders turn an
answer into an :class:`Outcome`. Knows no provider, no ledger and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal

from msgspec import Struct

Kind = Literal["notify", "badge", "clear", "sync"]
"""``notify`` shows something, ``badge`` and ``clear`` take back what was shown, ``sync`` tells to resume."""

Priority = Literal["high", "normal"]


class Target(Struct, frozen=True):
    """The installed app on one phone, as its provider knows it.

    ``token`` is the provider's token, or empty where ``subscription`` (Web Push: ``endpoint``,
    ``keys.p256dh``, ``keys.auth``) says the same. Both are secrets: ``repr`` leaves them out.
    ``token_updated_ms`` is when this token was registered, unix milliseconds.
    """

    user: str
    device: str
    platform: str
    provider: str
    app: str
    environment: str
    token: str
    token_hash: str = ""
    token_updated_ms: int = 0
    subscription: Mapping[str, Any] | None = None
    locale: str = ""

    def __repr__(self) -> str:
        return f"Target({self.user!r}, {self.device!r}, {self.provider}:{self.app}:{self.environment})"


class Push(Struct, frozen=True):
    """One push to one phone. Built anew for every attempt, never sent twice from a frozen text.

    ``repr`` leaves out what it says, and the receipt, with which anybody could ack.

    ``push_id`` is the same UUID for every attempt at the same notification on the same device.
    ``hub`` is the object of the contract that tells the app's handler what this is about (``v``,
    ``kind``, ``id``, ``channel``, ``epoch``, ``offset``, ``count``, ``user``, ``receipt``).
    ``notification`` holds ``title``, ``body``, ``badge``, ``sound``, ``image``, ``thread``,
    ``collapse_key`` as far as given; ``data`` the app's own JSON value. ``badge`` is the unread
    count to show, None where it stays. ``overrides`` are merged into the provider's own message.
    ``expires_at_s`` is unix seconds by the engine's clock, and ``ttl_s`` what was left until then as
    the push was made: whoever has to tell the one asks no clock of its own for the other. 0 asks for
    one attempt and no storing.
    """

    kind: Kind
    push_id: str
    target: Target
    hub: Mapping[str, Any]
    notification: Mapping[str, Any] = {}
    data: Any = None
    badge: int | None = None
    collapse_id: str = ""
    priority: Priority = "high"
    expires_at_s: int = 0
    ttl_s: int = 0
    overrides: Mapping[str, Any] = {}
    traceparent: str = ""
    """W3C Trace Context of the call that it came of; empty for none. Never sent."""

    def __repr__(self) -> str:
        return f"Push({self.kind!r}, {self.push_id!r}, {self.target!r})"


class Verdict(Enum):
    """What an answer means for what is owed."""

    ACCEPTED = "the provider took it"
    LATER = "try again after a while"
    GONE = "the token is dead: drop it, never retry"
    DEAD = "this message can never be sent: dead letter, keep the token"
    STOP = "credentials or configuration are wrong: nothing of this lane can be sent"


class Outcome(Struct, frozen=True):
    """The answer to one attempt.

    ``reason`` is the provider's own word or ours in its place (``timeout``, ``connection lost``);
    never a token. ``status`` is the HTTP status, 0 where none came. ``unknown`` says that the
    provider may have taken it all the same. ``retry_after_s`` is the provider's wish;
    ``whole_lane`` says that the wish is about the lane and not this phone alone. ``gone_at_ms``
    is since when the provider knows the token to be dead; a newer registration stays.
    """

    verdict: Verdict
    reason: str = ""
    status: int = 0
    provider_id: str = ""
    unknown: bool = False
    retry_after_s: float | None = None
    whole_lane: bool = False
    gone_at_ms: int | None = None
