"""The simulated APNs as a client sees it: one wrong thing at a time, and what is answered."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from hub.testing.simulators import ApnsSimulator, Fault
from tests.hub.testing.simulators.apns.asking import ALERT, BODY, TOKEN, TOPIC, UUID, headers
from tests.support.http2_client import Answer, http2_client


@pytest.fixture
async def apns() -> AsyncIterator[ApnsSimulator]:
    """One that runs."""
    async with ApnsSimulator() as simulator:
        yield simulator


async def ask(apns: ApnsSimulator, body: bytes = BODY, **changed: Any) -> Answer:
    """One push on a connection of its own."""
    async with http2_client(apns.port, apns.client_context()) as client:
        return await client.ask(headers(apns, **changed), body)


async def test_a_good_push_is_accepted_with_its_id(apns: ApnsSimulator) -> None:
    """200 ends on its headers; the ledger has the push as it came."""
    answer = await ask(apns)
    assert (answer.status, answer.headers, answer.frames) == (200, {"apns-id": UUID}, [])
    push = apns.ledger.last
    assert (push.token, push.message_id, push.json, push.headers["apns-topic"]) == (TOKEN, UUID, ALERT, TOPIC)
    assert apns.violations == []


async def test_an_id_is_invented_where_none_is_given(apns: ApnsSimulator) -> None:
    """The answer names it, and so does the ledger."""
    answer = await ask(apns, without=("apns-id",))
    assert answer.status == 200
    assert answer.headers["apns-id"] == apns.ledger.last.message_id != UUID


def big(size: int) -> bytes:
    """A good body of exactly that many bytes."""
    empty = orjson.dumps({"aps": {"alert": ""}})
    return orjson.dumps({"aps": {"alert": "x" * (size - len(empty))}})


BACKGROUND = {"apns_push_type": "background", "apns_priority": "5"}
SILENT = orjson.dumps({"aps": {"content-available": 1}})
REFUSED: list[tuple[int, str, bytes, dict[str, Any]]] = [
    (405, "MethodNotAllowed", BODY, {"method": "GET"}),
    (404, "BadPath", BODY, {"path": "/2/device/abcd"}),
    (400, "MissingDeviceToken", BODY, {"path": "/3/device/"}),
    (400, "BadDeviceToken", BODY, {"path": "/3/device/not-hexadecimal"}),
    (400, "BadDeviceToken", BODY, {"path": "/3/device/abc"}),
    (400, "DuplicateHeaders", BODY, {"also": (("apns-id", UUID),)}),
    (400, "MissingTopic", BODY, {"without": ("apns-topic",)}),
    (400, "BadTopic", BODY, {"apns_push_type": "voip"}),
    (400, "InvalidPushType", BODY, {"without": ("apns-push-type",)}),
    (400, "InvalidPushType", BODY, {"apns_push_type": "letter"}),
    (400, "InvalidPushType", BODY, BACKGROUND),
    (400, "InvalidPushType", SILENT, {}),
    (400, "BadMessageId", BODY, {"apns_id": UUID.upper()}),
    (400, "BadMessageId", BODY, {"apns_id": "42"}),
    (400, "BadExpirationDate", BODY, {"apns_expiration": "soon"}),
    (400, "BadExpirationDate", BODY, {"apns_expiration": "-1"}),
    (400, "BadExpirationDate", BODY, {"apns_expiration": "1.5"}),
    (400, "BadPriority", BODY, {"apns_priority": "7"}),
    (400, "BadPriority", SILENT, {"apns_push_type": "background"}),
    (400, "BadCollapseId", BODY, {"apns_collapse_id": "x" * 65}),
    (413, "PayloadTooLarge", big(4097), {}),
    (400, "PayloadEmpty", b"", {}),
    (400, "PayloadEmpty", b"{}", {}),
    (400, "PayloadEmpty", b"[1]", {}),
    (400, "PayloadEmpty", b'{"aps":', {}),
    (400, "PayloadEmpty", b'{"aps":1}', {}),
    (403, "MissingProviderToken", BODY, {"without": ("authorization",)}),
    (403, "InvalidProviderToken", BODY, {"authorization": "bearer nonsense"}),
    (403, "InvalidProviderToken", BODY, {"authorization": "bearer a.b.c"}),
]


@pytest.mark.parametrize(("status", "reason", "body", "changed"), REFUSED)
async def test_what_is_wrong_is_named(
    apns: ApnsSimulator, status: int, reason: str, body: bytes, changed: dict[str, Any]
) -> None:
    """Status and reason of the table; one DATA frame; nothing in the ledger."""
    answer = await ask(apns, body, **changed)
    assert (answer.status, answer.json, len(answer.frames)) == (status, {"reason": reason}, 1)
    assert len(apns.ledger) == 0
    assert apns.ledger.answers == {(status, reason): 1}


ACCEPTED: list[tuple[bytes, dict[str, Any]]] = [
    (big(4096), {}),
    (BODY, {"apns_collapse_id": "x" * 64}),
    (BODY, {"without": ("apns-expiration", "apns-priority")}),
    (orjson.dumps({"aps": {"badge": 0}}), {"apns_priority": "5"}),
    (SILENT, BACKGROUND),
    (big(5120), {"apns_push_type": "voip", "apns_topic": TOPIC + ".voip"}),
    (BODY, {"apns_push_type": "complication", "apns_topic": TOPIC + ".complication"}),
    (BODY, {"apns_push_type": "liveactivity", "apns_topic": TOPIC + ".push-type.liveactivity"}),
    (BODY, {"path": "/3/device/" + "0F" * 50}),
]


@pytest.mark.parametrize(("body", "changed"), ACCEPTED)
async def test_what_is_just_right_is_accepted(
    apns: ApnsSimulator, body: bytes, changed: dict[str, Any]
) -> None:
    """The limits themselves are allowed."""
    assert (await ask(apns, body, **changed)).status == 200


async def test_a_token_lives_one_hour(apns: ApnsSimulator) -> None:
    """By the time it was issued at."""
    assert (await ask(apns, jwt=apns.key.token(time.time() - 3590))).status == 200
    answer = await ask(apns, jwt=apns.key.token(time.time() - 3610))
    assert answer.json == {"reason": "ExpiredProviderToken"}


async def test_a_connection_belongs_to_its_first_key(apns: ApnsSimulator) -> None:
    """Another key needs another connection."""
    other = apns.add_key()
    async with http2_client(apns.port, apns.client_context()) as client:
        assert (await client.ask(headers(apns), BODY)).status == 200
        refused = await client.ask(headers(apns, jwt=other.token(time.time())), BODY)
        assert (refused.status, refused.json["reason"]) == (403, "UnrelatedKeyIdInToken")
    assert (await ask(apns, jwt=other.token(time.time()))).status == 200


async def test_topics_are_limited_by_account_and_key() -> None:
    """TopicDisallowed for both."""
    async with ApnsSimulator(topics={TOPIC, "com.example.other"}) as apns:
        narrow = apns.add_key(topics=frozenset({"com.example.other"}))
        assert (await ask(apns)).status == 200
        assert (await ask(apns, apns_topic="com.example.third")).json == {"reason": "TopicDisallowed"}
        assert (await ask(apns, jwt=narrow.token(time.time()))).json == {"reason": "TopicDisallowed"}


@pytest.mark.parametrize("spelling", ["BadEnvironmentKeyIdInToken", "BadEnvironmentKeyInToken"])
async def test_a_key_of_the_other_environment_is_refused(spelling: str) -> None:
    """In the spelling that is asked for."""
    async with ApnsSimulator(environment="sandbox", wrong_environment_reason=spelling) as apns:
        key = apns.add_key(environment="production")
        answer = await ask(apns, jwt=key.token(time.time()))
        assert (answer.status, answer.json) == (403, {"reason": spelling})


async def test_a_dead_token_says_since_when_in_milliseconds(apns: ApnsSimulator) -> None:
    """For Unregistered and ExpiredToken alike; a new registration lives again."""
    apns.unregister(TOKEN, at_ms=1_700_000_000_123)
    gone = await ask(apns)
    assert (gone.status, gone.json) == (410, {"reason": "Unregistered", "timestamp": 1_700_000_000_123})
    apns.unregister(TOKEN, at_ms=5, reason="ExpiredToken")
    assert (await ask(apns)).json == {"reason": "ExpiredToken", "timestamp": 5}
    apns.register(TOKEN)
    assert (await ask(apns)).status == 200


async def test_a_device_belongs_to_a_topic_and_an_environment(apns: ApnsSimulator) -> None:
    """The wrong topic and the wrong environment have names of their own."""
    apns.register(TOKEN, "com.example.other")
    assert (await ask(apns)).json == {"reason": "DeviceTokenNotForTopic"}
    apns.register(TOKEN, TOPIC, "sandbox")
    assert (await ask(apns)).json == {"reason": "BadDeviceToken"}


async def test_unknown_devices_can_be_refused() -> None:
    """Only who was registered here lives."""
    async with ApnsSimulator(unknown_devices=False) as apns:
        assert (await ask(apns)).json == {"reason": "BadDeviceToken"}
        apns.register(TOKEN, TOPIC)
        assert (await ask(apns)).status == 200


async def test_one_device_can_be_told_too_much(apns: ApnsSimulator) -> None:
    """429 for this one, while another is served."""
    apns.register(TOKEN, per_minute=2)
    statuses = [(await ask(apns)).status for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert (await ask(apns, path="/3/device/cdcd")).status == 200


async def test_a_phone_that_is_away_keeps_the_newest_only(apns: ApnsSimulator) -> None:
    """What it receives on its return is one notification."""
    apns.register(TOKEN, TOPIC, online=False)
    later = str(int(time.time()) + 3600)
    for number in range(3):
        await ask(apns, orjson.dumps({"aps": {"alert": str(number)}}), apns_expiration=later)
    assert (len(apns.ledger), apns.device(TOKEN).received) == (3, [])
    apns.set_online(TOKEN, True)
    assert [push.json["aps"]["alert"] for push in apns.device(TOKEN).received] == ["2"]


async def test_a_client_certificate_stands_in_for_a_token(apns: ApnsSimulator) -> None:
    """Its topic is the only one, and need not be said."""
    context = apns.client_context(apns.authority.issue_client(TOPIC))
    async with http2_client(apns.port, context) as client:
        assert (await client.ask(headers(apns, without=("authorization",)), BODY)).status == 200
        unsaid = await client.ask(headers(apns, without=("authorization", "apns-topic")), BODY)
        assert unsaid.status == 200
        other = await client.ask(headers(apns, apns_topic="com.example.other"), BODY)
        assert other.json == {"reason": "TopicDisallowed"}
        where: dict[str, Any] = {"apns_push_type": "location", "apns_topic": TOPIC + ".location-query"}
        location = await client.ask(headers(apns, **where), BODY)
        assert (location.status, location.json) == (403, {"reason": "Forbidden"})


async def test_new_tokens_are_counted_per_connection() -> None:
    """A second one within 20 minutes is too many; the first stays good; the next connection starts anew."""
    clock = [int(time.time() * 1000)]
    async with ApnsSimulator(now_ms=lambda: clock[0]) as apns:
        first, second = (apns.key.token(clock[0] / 1000 - age_s) for age_s in (20, 10))
        async with http2_client(apns.port, apns.client_context()) as client:
            assert (await client.ask(headers(apns, jwt=first), BODY)).status == 200
            refused = await client.ask(headers(apns, jwt=second), BODY)
            assert (refused.status, refused.json) == (429, {"reason": "TooManyProviderTokenUpdates"})
            assert (await client.ask(headers(apns, jwt=first), BODY)).status == 200
            clock[0] += 1_201_000
            assert (await client.ask(headers(apns, jwt=second), BODY)).status == 200
        assert (await ask(apns, jwt=second)).status == 200
        assert apns.ledger.distinct_jwts() == 2


@pytest.mark.parametrize(("scope", "status"), [("key", 429), ("off", 200)])
async def test_the_scope_of_new_tokens_can_be_changed(scope: Any, status: int) -> None:
    """Per key they are counted over all connections; or not at all."""
    async with ApnsSimulator(token_updates=scope) as apns:
        assert (await ask(apns, jwt=apns.key.token(time.time() - 20))).status == 200
        assert (await ask(apns, jwt=apns.key.token(time.time() - 10))).status == status


async def test_one_stream_becomes_a_thousand_with_the_first_token() -> None:
    """A second SETTINGS says so; what came too early was refused, and may come again."""
    async with ApnsSimulator(streams="grow") as apns:
        async with http2_client(apns.port, apns.client_context()) as client:
            assert client.wire.remote_settings.max_concurrent_streams == 1
            apns.latency(0.05)
            first = client.begin(headers(apns), BODY)
            assert (await client.finished(first)).status == 200
            await client.until(lambda: client.wire.remote_settings.max_concurrent_streams == 1000)
            streams = [client.begin(headers(apns), BODY) for _ in range(100)]
            assert {answer.status for answer in await client.all_finished(streams)} == {200}
    assert apns.violations == []


async def test_a_wrong_token_does_not_raise_the_limit() -> None:
    """Only a valid one does."""
    async with (
        ApnsSimulator(streams="grow") as apns,
        http2_client(apns.port, apns.client_context()) as client,
    ):
        assert (await client.ask(headers(apns, authorization="bearer x"), BODY)).status == 403
        assert (await client.ask(headers(apns, authorization="bearer x"), BODY)).status == 403
        assert client.wire.remote_settings.max_concurrent_streams == 1


async def test_patience_ends_after_many_errors() -> None:
    """GOAWAY names the last reason; the answer still comes; 410 does not count."""
    async with ApnsSimulator(patience=2) as apns, http2_client(apns.port, apns.client_context()) as client:
        apns.unregister("dead")
        assert (await client.ask(headers(apns, "dead"), BODY)).status == 410
        for _ in range(2):
            assert (await client.ask(headers(apns, "zz"), BODY)).status == 400
        await client.until(lambda: client.closed)
        assert client.goaways == [(5, b'{"reason":"BadDeviceToken"}')]


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (Fault(message_id="other"), True),
        (Fault(message_id="absent"), False),
        (Fault.answer(400, "BadDeviceToken", message_id="absent"), False),
    ],
)
async def test_the_id_of_an_answer_can_be_another_or_none(
    apns: ApnsSimulator, fault: Fault, named: bool
) -> None:
    """Clients must not find their request by it."""
    apns.script(TOKEN, [fault])
    answer = await ask(apns)
    assert ("apns-id" in answer.headers) is named
    assert answer.headers.get("apns-id") != UUID


async def test_a_scripted_410_has_a_time_even_if_none_was_given(apns: ApnsSimulator) -> None:
    """As the real one always has."""
    apns.script(TOKEN, [Fault.answer(410, "Unregistered")])
    assert abs((await ask(apns)).json["timestamp"] - time.time() * 1000) < 60_000


ECHO = {"apns-id": UUID}
SCRIPTED = [
    (400, "IdleTimeout"),
    (403, "BadCertificate"),
    (403, "BadCertificateEnvironment"),
    (403, "Forbidden"),
    (429, "TooManyRequests"),
    (429, "TooManyProviderTokenUpdates"),
    (500, "InternalServerError"),
    (503, "ServiceUnavailable"),
    (503, "Shutdown"),
    (418, "SomethingNew"),
]


@pytest.mark.parametrize(("status", "reason"), SCRIPTED)
async def test_every_other_reason_can_be_scripted(apns: ApnsSimulator, status: int, reason: str) -> None:
    """In the same shape, for one request; ``accepted`` takes the push all the same."""
    apns.script(TOKEN, [Fault.answer(status, reason), Fault.answer(status, reason, accepted=True)])
    for accepted in (0, 1):
        answer = await ask(apns)
        assert (answer.status, answer.json, answer.headers) == (status, {"reason": reason}, ECHO)
        assert len(apns.ledger) == accepted
    assert (await ask(apns)).status == 200
