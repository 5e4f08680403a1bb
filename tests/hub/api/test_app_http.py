"""Devices, inbox and receipts as apps reach them over HTTP: who may do what to whom, and true statuses."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt
import pytest
from starlette.applications import Starlette

from hub.api.app_http import create_client_api
from hub.api.app_limits import MAX_BODY_BYTES
from hub.auth import KeySet, TokenVerifier, VerifierOptions, key_from_secret
from hub.delivery.notification import Notification
from hub.delivery.receipts import RECEIPT_SECRET, Receipt, sign_receipt
from hub.engine import Engine
from hub.engine.notifying import notify
from hub.engine.revocations import Rule
from hub.engine.revoked import RevokedCopy
from hub.node.notifications import Notifications
from hub.transport.origins import OriginPolicy
from tests.support.http_server import serving
from tests.support.signing import SECRET

DEVICE = "install-0000000000000001"
RECORD = {
    "platform": "android",
    "provider": "recording",
    "app": "demo",
    "environment": "sandbox",
    "token": "token-of-a-phone",
}
ORIGIN = "https://app.example.com"


def now_ms() -> int:
    """Unix milliseconds."""
    return int(time.time() * 1000)


@pytest.fixture
async def revoked(engine: Engine) -> RevokedCopy:
    """Who is kept out, as far as was told by ``refresh``."""
    copy = RevokedCopy(engine.revocations)
    await copy.refresh()
    return copy


@pytest.fixture
async def app(notifications: Notifications, revoked: RevokedCopy) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    verifier = TokenVerifier(VerifierOptions(), KeySet([key_from_secret(SECRET)]))
    routes = create_client_api(notifications, verifier, OriginPolicy([ORIGIN]), revoked=revoked)
    async with serving(Starlette(routes=routes)) as url:
        async with httpx.AsyncClient(base_url=f"{url}/client/v1", trust_env=False) as client:
            yield client


def signed(claims: dict[str, Any]) -> str:
    """A token of the REST API."""
    return jwt.encode(claims, SECRET, algorithm="HS256")


def of(user: str) -> dict[str, str]:
    """The header of a user's app."""
    return {"Authorization": f"Bearer {signed({'sub': user, 'exp': int(time.time()) + 60})}"}


async def test_a_blocked_user_is_refused_until_they_are_let_in(
    app: httpx.AsyncClient, engine: Engine, revoked: RevokedCopy
) -> None:
    """Whatever the token; others are served."""
    await engine.revocations.put(Rule("user", "7"))
    await revoked.refresh()
    assert code_of(await app.get("/devices", headers=of("7"))) == (403, 1010, False)
    answer = await app.put(f"/devices/{DEVICE}", json=RECORD, headers=of("7"))
    assert code_of(answer) == (403, 1010, False)
    assert (await app.get("/devices", headers=of("8"))).status_code == 200
    await engine.revocations.lift("user", "7")
    await revoked.refresh()
    assert (await app.get("/devices", headers=of("7"))).json() == {"devices": []}


async def test_a_revoked_token_is_good_for_nothing(
    app: httpx.AsyncClient, engine: Engine, revoked: RevokedCopy
) -> None:
    """Also one that was verified and remembered before; the user's newer token is good."""
    now_s = int(time.time())

    def bearer(**claims: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {signed({'sub': '7', 'exp': now_s + 60, **claims})}"}

    old, new, named = bearer(iat=now_s - 10), bearer(iat=now_s), bearer(iat=now_s, jti="j")
    for headers in (old, new, named):
        assert (await app.get("/devices", headers=headers)).status_code == 200
    await engine.revocations.put(Rule("token", "j", (now_s + 60) * 1000))
    await engine.revocations.put(Rule("issued", "7", (now_s + 60) * 1000, before_ms=now_s * 1000))
    await revoked.refresh()
    for headers in (old, named, of("7")):
        assert code_of(await app.get("/devices", headers=headers)) == (401, 101, False)
    assert (await app.get("/devices", headers=new)).status_code == 200


async def test_nobody_is_served_who_may_be_blocked(
    app: httpx.AsyncClient, revoked: RevokedCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where revocations could not be read for long, a caller comes again later."""
    monkeypatch.setattr("hub.engine.revoked.STALE_AFTER_S", -1.0)
    assert code_of(await app.get("/devices", headers=of("7"))) == (503, 100, True)


async def tell(engine: Engine, user: str, notification_id: str) -> None:
    """Notify a user."""
    notification = Notification(now_ms(), notification_id, data=b"1")
    await notify(engine.ledger, engine.jobs, notification, [user])


def code_of(response: httpx.Response) -> tuple[int, int, bool]:
    """Status and error of a refusal."""
    error = response.json()["error"]
    assert set(error) == {"code", "message", "temporary"}
    return response.status_code, error["code"], error["temporary"]


async def test_an_app_lives_its_life(app: httpx.AsyncClient, engine: Engine) -> None:
    """Register, read, ack, open, list, go."""
    seven = of("7")
    answer = await app.put(f"/devices/{DEVICE}", json=RECORD, headers=seven)
    assert (answer.status_code, answer.json()) == (200, {"id": DEVICE, "registered": True})
    await tell(engine, "7", "n1")
    page = (await app.get("/inbox", params={"limit": 1, "order": "oldest"}, headers=seven)).json()
    assert (page["items"][0]["id"], page["head"], page["unread"]) == ("n1", 1, 1)
    place = {"epoch": page["epoch"], "offset": 1}
    assert (await app.post("/inbox/ack", json=place | {"device": DEVICE}, headers=seven)).json() == {
        "acked": 1
    }
    assert (await app.post("/inbox/opened", json={"id": "n1"}, headers=seven)).json() == {}
    assert (await app.post("/inbox/read", json=place, headers=seven)).json() == {"read": 1, "unread": 0}
    assert (
        await app.put(f"/devices/{DEVICE}/state", json={"state": "background"}, headers=seven)
    ).status_code == 200
    (device,) = (await app.get("/devices", headers=seven)).json()["devices"]
    assert (device["id"], device["acked"], device["owed"]) == (DEVICE, 1, 0)
    assert (await app.delete(f"/devices/{DEVICE}", headers=seven)).json() == {}
    events = [mark.event for mark in await engine.ledger.trace("7", "n1")]
    assert events == ["accepted", "proven", "opened", "read"]


async def test_nobody_touches_what_is_anothers(app: httpx.AsyncClient, engine: Engine) -> None:
    """Whatever an app names, it acts on its own user: what is another's stays as it was."""
    await app.put(f"/devices/{DEVICE}", json=RECORD, headers=of("7"))
    await tell(engine, "7", "n1")
    eight = of("8")
    epoch = (await app.get("/inbox", headers=of("7"))).json()["epoch"]
    place = {"epoch": epoch, "offset": 1}
    assert code_of(await app.delete(f"/devices/{DEVICE}", headers=eight)) == (404, 1001, False)
    assert code_of(await app.post("/inbox/ack", json=place | {"device": DEVICE}, headers=eight)) == (
        404,
        1001,
        False,
    )
    assert code_of(await app.post("/inbox/read", json=place, headers=eight)) == (416, 112, False)
    assert code_of(await app.post("/inbox/opened", json={"id": "n1"}, headers=eight)) == (404, 1009, False)
    assert (await app.get("/inbox", headers=eight)).json()["items"] == []
    assert (await app.get("/inbox", params={"user": "7"}, headers=eight)).json()["items"] == []
    assert (await app.get("/devices", headers=eight)).json() == {"devices": []}
    # The same device id under another user, with another token, is another device.
    other = RECORD | {"token": "token-of-another"}
    await app.put(f"/devices/{DEVICE}", json=other | {"user": "7"}, headers=eight)
    (device,) = (await app.get("/devices", headers=of("7"))).json()["devices"]
    assert (device["acked"], device["owed"]) == (0, 1)


async def test_possession_of_the_token_moves_a_phone(app: httpx.AsyncClient, engine: Engine) -> None:
    """Whoever registers the token of a phone has it; the former user's row is pushed to no more."""
    await app.put(f"/devices/{DEVICE}", json=RECORD, headers=of("7"))
    await app.put(f"/devices/{DEVICE}", json=RECORD, headers=of("8"))
    await tell(engine, "7", "n1")
    await tell(engine, "8", "n2")
    rows = (await engine.ledger.claim("recording:demo:sandbox", 10, "w")).rows
    assert [(row.user, row.device) for row in rows] == [("8", DEVICE)]


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer nonsense", "Basic YTpi", "Bearer " + "x" * 20_000],
    ids=["none", "empty", "no token", "another scheme", "too long"],
)
async def test_without_a_good_token_there_is_nothing(app: httpx.AsyncClient, authorization: str) -> None:
    """401, with a code that says so."""
    answer = await app.get("/devices", headers={"Authorization": authorization} if authorization else {})
    assert code_of(answer) == (401, 101, False)


async def test_an_expired_token_asks_for_another(app: httpx.AsyncClient) -> None:
    """109, as over the socket."""
    token = signed({"sub": "7", "exp": int(time.time()) - 60})
    assert code_of(await app.get("/devices", headers={"Authorization": f"Bearer {token}"})) == (
        401,
        109,
        False,
    )


async def test_the_anonymous_user_has_nothing(app: httpx.AsyncClient) -> None:
    """No inbox and no devices."""
    assert code_of(await app.get("/inbox", headers=of("")))[:2] == (403, 103)


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("PUT", "/devices/short", RECORD, (400, 107)),
        ("PUT", f"/devices/{DEVICE}", RECORD | {"app": "other"}, (400, 1003)),
        ("PUT", f"/devices/{DEVICE}", RECORD | {"token": ""}, (400, 1002)),
        ("PUT", f"/devices/{DEVICE}/state", {"state": "asleep"}, (400, 107)),
        ("POST", "/inbox/ack", {"epoch": "e", "offset": 1}, (409, 1000)),
        ("POST", "/inbox/ack", {"epoch": "e", "offset": -1, "device": DEVICE}, (400, 107)),
        ("POST", "/inbox/read", {"epoch": "e"}, (400, 107)),
        ("GET", "/inbox?limit=101", None, (400, 107)),
        ("GET", "/inbox?cursor=nonsense", None, (400, 107)),
        ("POST", "/inbox/opened", {"id": "x" * MAX_BODY_BYTES}, (413, 1006)),
    ],
)
async def test_bad_requests_are_told_what_is_wrong(
    app: httpx.AsyncClient, method: str, path: str, body: Any, expected: tuple[int, int]
) -> None:
    """Status and code of the contract; the body is not echoed."""
    answer = await app.request(method, path, json=body, headers=of("7"))
    assert code_of(answer)[:2] == expected


async def test_a_receipt_needs_no_token(app: httpx.AsyncClient, engine: Engine) -> None:
    """It acks for its own device up to its own offset, and marks opened; changed or late it does nothing."""
    await app.put(f"/devices/{DEVICE}", json=RECORD, headers=of("7"))
    await tell(engine, "7", "n1")
    await tell(engine, "7", "n2")
    epoch = (await engine.ledger.summary("7")).top.epoch
    secret = await engine.lanes.secret(RECEIPT_SECRET)
    good = sign_receipt(Receipt("7", DEVICE, epoch, 1, 1, now_ms() + 60_000), secret)
    late = sign_receipt(Receipt("7", DEVICE, epoch, 2, 2, now_ms() - 1), secret)
    forged = sign_receipt(Receipt("7", DEVICE, epoch, 2, 2, now_ms() + 60_000), b"x" * 32)
    for text in (late, forged, good[:-4] + "AAAA", "", "bm9uZQ"):
        answer = await app.post("/receipts", json={"receipt": text, "event": "delivered"})
        assert code_of(answer) == (403, 1013, False)
    for event in ("delivered", "opened"):
        assert (await app.post("/receipts", json={"receipt": good, "event": event})).status_code == 200
    (device,) = (await app.get("/devices", headers=of("7"))).json()["devices"]
    assert (device["acked"], device["owed"]) == (1, 1)
    assert [mark.event for mark in await engine.ledger.trace("7", "n1")] == ["accepted", "proven", "opened"]


async def test_pages_of_allowed_origins_may_call(app: httpx.AsyncClient) -> None:
    """Preflight and answer name them; others get no permission."""
    ask = {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT"}
    asked = await app.options(f"/devices/{DEVICE}", headers=ask)
    assert asked.headers["access-control-allow-origin"] == ORIGIN
    assert "PUT" in asked.headers["access-control-allow-methods"]
    answer = await app.get("/devices", headers=of("7") | {"Origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    foreign = await app.get("/devices", headers=of("7") | {"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers
