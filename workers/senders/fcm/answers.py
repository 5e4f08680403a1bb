"""What FCM's answers mean: firebase-admin's exceptions, classified. Pure.

One rule stands above the table: a token is dropped only where FCM says that *this token* is dead.
A 404 without FCM's own code is a wrong project or address, and would otherwise empty the registry.
FCM never says since when; the time of this machine is no answer to that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from firebase_admin import exceptions, messaging  # type: ignore[import-untyped]

from workers.push import Outcome, Verdict
from workers.senders.retry_after import retry_after_s

QUOTA_WAIT_S: Final = 60.0
"""FCM counts quotas by the minute, so nothing gets better sooner."""

THIRD_PARTY_WAIT_S: Final = 600.0
"""A missing APNs or VAPID key in the Firebase project is mended by a person."""

_FCM_ERROR: Final = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_QUOTA_FAILURE: Final = "type.googleapis.com/google.rpc.QuotaFailure"
_BAD_REQUEST: Final = "type.googleapis.com/google.rpc.BadRequest"
_TOKEN_FIELDS: Final = frozenset({"message.token", "message.fid", "token", "fid"})
_FIELD_NAME: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{1,80}")

_UNKNOWN_STATUS: Final = frozenset({502, 504})
_LATER_STATUS: Final = frozenset({408, 409, 425, 499})
_STOP_STATUS: Final = frozenset({401, 403, 404, 405})


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the sender knows about the attempt that failed.

    ``others_accepted`` says that FCM has taken messages of this lane, so a complaint about a token
    is about the token.
    """

    now_s: float
    others_accepted: bool = False


def classify(error: exceptions.FirebaseError, attempt: Attempt) -> Outcome:
    """The outcome that stands for ``error``; its reason never holds a token or FCM's own prose."""
    response = error.http_response
    status = 0 if response is None else int(response.status_code)
    details = _details(response)
    code = _fcm_code(details) or str(error.code)
    headers: Mapping[str, str] = {} if response is None else response.headers
    wish_s = retry_after_s(headers.get("retry-after"), attempt.now_s, headers.get("date"))

    if response is None:
        return _without_answer(error)
    if isinstance(error, messaging.UnregisteredError | messaging.SenderIdMismatchError):
        return Outcome(Verdict.GONE, code, status)
    if isinstance(error, messaging.ThirdPartyAuthError):
        # Only iPhones and browsers of this project are meant, and STOP would hold up Android as well.
        return Outcome(Verdict.LATER, code, status, retry_after_s=wish_s or THIRD_PARTY_WAIT_S)
    if isinstance(error, exceptions.ResourceExhaustedError):
        wait_s = QUOTA_WAIT_S if wish_s is None else wish_s
        one_phone = _is_device_quota(details)
        return Outcome(Verdict.LATER, code, status, retry_after_s=wait_s, whole_lane=not one_phone)
    if isinstance(error, exceptions.DeadlineExceededError):
        return Outcome(Verdict.LATER, code, status, unknown=True, retry_after_s=wish_s)
    if isinstance(error, exceptions.InvalidArgumentError):
        return _invalid_argument(code, status, details, attempt)
    return _by_status(code, status, wish_s)


def _without_answer(error: exceptions.FirebaseError) -> Outcome:
    """No answer came. Only a connection that never stood is known to have carried nothing."""
    if isinstance(error, exceptions.UnavailableError):
        return Outcome(Verdict.LATER, "no connection")
    if isinstance(error, exceptions.DeadlineExceededError):
        return Outcome(Verdict.LATER, "timeout", unknown=True)
    return Outcome(Verdict.LATER, "connection lost", unknown=True)


def _invalid_argument(code: str, status: int, details: list[Mapping[str, Any]], attempt: Attempt) -> Outcome:
    """Our message, or the token? The token only if nothing else is named and other messages pass."""
    fields = list(_violated_fields(details))
    if fields and attempt.others_accepted and _TOKEN_FIELDS.issuperset(fields):
        return Outcome(Verdict.GONE, f"{code}: token", status)
    named = ", ".join(field for field in fields if _FIELD_NAME.fullmatch(field))
    return Outcome(Verdict.DEAD, f"{code}: {named}" if named else code, status)


def _by_status(code: str, status: int, wish_s: float | None) -> Outcome:
    """Whatever else FCM, or a proxy before it, may say."""
    if status in _STOP_STATUS or 300 <= status < 400:
        return Outcome(Verdict.STOP, code, status)
    if status == 429:
        return Outcome(
            Verdict.LATER,
            code,
            status,
            retry_after_s=QUOTA_WAIT_S if wish_s is None else wish_s,
            whole_lane=True,
        )
    if 400 <= status < 500 and status not in _LATER_STATUS:
        return Outcome(Verdict.DEAD, code, status)
    return Outcome(Verdict.LATER, code, status, unknown=status in _UNKNOWN_STATUS, retry_after_s=wish_s)


def _details(response: Any) -> list[Mapping[str, Any]]:
    """The details of Google's error body; none if the body is anything else."""
    try:
        found = response.json()["error"]["details"]
    except (AttributeError, ValueError, KeyError, TypeError, IndexError):
        return []
    return [detail for detail in found if isinstance(detail, Mapping)] if isinstance(found, list) else []


def _fcm_code(details: list[Mapping[str, Any]]) -> str:
    for detail in details:
        code = detail.get("errorCode")
        if detail.get("@type") == _FCM_ERROR and isinstance(code, str) and code.isidentifier():
            return code[:64]
    return ""


def _is_device_quota(details: list[Mapping[str, Any]]) -> bool:
    """True if the quota that is used up is one phone's own."""
    named = " ".join(
        str(violation.get(key, ""))
        for violation in _entries(details, _QUOTA_FAILURE, "violations")
        for key in ("subject", "description")
    )
    return any(word in named.lower() for word in ("device", "collapsible"))


def _violated_fields(details: list[Mapping[str, Any]]) -> Iterator[str]:
    for violation in _entries(details, _BAD_REQUEST, "fieldViolations"):
        yield str(violation.get("field", ""))


def _entries(details: list[Mapping[str, Any]], kind: str, key: str) -> Iterator[Mapping[str, Any]]:
    for detail in details:
        entries = detail.get(key)
        if detail.get("@type") == kind and isinstance(entries, list):
            yield from (entry for entry in entries if isinstance(entry, Mapping))
