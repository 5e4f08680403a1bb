"""The whole table of FCM's errors, each made by firebase-admin's own mapping from a raw answer."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from workers.push import Outcome, Verdict
from workers.senders.fcm.answers import Attempt, classify
from workers.senders.fcm.sdk import firebase_error

ATTEMPT = Attempt(now_s=1_800_000_000.5)
PROVEN = Attempt(now_s=1_800_000_000.5, others_accepted=True)
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
LATER, GONE, DEAD, STOP = Verdict.LATER, Verdict.GONE, Verdict.DEAD, Verdict.STOP


def answer(
    status: int,
    body: bytes | dict[str, Any],
    headers: dict[str, str] | None = None,
    attempt: Attempt = ATTEMPT,
) -> Outcome:
    """The outcome of one raw HTTP answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = httpx.Request("POST", "https://fcm.googleapis.com/v1/projects/demo/messages:send")
    response = httpx.Response(status, content=content, headers=headers, request=request)
    return classify(firebase_error(httpx.HTTPStatusError("x", request=request, response=response)), attempt)


def error(status: int, name: str, code: str = "", *details: dict[str, Any]) -> dict[str, Any]:
    """An error body in Google's shape; ``code`` is FCM's own, which may be missing."""
    fcm = [{"@type": FCM_ERROR, "errorCode": code}] if code else []
    message = "prose that may name the token eXample:APA91b"
    return {"error": {"code": status, "status": name, "message": message, "details": [*fcm, *details]}}


@pytest.mark.parametrize(
    ("status", "name", "code", "expected"),
    [
        (404, "NOT_FOUND", "UNREGISTERED", Outcome(GONE, "UNREGISTERED", 404)),
        (404, "NOT_FOUND", "", Outcome(STOP, "NOT_FOUND", 404)),
        (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", Outcome(DEAD, "INVALID_ARGUMENT", 400)),
        (400, "INVALID_ARGUMENT", "", Outcome(DEAD, "INVALID_ARGUMENT", 400)),
        (
            403,
            "PERMISSION_DENIED",
            "SENDER_ID_MISMATCH",
            Outcome(GONE, "SENDER_ID_MISMATCH", 403),
        ),
        (403, "PERMISSION_DENIED", "", Outcome(STOP, "PERMISSION_DENIED", 403)),
        (
            401,
            "UNAUTHENTICATED",
            "THIRD_PARTY_AUTH_ERROR",
            Outcome(LATER, "THIRD_PARTY_AUTH_ERROR", 401, retry_after_s=600.0),
        ),
        (
            401,
            "UNAUTHENTICATED",
            "APNS_AUTH_ERROR",
            Outcome(LATER, "APNS_AUTH_ERROR", 401, retry_after_s=600.0),
        ),
        (401, "UNAUTHENTICATED", "", Outcome(STOP, "UNAUTHENTICATED", 401)),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "QUOTA_EXCEEDED",
            Outcome(LATER, "QUOTA_EXCEEDED", 429, retry_after_s=60.0, whole_lane=True),
        ),
        (500, "INTERNAL", "INTERNAL", Outcome(LATER, "INTERNAL", 500)),
        (503, "UNAVAILABLE", "UNAVAILABLE", Outcome(LATER, "UNAVAILABLE", 503)),
        (504, "DEADLINE_EXCEEDED", "", Outcome(LATER, "DEADLINE_EXCEEDED", 504, unknown=True)),
        (409, "ABORTED", "", Outcome(LATER, "ABORTED", 409)),
        (412, "FAILED_PRECONDITION", "", Outcome(DEAD, "FAILED_PRECONDITION", 412)),
    ],
)
def test_each_error_of_fcm_has_one_meaning(status: int, name: str, code: str, expected: Outcome) -> None:
    """What drops a token, what retries, what stops the lane, what is our own fault."""
    assert answer(status, error(status, name, code)) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (302, Outcome(STOP, "UNKNOWN", 302)),
        (400, Outcome(DEAD, "INVALID_ARGUMENT", 400)),
        (401, Outcome(STOP, "UNAUTHENTICATED", 401)),
        (403, Outcome(STOP, "PERMISSION_DENIED", 403)),
        (404, Outcome(STOP, "NOT_FOUND", 404)),
        (408, Outcome(LATER, "UNKNOWN", 408)),
        (413, Outcome(DEAD, "UNKNOWN", 413)),
        (429, Outcome(LATER, "RESOURCE_EXHAUSTED", 429, retry_after_s=60.0, whole_lane=True)),
        (500, Outcome(LATER, "INTERNAL", 500)),
        (502, Outcome(LATER, "UNKNOWN", 502, unknown=True)),
        (503, Outcome(LATER, "UNAVAILABLE", 503)),
        (504, Outcome(LATER, "UNKNOWN", 504, unknown=True)),
    ],
)
@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b"", b"[]"])
def test_an_answer_that_is_not_in_googles_shape_is_judged_by_its_status(
    status: int, expected: Outcome, body: bytes
) -> None:
    """Proxies answer in HTML, and never make a token be dropped."""
    assert answer(status, body) == expected


@pytest.mark.parametrize(
    "body",
    [b'{"error": "text"}', b'{"error": {"details": ["x"]}}', b'{"error": {"details": 7}}', b"\xff\xfe"],
)
@pytest.mark.parametrize(
    ("status", "verdict"), [(400, DEAD), (401, STOP), (404, STOP), (429, LATER), (500, LATER)]
)
def test_a_body_that_trips_the_librarys_mapping_is_judged_by_its_status(
    status: int, verdict: Verdict, body: bytes
) -> None:
    """A stranger's JSON raises nothing and empties no registry."""
    outcome = answer(status, body)
    assert (outcome.verdict, outcome.status) == (verdict, status)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (httpx.ConnectError("x"), Outcome(LATER, "no connection")),
        (httpx.ReadTimeout("x"), Outcome(LATER, "timeout", unknown=True)),
        (httpx.RemoteProtocolError("x"), Outcome(LATER, "connection lost", unknown=True)),
        (httpx.ReadError("x"), Outcome(LATER, "connection lost", unknown=True)),
    ],
)
def test_without_an_answer_only_a_refused_connection_is_known_to_have_carried_nothing(
    raised: httpx.HTTPError, expected: Outcome
) -> None:
    """The others may have been taken all the same."""
    assert classify(firebase_error(raised), ATTEMPT) == expected


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("Fri, 15 Jan 2027 08:00:30 GMT", 29.5), ("0", 0.0)]
)
def test_the_wish_to_wait_is_handed_on(status: int, header: str, seconds: float) -> None:
    """In seconds or as a date."""
    outcome = answer(status, error(status, ""), {"Retry-After": header})
    assert outcome.retry_after_s == seconds


def test_a_quota_of_one_phone_does_not_slow_the_whole_project() -> None:
    """The violation says whose quota is used up."""
    failure = {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"subject": "device:hidden", "description": "Device message rate exceeded"}],
    }
    outcome = answer(429, error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", failure))
    assert outcome == Outcome(LATER, "QUOTA_EXCEEDED", 429, retry_after_s=60.0, whole_lane=False)


def invalid(*fields: str) -> dict[str, Any]:
    """An INVALID_ARGUMENT that names ``fields``."""
    detail = {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": field, "description": "no"} for field in fields],
    }
    return error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", detail)


def test_a_token_that_is_none_is_dropped_only_where_other_messages_pass() -> None:
    """Else every token would go for one mistake in every message."""
    assert answer(400, invalid("message.token"), attempt=PROVEN) == Outcome(
        GONE, "INVALID_ARGUMENT: token", 400
    )
    assert answer(400, invalid("message.token")).verdict is DEAD
    assert answer(400, invalid("message.token", "message.android.ttl"), attempt=PROVEN).verdict is DEAD


def test_a_message_that_is_our_fault_says_which_field() -> None:
    """So that a dead letter can be understood; nothing that is no field name is repeated."""
    assert answer(400, invalid("message.android.ttl")).reason == "INVALID_ARGUMENT: message.android.ttl"
    assert answer(400, invalid("the token eXample:APA91b")).reason == "INVALID_ARGUMENT"
