"""What each answer of APNs means for what is owed: one table, one pure function.

Knows statuses and reasons, no connection and no clock. What can be mended on the spot (a provider token that
ran out, a body that is too long) the sender tries first; the verdicts here are for when that did not help.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from workers.push import Outcome, Verdict

EXPIRED_TOKEN: Final = "ExpiredProviderToken"
TOO_MANY_TOKENS: Final = "TooManyProviderTokenUpdates"
TOO_LARGE: Final = "PayloadTooLarge"
WRONG_CONNECTION: Final = "UnrelatedKeyIdInToken"

LEAVES_CONNECTION: Final = frozenset({"IdleTimeout", "Shutdown", WRONG_CONNECTION})
"""Reasons after which the connection that brought them is used no more."""

TOPIC_REASONS: Final = frozenset({"TopicDisallowed", "BadTopic", "MissingTopic"})
"""Reasons that blame the topic: the lane's, or one that a message chose for itself."""

SUSPECT_REASONS: Final = frozenset({"BadDeviceToken", "DeviceTokenNotForTopic"})
"""Reasons that blame a token, and come by the thousand when it is the configuration that is wrong."""

_PRINTABLE_REASON: Final = re.compile(r"[A-Za-z0-9_. -]{1,64}")


@dataclass(frozen=True, slots=True)
class Rule:
    """What one reason asks for."""

    verdict: Verdict
    retry_after_s: float | None = None
    whole_lane: bool = False


_GONE: Final = Rule(Verdict.GONE)
_DEAD: Final = Rule(Verdict.DEAD)
_STOP: Final = Rule(Verdict.STOP, whole_lane=True)
_LATER: Final = Rule(Verdict.LATER)

BY_REASON: Final[Mapping[str, Rule]] = {
    "BadDeviceToken": _GONE,
    "DeviceTokenNotForTopic": _GONE,
    "Unregistered": _GONE,
    "ExpiredToken": _GONE,
    "TopicDisallowed": _STOP,
    "BadTopic": _STOP,
    "MissingTopic": _STOP,
    "BadCollapseId": _DEAD,
    "BadExpirationDate": _DEAD,
    "BadMessageId": _DEAD,
    "BadPriority": _DEAD,
    "DuplicateHeaders": _DEAD,
    "InvalidPushType": _DEAD,
    "MissingDeviceToken": _DEAD,
    "PayloadEmpty": _DEAD,
    TOO_LARGE: _DEAD,
    "BadPath": _DEAD,
    "MethodNotAllowed": _DEAD,
    "IdleTimeout": Rule(Verdict.LATER, retry_after_s=0.0),
    EXPIRED_TOKEN: _STOP,
    "InvalidProviderToken": _STOP,
    "MissingProviderToken": _STOP,
    "BadCertificate": _STOP,
    "BadCertificateEnvironment": _STOP,
    # The documented spelling, and the one that several implementers have seen.
    "BadEnvironmentKeyIdInToken": _STOP,
    "BadEnvironmentKeyInToken": _STOP,
    WRONG_CONNECTION: _LATER,
    "Forbidden": _STOP,
    "TooManyRequests": _LATER,
    TOO_MANY_TOKENS: Rule(Verdict.LATER, retry_after_s=60.0, whole_lane=True),
    "InternalServerError": _LATER,
    "ServiceUnavailable": _LATER,
    "Shutdown": _LATER,
}
"""Every documented reason. Each comes with one status only, so the reason alone is the key."""

_BY_STATUS: Final[Mapping[int, Rule]] = {
    # No 403 is about one message: to hold the lane loses nothing, to dead-letter all of it would.
    403: _STOP,
    410: _GONE,
    429: _LATER,
}
"""What a status says where the reason is missing or new."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it was read. ``timestamp_ms`` is only in a 410; ``retry_after_s`` hardly ever there."""

    status: int
    reason: str = ""
    provider_id: str = ""
    timestamp_ms: int | None = None
    retry_after_s: float | None = None


def classify(answer: Answer) -> Outcome:
    """What ``answer`` means. Unknown reasons: the status decides, 4xx for good and 5xx for now."""
    if answer.status == 200:
        return Outcome(Verdict.ACCEPTED, status=200, provider_id=answer.provider_id)
    rule = BY_REASON.get(answer.reason) or _rule_of_status(answer.status)
    wish = answer.retry_after_s if answer.retry_after_s is not None else rule.retry_after_s
    return Outcome(
        rule.verdict,
        reason=_printable(answer.reason) or f"status {answer.status}",
        status=answer.status,
        provider_id=answer.provider_id,
        retry_after_s=wish if rule.verdict is Verdict.LATER else None,
        whole_lane=rule.whole_lane,
        gone_at_ms=answer.timestamp_ms if rule.verdict is Verdict.GONE else None,
    )


def is_known(reason: str) -> bool:
    """Whether the table has ``reason``; what it has not should be counted and looked at."""
    return reason in BY_REASON


def _rule_of_status(status: int) -> Rule:
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    return _DEAD if 400 <= status < 500 else _LATER


def _printable(reason: str) -> str:
    """The provider's word, unless it is none: it goes into logs and traces."""
    if not reason:
        return ""
    return reason if _PRINTABLE_REASON.fullmatch(reason) else "unreadable reason"
