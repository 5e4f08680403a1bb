"""The simulated FCM as a client sees it: targets, rules, errors in their exact shape, and access tokens."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from hub.testing.simulators import Fault, FcmSimulator, Quotas
from hub.testing.simulators.fcm.oauth import GOOGLE_AUDIENCE, GRANT

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


@pytest.fixture
async def fcm() -> AsyncIterator[FcmSimulator]:
    """One that runs."""
    async with FcmSimulator() as simulator:
        yield simulator


def http_client(fcm: FcmSimulator, *, http2: bool = False) -> httpx.AsyncClient:
    """A client that trusts it."""
    context = fcm.client_context() if http2 else fcm.authority.client_context()
    return httpx.AsyncClient(http2=http2, verify=context)


async def send(fcm: FcmSimulator, message: Any, *, token: str | None = None, **more: Any) -> httpx.Response:
    """One message with a good access token."""
    async with http_client(fcm) as client:
        headers = {"authorization": f"Bearer {token or fcm.access_token()}"}
        return await client.post(fcm.send_url, headers=headers, json={"message": message, **more})


def code_of(response: httpx.Response) -> str:
    """The ``errorCode`` of an error; empty if it has none."""
    details = response.json()["error"].get("details", [])
    return "".join(detail["errorCode"] for detail in details if detail["@type"] == FCM_ERROR)


@pytest.mark.parametrize("http2", [True, False])
@pytest.mark.parametrize("target", ["token", "fid", "topic", "condition"])
async def test_a_message_is_named_and_in_the_ledger(fcm: FcmSimulator, http2: bool, target: str) -> None:
    """Over both versions of HTTP, for every kind of target."""
    async with http_client(fcm, http2=http2) as client:
        headers = {"authorization": f"Bearer {fcm.access_token()}"}
        body = {"message": {target: "somebody", "data": {"a": "b"}}}
        response = await client.post(fcm.send_url, headers=headers, json=body)
    assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
    assert response.json()["name"].startswith("projects/simulated-project/messages/0:")
    push = fcm.ledger.last
    assert (push.token, push.json, push.message_id) == ("somebody", body, response.json()["name"])


async def test_validate_only_sends_nothing(fcm: FcmSimulator) -> None:
    """The name is a fake, and what is wrong is still wrong."""
    response = await send(fcm, {"token": "t"}, validate_only=True)
    assert response.json() == {"name": "projects/simulated-project/messages/fake_message_id"}
    assert (await send(fcm, {}, validate_only=True)).status_code == 400
    assert len(fcm.ledger) == 0


async def test_an_invalid_message_names_its_field(fcm: FcmSimulator) -> None:
    """INVALID_ARGUMENT twice, and a violation."""
    response = await send(fcm, {"token": "t", "data": {"n": 1}})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert code_of(response) == "INVALID_ARGUMENT"
    assert error["details"][1]["fieldViolations"][0]["field"] == "message.data"


DEVICES: list[tuple[Any, int, str, str]] = [
    ("unregistered", 404, "NOT_FOUND", "UNREGISTERED"),
    ("other sender", 403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
    ("broken apns", 401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"),
]


@pytest.mark.parametrize(("state", "status", "google_status", "code"), DEVICES)
async def test_a_device_answers_by_its_state(
    fcm: FcmSimulator, state: Any, status: int, google_status: str, code: str
) -> None:
    """Status, general status, and the code of FCM."""
    fcm.register("t", state)
    response = await send(fcm, {"token": "t"})
    assert response.status_code == status
    assert (response.json()["error"]["status"], code_of(response)) == (google_status, code)


SCRIPTED: list[tuple[int, str, str]] = [
    (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
    (401, "", "UNAUTHENTICATED"),
    (401, "THIRD_PARTY_AUTH_ERROR", "UNAUTHENTICATED"),
    (401, "APNS_AUTH_ERROR", "UNAUTHENTICATED"),
    (403, "", "PERMISSION_DENIED"),
    (403, "SENDER_ID_MISMATCH", "PERMISSION_DENIED"),
    (404, "", "NOT_FOUND"),
    (404, "UNREGISTERED", "NOT_FOUND"),
    (429, "QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED"),
    (500, "INTERNAL", "INTERNAL"),
    (503, "UNAVAILABLE", "UNAVAILABLE"),
]


@pytest.mark.parametrize(("status", "code", "google_status"), SCRIPTED)
async def test_every_error_of_the_table_can_be_scripted(
    fcm: FcmSimulator, status: int, code: str, google_status: str
) -> None:
    """With the code of FCM in a detail, or without one."""
    fcm.script("t", [Fault.answer(status, code, retry_after_s=7)])
    response = await send(fcm, {"token": "t"})
    error = response.json()["error"]
    assert (response.status_code, response.headers["retry-after"]) == (status, "7")
    assert (error["code"], error["status"], code_of(response)) == (status, google_status, code)
    assert isinstance(error["message"], str)
    assert (await send(fcm, {"token": "t"})).status_code == 200


@pytest.mark.parametrize("status", [502, 504])
async def test_a_proxy_in_front_speaks_html(fcm: FcmSimulator, status: int) -> None:
    """It is no JSON."""
    fcm.script("*", [Fault.answer(status)])
    response = await send(fcm, {"token": "t"})
    assert response.status_code == status
    assert response.headers["content-type"].startswith("text/html")


async def test_unknown_addresses_and_projects_are_not_found(fcm: FcmSimulator) -> None:
    """HTML for an address that is none, JSON without a code of FCM for another project."""
    async with http_client(fcm) as client:
        headers = {"authorization": f"Bearer {fcm.access_token()}"}
        nowhere = await client.post(f"{fcm.url}/v2/send", headers=headers)
        body = {"message": {"token": "t"}}
        other = await client.post(fcm.url_template.format("other"), headers=headers, json=body)
    assert (nowhere.status_code, nowhere.headers["content-type"][:9]) == (404, "text/html")
    assert (other.status_code, code_of(other)) == (404, "")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "CREDENTIALS_MISSING"),
        ("Bearer unknown", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        ("Basic {}", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
    ],
)
async def test_without_a_good_access_token_there_is_a_401(
    fcm: FcmSimulator, header: str, reason: str
) -> None:
    """UNAUTHENTICATED without a code of FCM."""
    async with http_client(fcm) as client:
        headers = {"authorization": header.format(fcm.access_token())}
        response = await client.post(fcm.send_url, headers=headers, json={"message": {"token": "t"}})
    assert (response.status_code, code_of(response)) == (401, "")
    assert response.json()["error"]["details"][0]["reason"] == reason
    assert "www-authenticate" in response.headers


async def test_an_access_token_ends_and_can_be_revoked() -> None:
    """ACCESS_TOKEN_EXPIRED in both cases."""
    clock = [int(time.time() * 1000)]
    async with FcmSimulator(now_ms=lambda: clock[0]) as fcm:
        short, long = fcm.access_token(60), fcm.access_token(3600)
        clock[0] += 61_000
        assert (await send(fcm, {"token": "t"}, token=short)).status_code == 401
        assert (await send(fcm, {"token": "t"}, token=long)).status_code == 200
        fcm.oauth.revoke()
        refused = await send(fcm, {"token": "t"}, token=long)
        assert refused.json()["error"]["details"][0]["reason"] == "ACCESS_TOKEN_EXPIRED"


async def granted(fcm: FcmSimulator, assertion: str, grant_type: str = GRANT) -> httpx.Response:
    """What the token endpoint says."""
    async with http_client(fcm) as client:
        return await client.post(fcm.token_uri, data={"grant_type": grant_type, "assertion": assertion})


@pytest.mark.parametrize("audience", ["own", "google"])
async def test_a_signed_assertion_is_worth_an_access_token(fcm: FcmSimulator, audience: str) -> None:
    """For our own address, and for the one that Google's client always signs."""
    where = fcm.token_uri if audience == "own" else GOOGLE_AUDIENCE
    fcm.oauth.expires_in_s = 120
    response = await granted(fcm, fcm.account.assertion(where, time.time()))
    answer = response.json()
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 120)
    assert (await send(fcm, {"token": "t"}, token=answer["access_token"])).status_code == 200
    assert (fcm.oauth.requests, fcm.oauth.issued) == (1, 1)


ASSERTIONS: list[Callable[[FcmSimulator], str]] = [
    lambda fcm: "nonsense",
    lambda fcm: fcm.account.assertion("https://elsewhere.example/token", time.time()),
    lambda fcm: fcm.account.assertion(fcm.token_uri, time.time() - 4000),
    lambda fcm: fcm.account.assertion(fcm.token_uri, time.time() + 4000),
    lambda fcm: fcm.account.assertion(fcm.token_uri, time.time(), lifetime_s=7200),
    lambda fcm: fcm.account.assertion(fcm.token_uri, time.time())[:-4] + "AAAA",
    lambda fcm: FcmSimulator(project="other").account.assertion(fcm.token_uri, time.time()),
]


@pytest.mark.parametrize("assertion", ASSERTIONS)
async def test_a_wrong_assertion_is_an_invalid_grant(
    fcm: FcmSimulator, assertion: Callable[[FcmSimulator], str]
) -> None:
    """Of the wrong form, audience, age, life, signature or account."""
    response = await granted(fcm, assertion(fcm))
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
    assert fcm.oauth.issued == 0


async def test_another_grant_is_not_supported(fcm: FcmSimulator) -> None:
    """There is one kind of grant here."""
    response = await granted(fcm, "", "password")
    assert response.json()["error"] == "unsupported_grant_type"


async def test_the_token_endpoint_fails_apart_from_sending(fcm: FcmSimulator) -> None:
    """Its script is its own; a script for anybody does not reach it."""
    fcm.script("*", [Fault.answer(503, "UNAVAILABLE")])
    fcm.oauth.script([Fault.answer(500, "internal_failure"), Fault.slow(0.1)])
    assertion = fcm.account.assertion(fcm.token_uri, time.time())
    failed = await granted(fcm, assertion)
    assert (failed.status_code, failed.json()["error"]) == (500, "internal_failure")
    began = time.monotonic()
    assert (await granted(fcm, assertion)).status_code == 200
    assert time.monotonic() - began >= 0.1
    assert (await send(fcm, {"token": "t"})).status_code == 503


async def test_a_device_has_a_quota() -> None:
    """429 says how long to wait, and whose quota it was; another device is served."""
    async with FcmSimulator(quotas=Quotas(device_per_minute=2, retry_after_s=9)) as fcm:
        statuses = [(await send(fcm, {"token": "t"})).status_code for _ in range(2)]
        exceeded = await send(fcm, {"token": "t"})
        assert (statuses, exceeded.status_code) == ([200, 200], 429)
        assert (exceeded.headers["retry-after"], code_of(exceeded)) == ("9", "QUOTA_EXCEEDED")
        assert (await send(fcm, {"token": "u"})).status_code == 200


async def test_a_hundred_streams_are_served_at_once(fcm: FcmSimulator) -> None:
    """That is what is announced, as the real one does."""
    assert fcm._listener.http2.streams == 100


async def test_healing_forgets_the_scripts_of_both(fcm: FcmSimulator) -> None:
    """Sending and tokens alike."""
    fcm.script("*", [Fault.answer(500)], forever=True)
    fcm.oauth.script([Fault.answer(500)], forever=True)
    fcm.heal()
    assert (await granted(fcm, fcm.account.assertion(fcm.token_uri, time.time()))).status_code == 200
    assert (await send(fcm, {"token": "t"})).status_code == 200


async def test_the_name_of_an_answer_can_be_missing(fcm: FcmSimulator) -> None:
    """A 200 that is no answer."""
    fcm.script("t", [Fault(message_id="absent"), Fault(body=b"<html>")])
    assert (await send(fcm, {"token": "t"})).json() == {}
    assert (await send(fcm, {"token": "t"})).text == "<html>"
    assert len(fcm.ledger) == 2
