"""The FCM sender against a simulated FCM that speaks the real protocol, over both transports.

Each defect that firebase-admin's own sending was seen to have is a test here that ours passes.
"""

from __future__ import annotations

import asyncio
import warnings
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal

import orjson
import pytest

from hub.testing.simulators.faults import Fault
from hub.testing.simulators.fcm import FcmSimulator, Quotas
from hub.testing.simulators.listening import Door
from tests.support.waiting import eventually
from tests.workers.payloads.pushes import TOKEN, push, target
from workers.push import Outcome, Push, Verdict
from workers.senders.fcm import FcmOptions, FcmSender
from workers.senders.port import BadCredentials

PROJECT = "demo-project"
Transport = Literal["fast", "sdk"]


@pytest.fixture(params=["fast", "sdk"])
def transport(request: pytest.FixtureRequest) -> Transport:
    """Every promise holds for both."""
    chosen: Transport = request.param
    return chosen


@pytest.fixture
async def fcm() -> AsyncIterator[FcmSimulator]:
    """FCM with TLS, without quotas."""
    async with FcmSimulator(project=PROJECT, quotas=Quotas.unlimited()) as simulator:
        yield simulator


def options(fcm: FcmSimulator, transport: Transport = "fast", **changes: Any) -> FcmOptions:
    """What leads a sender to the simulator."""
    given = FcmOptions(
        PROJECT,
        fcm.service_account(),
        url=fcm.url,
        ca_file=fcm.ca_file,
        transport=transport,
        max_connections=50,
    )
    return replace(given, **changes)


@asynccontextmanager
async def sender_of(given: FcmOptions) -> AsyncIterator[FcmSender]:
    """Started, and stopped whatever happens."""
    sender = FcmSender(given)
    await sender.start()
    try:
        yield sender
    finally:
        await sender.stop()


def to(token: str, **changes: Any) -> Push:
    """A push to one token."""
    return push(target=target(token=token), **changes)


async def verdicts(sender: FcmSender, pushes: list[Push]) -> Counter[tuple[Verdict, str]]:
    """Verdicts and reasons of many sends at once."""
    outcomes = await asyncio.gather(*(sender.send(one) for one in pushes))
    return Counter((outcome.verdict, outcome.reason) for outcome in outcomes)


ACCEPTED = (Verdict.ACCEPTED, "")


async def test_a_push_arrives_and_is_named(fcm: FcmSimulator, transport: Transport) -> None:
    """The provider's id is for the trace; neither a warning nor the token shows anywhere."""
    async with sender_of(options(fcm, transport)) as sender:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            outcome = await sender.send(push())
    assert outcome == Outcome(
        Verdict.ACCEPTED, status=200, provider_id=fcm.ledger.last.message_id.rpartition("/")[2]
    )
    assert fcm.ledger.last.token == TOKEN
    assert fcm.ledger.last.json["message"]["notification"] == {"title": "Ben", "body": "Lunch?"}
    assert fcm.violations == []


async def test_an_installation_id_is_a_target_too(fcm: FcmSimulator) -> None:
    """FCM's new name for a phone."""
    async with sender_of(options(fcm)) as sender:
        assert (await sender.send(to("cAbCdEfGhIjKlMnOpQrStU"))).verdict is Verdict.ACCEPTED
    assert fcm.ledger.last.json["message"]["fid"] == "cAbCdEfGhIjKlMnOpQrStU"


@pytest.mark.parametrize("platform", ["android", "ios", "web"])
@pytest.mark.parametrize("kind", ["notify", "badge", "clear", "sync"])
async def test_every_kind_of_push_is_valid_to_fcm(fcm: FcmSimulator, kind: Any, platform: str) -> None:
    """The simulator checks every field as FCM does."""
    async with sender_of(options(fcm)) as sender:
        phone = target(platform=platform)
        full = {
            "title": "a",
            "body": "b",
            "sound": "default",
            "thread": "t",
            "image": "https://example.org/i",
        }
        assert (await sender.send(push(kind=kind, target=phone, notification=full))).reason == ""
        assert (await sender.send(push(kind=kind, target=phone, badge=None, expires_at_s=0))).reason == ""


async def test_a_long_push_is_taken(fcm: FcmSimulator) -> None:
    """FCM refuses what is longer than its limit; ours never is."""
    async with sender_of(options(fcm)) as sender:
        long = push(notification={"title": "t", "body": "é" * 20_000}, data={"blob": "x" * 20_000})
        assert (await sender.send(long)).verdict is Verdict.ACCEPTED
    assert len(fcm.ledger.last.body) <= 4096


async def test_a_message_that_cannot_be_said_harms_no_other(fcm: FcmSimulator, transport: Transport) -> None:
    """Each is encoded alone, so the one at fault is a dead letter and the rest are sent."""
    async with sender_of(options(fcm, transport)) as sender:
        sent = await verdicts(sender, [to("a"), push(notification={"title": 5}), to("b")])
    assert sent[ACCEPTED] == 2
    [(verdict, reason)] = set(sent) - {ACCEPTED}
    assert verdict is Verdict.DEAD
    assert reason.startswith("message not valid: ")
    assert "title" in reason


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ("unregistered", Verdict.GONE),
        ("other sender", Verdict.GONE),
        ("broken apns", Verdict.LATER),
    ],
)
async def test_what_is_wrong_with_one_phone_is_about_that_phone(
    fcm: FcmSimulator, transport: Transport, state: Any, verdict: Verdict
) -> None:
    """Since when is not said: the clock of a worker, which may run ahead, is not asked for it."""
    fcm.register(TOKEN, state)
    async with sender_of(options(fcm, transport)) as sender:
        outcome = await sender.send(push())
        assert outcome.verdict is verdict
        assert not outcome.whole_lane
        assert outcome.gone_at_ms is None
        assert (await sender.send(to("another"))).verdict is Verdict.ACCEPTED


# Defect 1: discarded answers of retries hold streams until every send hangs.


async def test_five_hundred_503_and_then_all_is_well(fcm: FcmSimulator, transport: Transport) -> None:
    """The canary for leaked streams: nothing is retried, nothing held, the next burst passes."""
    async with sender_of(options(fcm, transport)) as sender:
        fcm.rate(1.0, Fault.answer(503, "UNAVAILABLE", retry_after_s=30))
        sent = await verdicts(sender, [to(f"t{n}") for n in range(500)])
        assert sent == {(Verdict.LATER, "UNAVAILABLE"): 500}
        assert fcm.ledger.answers[503, "UNAVAILABLE"] == 500
        fcm.heal()
        assert await verdicts(sender, [to(f"t{n}") for n in range(500)]) == {ACCEPTED: 500}
    assert fcm.violations == []


# Defect 2: Retry-After is ignored, or slept inside the call.


@pytest.mark.parametrize("status", [429, 503])
async def test_the_wish_to_wait_comes_back_at_once(
    fcm: FcmSimulator, transport: Transport, status: int
) -> None:
    """It is the dispatcher's to honour: the call itself asks once and does not sleep."""
    fcm.script(TOKEN, [Fault.answer(status, retry_after_s=1800)], forever=True)
    async with sender_of(options(fcm, transport, request_timeout_s=30)) as sender:
        async with asyncio.timeout(10):
            outcome = await sender.send(push())
        assert outcome.retry_after_s == 1800
        assert outcome.whole_lane == (status == 429)
    assert sum(fcm.ledger.answers.values()) == 1


async def test_a_moment_that_fcm_names_goes_by_fcms_clock(fcm: FcmSimulator, transport: Transport) -> None:
    """Over either wire, for which the header has to come along."""
    at = {"date": "Sun, 06 Nov 1994 08:49:30 GMT"}
    fault = Fault.answer(503, retry_after_s="Sun, 06 Nov 1994 08:49:37 GMT", headers=at)
    fcm.script(TOKEN, [fault])
    async with sender_of(options(fcm, transport)) as sender:
        assert (await sender.send(push())).retry_after_s == 7.0


async def test_the_quota_of_one_phone_slows_that_phone_alone() -> None:
    """And the quota of the project slows the lane."""
    async with FcmSimulator(project=PROJECT, quotas=Quotas(device_per_minute=1)) as fcm:
        async with sender_of(options(fcm)) as sender:
            assert (await sender.send(push())).verdict is Verdict.ACCEPTED
            assert (await sender.send(push())).whole_lane is False
    async with FcmSimulator(project=PROJECT, quotas=Quotas(project_per_minute=1)) as fcm:
        async with sender_of(options(fcm)) as sender:
            assert (await sender.send(to("a"))).verdict is Verdict.ACCEPTED
            outcome = await sender.send(to("b"))
    assert (outcome.verdict, outcome.reason, outcome.whole_lane) == (Verdict.LATER, "QUOTA_EXCEEDED", True)
    assert outcome.retry_after_s == 60


# Defect 3: any 401 costs two refreshes, for each message.


async def test_a_token_that_was_revoked_costs_one_renewal_for_all(
    fcm: FcmSimulator, transport: Transport
) -> None:
    """A hundred rejections at once: one new token, everything is sent."""
    async with sender_of(options(fcm, transport)) as sender:
        fcm.oauth.revoke()
        assert await verdicts(sender, [to(f"t{n}") for n in range(100)]) == {ACCEPTED: 100}
    assert fcm.oauth.requests == 2


async def test_a_new_token_that_is_rejected_too_stops_the_lane(
    fcm: FcmSimulator, transport: Transport
) -> None:
    """Two requests and one renewal, then neither."""
    fcm.script("*", [Fault.answer(401)], forever=True)
    async with sender_of(options(fcm, transport)) as sender:
        first = await sender.send(push())
        assert (first.verdict, first.status) == (Verdict.STOP, 401)
        assert fcm.ledger.answers.total() == 2
        assert fcm.oauth.requests == 2
        assert (await sender.send(push())).verdict is Verdict.STOP
        assert fcm.ledger.answers.total() == 3
        assert fcm.oauth.requests == 2


async def test_a_key_of_a_third_party_costs_no_renewal(fcm: FcmSimulator, transport: Transport) -> None:
    """One request each, and Android goes on."""
    fcm.register("iphone", "broken apns")
    async with sender_of(options(fcm, transport)) as sender:
        sent = await verdicts(sender, [to("iphone")] * 20 + [to("android")] * 20)
    assert sent == {(Verdict.LATER, "THIRD_PARTY_AUTH_ERROR"): 20, ACCEPTED: 20}
    assert fcm.oauth.requests == 1
    assert fcm.ledger.answers.total() == 40


# Defect 4: the access token is refreshed inside the event loop.


async def test_a_slow_token_endpoint_stops_neither_the_loop_nor_the_sends(
    fcm: FcmSimulator, transport: Transport
) -> None:
    """While it takes its time, hundreds of messages pass on the token that is held."""
    async with sender_of(options(fcm, transport)) as sender:
        fcm.oauth.script([Fault.stall()], forever=True)
        keeper = sender._tokens
        assert keeper is not None
        held = keeper.current()
        assert held is not None
        renewal = asyncio.create_task(keeper.replaced(held))
        for _ in range(5):
            assert await verdicts(sender, [to(f"t{n}") for n in range(100)]) == {ACCEPTED: 100}
        assert not renewal.done()
        renewal.cancel()


async def test_tokens_that_are_short_lived_are_renewed_before_anybody_sees_a_401(
    fcm: FcmSimulator, transport: Transport
) -> None:
    """Messages all through several lives of a token; FCM rejects none."""
    fcm.oauth.expires_in_s = 2
    async with sender_of(options(fcm, transport)) as sender:
        while fcm.oauth.issued < 3:
            assert await verdicts(sender, [to("a"), to("b")]) == {ACCEPTED: 2}
            await asyncio.sleep(0.01)
    assert {status for status, _ in fcm.ledger.answers} == {200}


# Defect 5: connections that end take everything with them, or hang.


async def test_a_goaway_leaves_nobody_waiting(fcm: FcmSimulator) -> None:
    """Over HTTP/2 what was under way is unknown, and the next push goes on a new connection."""
    async with sender_of(options(fcm, "sdk")) as sender:
        fcm.latency(0.05)
        fcm.script("t50", [Fault.go_away()])
        sent = await verdicts(sender, [to(f"t{n}") for n in range(100)])
        assert {verdict for verdict, _ in sent} <= {Verdict.ACCEPTED, Verdict.LATER}
        assert sent.total() == 100
        fcm.heal()
        assert await verdicts(sender, [to(f"u{n}") for n in range(100)]) == {ACCEPTED: 100}


async def test_one_connection_that_is_cut_takes_one_push_with_it(fcm: FcmSimulator) -> None:
    """The fast transport shares no connection, so one reset is one unknown outcome."""
    async with sender_of(options(fcm)) as sender:
        fcm.latency(0.02)
        fcm.script("t50", [Fault.reset(accepted=True)])
        pushes = [to(f"t{n}") for n in range(100)]
        outcomes = await asyncio.gather(*(sender.send(one) for one in pushes))
    lost = [n for n, outcome in enumerate(outcomes) if outcome.verdict is not Verdict.ACCEPTED]
    assert lost == [50]
    assert outcomes[50] == Outcome(Verdict.LATER, "connection lost", unknown=True)
    assert len(fcm.ledger.for_token("t50")) == 1


async def test_an_idle_connection_that_was_closed_is_not_held_against_anybody(fcm: FcmSimulator) -> None:
    """Connections end while nothing is sent; the next push opens another."""
    async with sender_of(options(fcm)) as sender:
        assert (await sender.send(push())).verdict is Verdict.ACCEPTED
        fcm.cut()
        await eventually(lambda: fcm.connections_open == 0)
        await asyncio.sleep(0.01)
        assert (await sender.send(push())).verdict is Verdict.ACCEPTED


async def test_the_library_finds_a_closed_connection_by_losing_one_push(fcm: FcmSimulator) -> None:
    """It says so, and the push after that one passes."""
    async with sender_of(options(fcm, "sdk")) as sender:
        assert (await sender.send(push())).verdict is Verdict.ACCEPTED
        fcm.cut()
        await eventually(lambda: fcm.connections_open == 0)
        assert (await sender.send(push())).verdict in (Verdict.LATER, Verdict.ACCEPTED)
        assert (await sender.send(push())).verdict is Verdict.ACCEPTED


async def test_a_refused_connection_is_known_to_have_carried_nothing(
    fcm: FcmSimulator, transport: Transport
) -> None:
    """So a retry can double nothing."""
    async with sender_of(options(fcm, transport)) as sender:
        await fcm.set_door(Door.REFUSING)
        assert await sender.send(push()) == Outcome(Verdict.LATER, "no connection")


async def test_a_provider_that_never_answers_costs_no_more_than_the_deadline(
    fcm: FcmSimulator, transport: Transport
) -> None:
    """And takes nothing with it: others are answered meanwhile, and afterwards."""
    fcm.script(TOKEN, [Fault.stall(accepted=True)], forever=True)
    async with sender_of(options(fcm, transport, request_timeout_s=1.0, max_connections=80)) as sender:
        for _ in range(2):
            sent = await verdicts(sender, [push()] * 60 + [to("well")] * 10)
            assert sent == {(Verdict.LATER, "timeout"): 60, ACCEPTED: 10}
        assert await verdicts(sender, [to("well")] * 20) == {ACCEPTED: 20}


# Defect 6: all traffic on one connection.


async def test_latency_is_met_with_more_connections(fcm: FcmSimulator) -> None:
    """As many as allowed and no more."""
    async with sender_of(options(fcm, max_connections=20)) as sender:
        fcm.latency(0.02)
        assert await verdicts(sender, [to(f"t{n}") for n in range(100)]) == {ACCEPTED: 100}
        assert 1 < fcm.connections_opened <= 20 + 1  # one more asked for the access token


# Callers, and the ends of things.


async def test_callers_that_are_cancelled_harm_nobody(fcm: FcmSimulator, transport: Transport) -> None:
    """Every tenth gives up; the rest arrive, once each, and no stream or connection is lost."""
    async with sender_of(options(fcm, transport)) as sender:
        fcm.latency(0.05)
        for _ in range(5):
            # Whoever gives up while the library connects leaves its socket to the garbage collector.
            assert (await sender.send(to("next"))).verdict is Verdict.ACCEPTED
            tasks = [asyncio.create_task(sender.send(to(f"t{n}"))) for n in range(100)]
            await asyncio.sleep(0.02)
            for task in tasks[::10]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            cancelled = [n for n, result in enumerate(results) if isinstance(result, asyncio.CancelledError)]
            assert cancelled == list(range(0, 100, 10))
            kept = [r.verdict for r in results if isinstance(r, Outcome)]
            assert kept == [Verdict.ACCEPTED] * 90
    assert all(len(fcm.ledger.for_token(f"t{n}")) == 5 for n in range(100) if n % 10)


async def test_stopping_ends_what_is_under_way_as_unknown(fcm: FcmSimulator, transport: Transport) -> None:
    """Callers get an outcome, not a cancellation, even those that wait for a connection."""
    fcm.script("*", [Fault.stall()], forever=True)
    async with sender_of(options(fcm, transport, max_connections=5)) as sender:
        waiting = [asyncio.create_task(sender.send(to(f"t{n}"))) for n in range(20)]
        await eventually(lambda: fcm.connections_open > 0)
        await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            await sender.stop()
            outcomes = await asyncio.gather(*waiting)
        assert set(outcomes) == {Outcome(Verdict.LATER, "stopped", unknown=True)}
        assert (await sender.send(push())).verdict is Verdict.LATER


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[]", b'"x"'])
async def test_a_success_that_names_no_message_is_no_success(
    fcm: FcmSimulator, transport: Transport, body: bytes
) -> None:
    """Some box on the way answered; whether FCM took it is unknown."""
    fcm.script(TOKEN, [Fault(body=body)])
    async with sender_of(options(fcm, transport)) as sender:
        outcome = await sender.send(push())
    assert outcome == Outcome(Verdict.LATER, "unreadable answer", 200, unknown=True)


async def test_the_wrong_project_empties_no_registry(fcm: FcmSimulator, transport: Transport) -> None:
    """A 404 without FCM's code is about the address, never about a token."""
    fcm.script("*", [Fault.answer(404)], forever=True)
    async with sender_of(options(fcm, transport)) as sender:
        assert await verdicts(sender, [to(f"t{n}") for n in range(5)]) == {(Verdict.STOP, "NOT_FOUND"): 5}


async def test_tokens_of_another_sender_stop_the_lane_before_they_are_all_dropped(fcm: FcmSimulator) -> None:
    """Unless messages have passed: then the project is right and each token is judged alone."""
    fcm.rate(1.0, Fault.answer(403, "SENDER_ID_MISMATCH"))
    async with sender_of(options(fcm)) as sender:
        found = [(await sender.send(to(f"t{n}"))).verdict for n in range(12)]
        assert found == [Verdict.GONE] * 9 + [Verdict.STOP] * 3
        fcm.heal()
        assert (await sender.send(push())).verdict is Verdict.ACCEPTED
        fcm.rate(1.0, Fault.answer(403, "SENDER_ID_MISMATCH"))
        assert (await sender.send(push())).verdict is Verdict.GONE


# Starting.


async def test_a_service_account_that_google_refuses_fails_the_start_by_name(fcm: FcmSimulator) -> None:
    """Here and not at the first push."""
    stranger = FcmSimulator(project=PROJECT).account.file(fcm.token_uri)
    sender = FcmSender(options(fcm, credentials=stranger))
    with pytest.raises(BadCredentials, match=r"demo-project.*google refuses the service account"):
        await sender.start()
    await sender.stop()


async def test_a_ca_that_cannot_be_read_fails_the_start_by_name(fcm: FcmSimulator, tmp_path: Any) -> None:
    """With its path."""
    with pytest.raises(BadCredentials, match=r"ca_file .*none\.pem"):
        await FcmSender(options(fcm, ca_file=tmp_path / "none.pem")).start()


async def test_a_token_endpoint_that_is_down_delays_sends_and_fails_nothing(
    fcm: FcmSimulator, transport: Transport
) -> None:
    """The lane waits as a whole, and goes on by itself."""
    fcm.oauth.script([Fault.close()], forever=True)
    async with sender_of(options(fcm, transport)) as sender:
        waiting = await sender.send(push())
        assert (waiting.verdict, waiting.whole_lane) == (Verdict.LATER, True)
        assert waiting.retry_after_s is not None
        fcm.oauth.faults.clear()
        await eventually(lambda: fcm.oauth.issued == 1, timeout_s=10)
        await asyncio.sleep(0.05)
        assert (await sender.send(push())).verdict is Verdict.ACCEPTED


async def test_a_sender_that_was_not_started_says_so() -> None:
    """An outcome, never an exception."""
    sender = FcmSender(FcmOptions(PROJECT, {}))
    assert (await sender.send(push())).reason == "not started"
    await sender.stop()


async def test_no_outcome_and_no_log_names_a_token(
    fcm: FcmSimulator, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever FCM says in its prose."""
    said = orjson.dumps({"error": {"status": "INVALID_ARGUMENT", "message": f"bad token {TOKEN}"}})
    steps = [Fault.answer(status, body=said) for status in (400, 403, 404, 429, 500)]
    fcm.script(TOKEN, [*steps, Fault.reset()])
    with caplog.at_level("DEBUG", logger="workers"):
        async with sender_of(options(fcm, transport)) as sender:
            outcomes = [await sender.send(push()) for _ in range(6)]
    assert TOKEN not in repr(outcomes)
    assert TOKEN not in caplog.text
