"""The simulated push service as a client sees it: who may send, what is asked of a message, what is read."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import http_ece  # type: ignore[import-untyped]
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hub.testing.simulators import Fault, Subscription, WebPushSimulator, new_vapid_keys
from hub.testing.simulators.webpush.vapid import from_base64url

KEYS = new_vapid_keys()


@pytest.fixture
async def service() -> AsyncIterator[WebPushSimulator]:
    """One that runs."""
    async with WebPushSimulator() as simulator:
        yield simulator


def encrypted(subscription: Subscription, text: bytes = b'{"a":1}') -> bytes:
    """The body for one browser."""
    keys = subscription.json()["keys"]
    sealed: bytes = http_ece.encrypt(
        text,
        private_key=ec.generate_private_key(ec.SECP256R1()),
        dh=from_base64url(keys["p256dh"]),
        auth_secret=from_base64url(keys["auth"]),
        version="aes128gcm",
    )
    return sealed


async def send(
    service: WebPushSimulator,
    subscription: Subscription,
    body: bytes | None = None,
    without: str = "",
    **changed: Any,
) -> httpx.Response:
    """One push, good but for what is changed."""
    headers = {
        "authorization": KEYS.authorization(service.url, time.time()),
        "ttl": "60",
        "content-encoding": "aes128gcm",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    headers.pop(without, None)
    async with httpx.AsyncClient(verify=service.authority.client_context()) as client:
        content = encrypted(subscription) if body is None else body
        return await client.post(subscription.endpoint, headers=headers, content=content)


async def test_a_push_reaches_the_browser_that_can_read_it(service: WebPushSimulator) -> None:
    """201 with its place; the ledger has the text."""
    subscription = service.subscribe(KEYS.public_key)
    response = await send(service, subscription, urgency="high", topic="news")
    assert response.status_code == 201
    push = service.ledger.last
    assert (push.json, push.token, push.message_id) == (
        {"a": 1},
        subscription.endpoint,
        response.headers["location"],
    )
    assert push.headers == {"ttl": "60", "urgency": "high", "topic": "news"}
    assert subscription.received == [push]


async def test_a_push_that_nobody_can_read_is_accepted_and_noted(service: WebPushSimulator) -> None:
    """The service cannot know; the browser drops it."""
    subscription, other = service.subscribe(), service.subscribe()
    assert (await send(service, subscription, encrypted(other))).status_code == 201
    assert (await send(service, subscription, b"short")).status_code == 201
    assert service.undecryptable == [1, 2]
    assert subscription.received == []


async def test_an_empty_push_is_a_message(service: WebPushSimulator) -> None:
    """It needs no encoding."""
    subscription = service.subscribe()
    assert (await send(service, subscription, b"", "content-encoding")).status_code == 201
    assert subscription.received[0].body == b""


REFUSED: list[tuple[int, dict[str, Any]]] = [
    (401, {"without": "authorization"}),
    (403, {"authorization": "Bearer x"}),
    (403, {"authorization": "vapid t=a.b.c, k=AAAA"}),
    (400, {"without": "ttl"}),
    (400, {"ttl": "-1"}),
    (400, {"urgency": "now"}),
    (400, {"topic": "x" * 33}),
    (400, {"topic": "no spaces"}),
    (400, {"content_encoding": "aesgcm"}),
    (413, {"body": b"x" * 4097}),
]


@pytest.mark.parametrize(("status", "changed"), REFUSED)
async def test_what_is_wrong_is_refused(
    service: WebPushSimulator, status: int, changed: dict[str, Any]
) -> None:
    """And nothing is in the ledger."""
    assert (await send(service, service.subscribe(), **changed)).status_code == status
    assert len(service.ledger) == 0


@pytest.mark.parametrize("wrong", ["audience", "expired", "too long", "other key"])
async def test_a_signature_is_for_this_service_and_for_a_day(service: WebPushSimulator, wrong: str) -> None:
    """By the holder of the key that the browser subscribed with."""
    now_s = time.time()
    authorization = {
        "audience": KEYS.authorization("https://elsewhere.example", now_s),
        "expired": KEYS.authorization(service.url, now_s - 7200),
        "too long": KEYS.authorization(service.url, now_s, 2 * 86_400),
        "other key": new_vapid_keys().authorization(service.url, now_s),
    }[wrong]
    subscription = service.subscribe(KEYS.public_key)
    assert (await send(service, subscription, authorization=authorization)).status_code == 403


async def test_a_subscription_ends_or_never_was(service: WebPushSimulator) -> None:
    """410 and 404."""
    subscription = service.subscribe()
    service.unsubscribe(subscription.endpoint)
    assert (await send(service, subscription)).status_code == 410
    service.forget(subscription.endpoint)
    assert (await send(service, subscription)).status_code == 404


async def test_answers_can_be_scripted_by_endpoint(service: WebPushSimulator) -> None:
    """With the wait that is asked for."""
    subscription = service.subscribe()
    service.script(subscription.endpoint, [Fault.answer(429, retry_after_s=5), Fault.answer(413)])
    limited = await send(service, subscription)
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "5")
    assert (await send(service, subscription)).status_code == 413
    assert (await send(service, subscription)).status_code == 201


async def test_a_redirect_points_where_it_is_told(service: WebPushSimulator) -> None:
    """Nobody should follow it."""
    service.redirect_to = "https://127.0.0.1:9/inside"
    response = await send(service, service.subscribe())
    assert (response.status_code, response.headers["location"]) == (307, "https://127.0.0.1:9/inside")
    assert len(service.ledger) == 0


async def test_what_waits_is_the_newest_of_its_topic(service: WebPushSimulator) -> None:
    """TTL 0 does not wait."""
    subscription = service.subscribe()
    subscription.online = False
    for topic, ttl in (("a", "60"), ("a", "60"), ("b", "0"), ("c", "60")):
        await send(service, subscription, topic=topic, ttl=ttl)
    subscription.come_online(service.now_ms())
    assert [push.number for push in subscription.received] == [2, 4]


async def test_a_subscription_is_not_shown(service: WebPushSimulator) -> None:
    """Its endpoint and keys are secrets."""
    subscription = service.subscribe()
    assert subscription.endpoint not in repr(subscription)
