"""Errors of FCM in the shape of the real ones. Pure: a status and a code in, a reply out.

The code of FCM stands in a detail of its own; without one there is only the general status of Google's APIs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from hub.testing.simulators.http import Reply, json_headers

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
QUOTA_FAILURE = "type.googleapis.com/google.rpc.QuotaFailure"

GOOGLE_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
"""What Google's APIs call a status."""

FCM_CODES = frozenset(
    {
        "UNSPECIFIED_ERROR",
        "INVALID_ARGUMENT",
        "UNREGISTERED",
        "SENDER_ID_MISMATCH",
        "QUOTA_EXCEEDED",
        "UNAVAILABLE",
        "INTERNAL",
        "THIRD_PARTY_AUTH_ERROR",
        "APNS_AUTH_ERROR",
    }
)
"""What may stand as ``errorCode`` in a detail."""


def error(status: int, code: str = "", message: str = "", details: Sequence[dict[str, Any]] = ()) -> Reply:
    """An error answer; ``code`` becomes the ``errorCode`` of FCM if it is one.

    A 502 or 504 comes from a proxy in front and is HTML, as in life.
    """
    if status in (502, 504):
        return html(status)
    listed = list(details)
    if code in FCM_CODES:
        listed.insert(0, {"@type": FCM_ERROR, "errorCode": code})
    text = message or f"The simulated service says {code or status}."
    body: dict[str, Any] = {"code": status, "message": text, "status": GOOGLE_STATUS.get(status, "UNKNOWN")}
    if listed:
        body["details"] = listed
    return Reply(status, orjson.dumps({"error": body}), json_headers(), code or GOOGLE_STATUS.get(status, ""))


def violation(field: str, description: str) -> Reply:
    """INVALID_ARGUMENT that names the field."""
    detail = {"@type": BAD_REQUEST, "fieldViolations": [{"field": field, "description": description}]}
    return error(400, "INVALID_ARGUMENT", f"{field}: {description}", [detail])


def unreadable(description: str) -> Reply:
    """A body that is no request: INVALID_ARGUMENT that FCM itself never saw."""
    detail = {"@type": BAD_REQUEST, "fieldViolations": [{"description": description}]}
    return error(400, "", description, [detail])


def unauthenticated(reason: str) -> Reply:
    """A 401 of the front door: ``reason`` is ACCESS_TOKEN_EXPIRED, CREDENTIALS_MISSING and the like."""
    info = {"@type": ERROR_INFO, "reason": reason, "domain": "googleapis.com"}
    reply = error(401, "", "The request had no valid OAuth 2 access token.", [info])
    reply.headers["www-authenticate"] = 'Bearer realm="https://accounts.google.com/"'
    return reply


def quota_exceeded(subject: str, retry_after_s: int) -> Reply:
    """A 429 that says how long to wait."""
    failure = {"@type": QUOTA_FAILURE, "violations": [{"subject": subject, "description": "Rate exceeded"}]}
    reply = error(429, "QUOTA_EXCEEDED", f"Quota exceeded for {subject}.", [failure])
    reply.headers["retry-after"] = str(retry_after_s)
    return reply


def html(status: int) -> Reply:
    """What a proxy says in place of the service."""
    text = f"<!DOCTYPE html><html lang=en><title>Error {status}</title><p><b>{status}.</b> That is an error."
    return Reply(status, text.encode(), {"content-type": "text/html; charset=UTF-8"}, "html")
