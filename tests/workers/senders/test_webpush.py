"""The Web Push sender against a simulated push service, which decrypts what browsers would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest

from hub.testing.simulators.faults import Fault
from hub.testing.simulators.listening import Door
from hub.testing.simulators.webpush import Subscription, VapidKeys, WebPushSimulator, new_vapid_keys
from tests.support.waiting import eventually
from tests.workers.payloads.pushes import HUB, TAG, push, target
from workers.push import Outcome, Push, Verdict
from workers.senders.port import BadCredentials
from workers.senders.webpush import WebPushOptions, WebPushSender, outcome_of

ACCEPTED, LATER, GONE, DEAD, STOP = (
    Verdict.ACCEPTED,
    Verdict.LATER,
    Verdict.GONE,
    Verdict.DEAD,
    Verdict.STOP,
)


@pytest.fixture
def keys() -> VapidKeys:
    """Those of our application server."""
    return new_vapid_keys()


@pytest.fixture
async def service() -> AsyncIterator[WebPushSimulator]:
    """The push service of a browser."""
    async with WebPushSimulator() as simulator:
        yield simulator


def options(service: WebPushSimulator, keys: VapidKeys, **changes: Any) -> WebPushOptions:
    """What leads a sender to the simulator."""
    given = WebPushOptions(
        "shop",
        keys.private_pem,
        "mailto:ops@example.com",
        trusted_origins=(service.url,),
        ca_file=service.ca_file,
    )
    return replace(given, **changes)


@asynccontextmanager
async def sender_of(given: WebPushOptions) -> AsyncIterator[WebPushSender]:
    """Started, and stopped whatever happens."""
    sender = WebPushSender(given)
    await sender.start()
    try:
        yield sender
    finally:
        await sender.stop()


def to(subscription: Subscription | dict[str, Any], **changes: Any) -> Push:
    """A push to one browser."""
    held = subscription if isinstance(subscription, dict) else subscription.json()
    browser = target(provider="webpush", platform="web", token="", subscription=held)
    return push(target=browser, **changes)


async def test_a_push_arrives_encrypted_and_signed(service: WebPushSimulator, keys: VapidKeys) -> None:
    """The browser reads what we said; headers tell the service how long to keep it."""
    browser = service.subscribe(keys.public_key)
    async with sender_of(options(service, keys)) as sender:
        assert await sender.send(to(browser, expires_at_s=0, ttl_s=0)) == Outcome(ACCEPTED, status=201)
        assert await sender.send(to(browser, kind="badge")) == Outcome(ACCEPTED, status=201)
    said, badge = service.ledger
    assert said.json["hub"] == HUB
    assert said.json["notification"] == {"title": "Ben", "body": "Lunch?"}
    assert dict(said.headers) == {"ttl": "0", "urgency": "high", "topic": TAG}
    assert badge.headers["urgency"] == "low"
    assert service.undecryptable == []
    assert service.ledger.connections() == 1


async def test_the_longest_push_is_taken(service: WebPushSimulator, keys: VapidKeys) -> None:
    """Encryption adds to it, and 4096 bytes is what a service must take."""
    long = {"title": "t", "body": "é" * 20_000}
    async with sender_of(options(service, keys)) as sender:
        outcome = await sender.send(to(service.subscribe(), notification=long))
    assert outcome.verdict is ACCEPTED
    assert 3980 <= len(service.ledger.last.body) <= 3993


@pytest.mark.parametrize("ended", ["unsubscribe", "forget"])
async def test_a_subscription_that_ended_is_gone(
    service: WebPushSimulator, keys: VapidKeys, ended: str
) -> None:
    """Since when is not said: the clock of a worker, which may run ahead, is not asked for it."""
    browser = service.subscribe()
    getattr(service, ended)(browser.endpoint)
    async with sender_of(options(service, keys)) as sender:
        outcome = await sender.send(to(browser))
    assert outcome.verdict is GONE
    assert outcome.gone_at_ms is None


async def test_what_is_too_long_is_sent_once_more_without_content(
    service: WebPushSimulator, keys: VapidKeys
) -> None:
    """A service may take less than others; twice too long is a dead letter."""
    browser = service.subscribe()
    async with sender_of(options(service, keys, generic_text="News")) as sender:
        service.script(browser.endpoint, [Fault.answer(413)])
        assert (await sender.send(to(browser))).verdict is ACCEPTED
        assert orjson.loads(service.ledger.last.body)["notification"] == {"body": "News"}
        service.script(browser.endpoint, [Fault.answer(413)] * 2)
        assert (await sender.send(to(browser))).verdict is DEAD
    assert service.ledger.count == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Outcome(ACCEPTED, status=200)),
        (201, Outcome(ACCEPTED, status=201)),
        (202, Outcome(ACCEPTED, status=202)),
        (204, Outcome(ACCEPTED, status=204)),
        (307, Outcome(DEAD, "Temporary Redirect", 307)),
        (400, Outcome(DEAD, "Bad Request", 400)),
        (401, Outcome(DEAD, "Unauthorized", 401)),
        (403, Outcome(DEAD, "Forbidden", 403)),
        (404, Outcome(GONE, "Not Found", 404)),
        (406, Outcome(LATER, "Not Acceptable", 406, retry_after_s=9.0)),
        (410, Outcome(GONE, "Gone", 410)),
        (413, Outcome(DEAD, "Request Entity Too Large", 413)),
        (429, Outcome(LATER, "Too Many Requests", 429, retry_after_s=9.0)),
        (500, Outcome(LATER, "Internal Server Error", 500, retry_after_s=9.0)),
        (502, Outcome(LATER, "Bad Gateway", 502, unknown=True, retry_after_s=9.0)),
        (503, Outcome(LATER, "Service Unavailable", 503, retry_after_s=9.0)),
        (599, Outcome(LATER, "unknown status", 599, retry_after_s=9.0)),
    ],
)
def test_each_status_has_one_meaning(status: int, expected: Outcome) -> None:
    """The whole table."""
    assert outcome_of(status, "", 9.0) == expected


async def test_the_wish_to_wait_and_the_services_own_word_are_handed_on(
    service: WebPushSimulator, keys: VapidKeys
) -> None:
    """Both forms of the header; of the body a plain word, never prose that may quote the endpoint."""
    browser = service.subscribe()
    prose = orjson.dumps({"reason": f"no such {browser.endpoint}"})
    service.script(
        browser.endpoint,
        [
            Fault.answer(429, "slow down", retry_after_s=77),
            Fault.answer(503, body=prose, retry_after_s="Sun, 06 Nov 1994 08:49:37 GMT"),
            Fault.answer(
                503,
                retry_after_s="Sun, 06 Nov 1994 08:49:37 GMT",
                headers={"date": "Sun, 06 Nov 1994 08:49:30 GMT"},
            ),
        ],
    )
    async with sender_of(options(service, keys)) as sender:
        assert await sender.send(to(browser)) == Outcome(LATER, "slow down", 429, retry_after_s=77.0)
        expected = Outcome(LATER, "Service Unavailable", 503, retry_after_s=0.0)
        assert await sender.send(to(browser)) == expected
        assert (await sender.send(to(browser))).retry_after_s == 7.0


async def test_a_redirect_is_not_followed(service: WebPushSimulator, keys: VapidKeys) -> None:
    """Not even to another address that we would trust."""
    browser = service.subscribe()
    async with WebPushSimulator(authority=service.authority) as other:
        service.redirect_to = other.url + "/push/elsewhere"
        both = options(service, keys, trusted_origins=(service.url, other.url))
        async with sender_of(both) as sender:
            assert (await sender.send(to(browser))).verdict is DEAD
        assert other.connections_opened == 0


async def test_an_endpoint_that_leads_elsewhere_is_never_connected_to(
    service: WebPushSimulator, keys: VapidKeys
) -> None:
    """Neither by a host that is not on the list, nor by a name on it that stands for the inside."""
    browser = service.subscribe().json()
    async with sender_of(options(service, keys, trusted_origins=())) as sender:
        assert await sender.send(to(browser)) == Outcome(DEAD, "endpoint has a port of its own")
        browser["endpoint"] = "https://evil.example/x"
        assert await sender.send(to(browser)) == Outcome(DEAD, "push service is not allowed")
    inside = options(service, keys, trusted_origins=(), allowed_hosts=("localhost",))
    async with sender_of(inside) as sender:
        browser["endpoint"] = "https://localhost/x"
        assert await sender.send(to(browser)) == Outcome(LATER, "address is not public")
    assert service.connections_opened == 0


async def test_a_service_is_believed_only_with_a_certificate(
    service: WebPushSimulator, keys: VapidKeys
) -> None:
    """Without its authority the simulator is a stranger."""
    async with sender_of(options(service, keys, ca_file=None)) as sender:
        assert await sender.send(to(service.subscribe())) == Outcome(LATER, "no connection")


@pytest.mark.parametrize(
    "broken",
    [
        {"p256dh": "AAAA", "auth": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"p256dh": "B" * 87, "auth": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"p256dh": "not base64!", "auth": "x"},
        {"p256dh": None, "auth": None},
        {"p256dh": 5, "auth": 5},
        {},
    ],
)
async def test_keys_that_encrypt_nothing_make_a_subscription_worthless(
    service: WebPushSimulator, keys: VapidKeys, broken: dict[str, Any]
) -> None:
    """Nothing can ever be sent to it, so it is dropped."""
    held = {**service.subscribe().json(), "keys": broken}
    async with sender_of(options(service, keys)) as sender:
        outcome = await sender.send(to(held))
    assert (outcome.verdict, outcome.reason) == (GONE, "subscription keys not valid")
    assert service.connections_opened == 0


async def test_a_target_without_a_subscription_is_a_dead_letter(
    service: WebPushSimulator, keys: VapidKeys
) -> None:
    """As is a push that JSON cannot express."""
    async with sender_of(options(service, keys)) as sender:
        assert await sender.send(push()) == Outcome(DEAD, "no subscription")
        outcome = await sender.send(to(service.subscribe(), data={"x": object()}))
    assert outcome.verdict is DEAD
    assert outcome.reason.startswith("message not valid")


async def test_a_subscription_of_another_key_harms_only_itself(
    service: WebPushSimulator, keys: VapidKeys
) -> None:
    """Anybody can register one; but if nothing else was ever accepted, the key is the wrong one."""
    stranger = service.subscribe(new_vapid_keys().public_key)
    async with sender_of(options(service, keys)) as sender:
        found = [(await sender.send(to(stranger))).verdict for _ in range(11)]
        assert found == [DEAD] * 9 + [STOP] * 2
        assert (await sender.send(to(service.subscribe(keys.public_key)))).verdict is ACCEPTED
        assert (await sender.send(to(stranger))).verdict is DEAD


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.reset(accepted=True), Outcome(LATER, "connection lost", unknown=True)),
        (Fault.stall(accepted=True), Outcome(LATER, "timeout", unknown=True)),
    ],
)
async def test_no_answer_is_an_unknown_outcome(
    service: WebPushSimulator, keys: VapidKeys, fault: Fault, expected: Outcome
) -> None:
    """The browser may show it all the same; others are answered meanwhile."""
    silent, well = service.subscribe(), service.subscribe()
    service.script(silent.endpoint, [fault])
    async with sender_of(options(service, keys, request_timeout_s=0.5)) as sender:
        lost, sent = await asyncio.gather(sender.send(to(silent)), sender.send(to(well)))
    assert (lost, sent.verdict) == (expected, ACCEPTED)


async def test_a_refused_connection_is_known_to_have_carried_nothing(
    service: WebPushSimulator, keys: VapidKeys
) -> None:
    """So a retry can double nothing."""
    browser = service.subscribe()
    await service.set_door(Door.REFUSING)
    async with sender_of(options(service, keys)) as sender:
        assert await sender.send(to(browser)) == Outcome(LATER, "no connection")


async def test_callers_that_are_cancelled_harm_nobody(service: WebPushSimulator, keys: VapidKeys) -> None:
    """Every fifth gives up; the rest arrive, once each."""
    browsers = [service.subscribe() for _ in range(50)]
    service.latency(0.05)
    async with sender_of(options(service, keys)) as sender:
        tasks = [asyncio.create_task(sender.send(to(browser))) for browser in browsers]
        await asyncio.sleep(0.02)
        for task in tasks[::5]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [r.verdict for r in results if isinstance(r, Outcome)] == [ACCEPTED] * 40
    counts = [len(service.ledger.for_token(browser.endpoint)) for browser in browsers]
    assert all(count == 1 for number, count in enumerate(counts) if number % 5)


async def test_stopping_ends_what_is_under_way_as_unknown(service: WebPushSimulator, keys: VapidKeys) -> None:
    """Callers get an outcome, not a cancellation."""
    browser = service.subscribe()
    service.script(browser.endpoint, [Fault.stall()], forever=True)
    async with sender_of(options(service, keys)) as sender:
        waiting = [asyncio.create_task(sender.send(to(browser))) for _ in range(5)]
        await eventually(lambda: service.connections_open == 5)
        await sender.stop()
        assert set(await asyncio.gather(*waiting)) == {Outcome(LATER, "stopped", unknown=True)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"credentials": "/nowhere/vapid.pem"}, "credentials file '/nowhere/vapid.pem' does not exist"),
        ({"subject": ""}, "subject must be a mailto: or https: address"),
        ({"ca_file": "/nowhere/ca.pem"}, "ca_file '/nowhere/ca.pem' is no readable PEM file"),
    ],
)
async def test_what_cannot_work_fails_the_start_by_name(
    service: WebPushSimulator, keys: VapidKeys, changes: dict[str, Any], said: str
) -> None:
    """The app, the setting, and what is wrong with it."""
    sender = WebPushSender(options(service, keys, **changes))
    with pytest.raises(BadCredentials) as refused:
        await sender.start()
    assert str(refused.value) == f"push app 'shop' (webpush): {said}"
    await sender.stop()


async def test_no_outcome_and_no_log_names_an_endpoint(
    service: WebPushSimulator, keys: VapidKeys, caplog: pytest.LogCaptureFixture
) -> None:
    """Who knows an endpoint can fill it; options do not show the key either."""
    browser = service.subscribe()
    service.script(browser.endpoint, [Fault.answer(400), Fault.answer(503), Fault.reset()])
    given = options(service, keys)
    with caplog.at_level("DEBUG", logger="workers"):
        async with sender_of(given) as sender:
            outcomes = [await sender.send(to(browser)) for _ in range(4)]
    path = browser.endpoint.rpartition("/")[2]
    assert path not in repr(outcomes) + caplog.text
    assert keys.private_pem not in repr(given)
