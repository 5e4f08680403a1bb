"""One attempt to push: what comes of it, what is mended on the spot, what is never done."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from hub.testing.simulators.apns import ApnsSimulator
from hub.testing.simulators.faults import Fault
from hub.testing.simulators.listening import Door
from tests.support.apns import (
    APP,
    MemoryShelf,
    WallClock,
    connections_of,
    device_token,
    lane_to,
    options_for,
    push_to,
    send_all,
    verdicts,
)
from tests.support.waiting import eventually
from workers.push import Outcome, Verdict
from workers.senders.apns import ApnsSender, CertificateCredentials
from workers.senders.apns.provider_token import ProviderToken
from workers.senders.port import Sender, SharedToken


async def test_it_is_a_sender() -> None:
    """The port is fulfilled, as the type checker sees it."""
    async with ApnsSimulator() as apns:
        sender: Sender = ApnsSender(options_for(apns), MemoryShelf())
        await sender.start()
        assert (await sender.send(push_to(1))).verdict is Verdict.ACCEPTED
        await sender.stop()


async def test_a_push_arrives_as_it_was_built() -> None:
    """Headers and body are the builder's, byte for byte; the id of the answer is kept."""
    async with ApnsSimulator(topics={APP}) as apns, lane_to(apns) as sender:
        push = push_to(1, collapse_id="c" * 32, priority="normal")
        outcome = await sender.send(push)
        (taken,) = apns.ledger.for_token(device_token(1))
        assert outcome == Outcome(Verdict.ACCEPTED, status=200, provider_id=push.push_id)
        assert taken.json["aps"]["alert"]["title"] == "Ann"
        assert dict(taken.headers) == {
            "apns-id": push.push_id,
            "apns-topic": APP,
            "apns-push-type": "alert",
            "apns-priority": "5",
            "apns-expiration": "0",
            "apns-collapse-id": "c" * 32,
        }


@pytest.mark.parametrize("kind", ["notify", "badge", "clear", "sync"])
async def test_every_kind_passes_the_rules_of_the_provider(kind: Any) -> None:
    """Push type, priority and body of each fit together."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        for badge in (None, 0, 3):
            outcome = await sender.send(push_to(1, kind=kind, badge=badge))
            assert outcome.verdict is Verdict.ACCEPTED


async def test_a_topic_other_than_the_apps_name() -> None:
    """Devices register by the name of the app, the provider knows the bundle id."""
    async with ApnsSimulator(topics={"com.other"}) as apns, lane_to(apns, topic="com.other") as sender:
        assert (await sender.send(push_to(1))).verdict is Verdict.ACCEPTED


async def test_a_certificate_in_place_of_a_key(tmp_path: Path) -> None:
    """No provider token is signed, and none is sent."""
    async with ApnsSimulator() as apns:
        issued = apns.authority.issue_client(APP)
        file = tmp_path / "app.pem"
        file.write_bytes(issued.certificate_pem + issued.key_pem)
        shelf = MemoryShelf()
        async with lane_to(apns, shelf, credentials=CertificateCredentials(str(file))) as sender:
            assert (await sender.send(push_to(1))).verdict is Verdict.ACCEPTED
        assert (apns.ledger.last.jwt_hash, shelf.replaced) == ("", 0)


# -- what is mended within the attempt --


async def test_an_expired_token_is_renewed_once_and_the_push_goes_again() -> None:
    """Many pushes at once meet it: one new token serves them all."""
    clock = WallClock(time.time_ns() // 1_000_000)
    shelf = MemoryShelf()
    async with ApnsSimulator(now_ms=clock) as apns, lane_to(apns, shelf, {"wall_ms": clock}) as sender:
        await sender.send(push_to(0))
        # The provider's clock runs ahead of ours, which is thirty minutes on.
        clock.pass_minutes(30)
        apns.script("*", [Fault.answer(403, "ExpiredProviderToken")] * 20)
        outcomes = await send_all(sender, [push_to(n) for n in range(1, 21)])
        assert verdicts(outcomes) == {Verdict.ACCEPTED}
        assert shelf.replaced == 2


async def test_a_fresh_token_called_expired_stops_the_lane() -> None:
    """It is the clock of this machine, which no retry mends."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        apns.script("*", [Fault.answer(403, "ExpiredProviderToken")], forever=True)
        outcome = await sender.send(push_to(1))
        assert (outcome.verdict, outcome.whole_lane) == (Verdict.STOP, True)
        assert apns.ledger.answers[403, "ExpiredProviderToken"] == 1


async def test_a_token_called_expired_twice_stops_the_lane() -> None:
    """One renewal and one repetition, not more."""
    clock = WallClock(time.time_ns() // 1_000_000)
    async with ApnsSimulator() as apns, lane_to(apns, None, {"wall_ms": clock}) as sender:
        await sender.send(push_to(0))
        clock.pass_minutes(30)
        apns.script("*", [Fault.answer(403, "ExpiredProviderToken")], forever=True)
        assert (await sender.send(push_to(1))).verdict is Verdict.STOP
        assert apns.ledger.answers[403, "ExpiredProviderToken"] == 2


async def test_too_many_tokens_keep_the_one_there_is() -> None:
    """The lane waits, and nothing is signed meanwhile."""
    clock = WallClock(time.time_ns() // 1_000_000)
    shelf = MemoryShelf()
    async with ApnsSimulator() as apns, lane_to(apns, shelf, {"wall_ms": clock}) as sender:
        apns.script("*", [Fault.answer(429, "TooManyProviderTokenUpdates")])
        outcome = await sender.send(push_to(1))
        assert (outcome.verdict, outcome.whole_lane) == (Verdict.LATER, True)
        assert outcome.retry_after_s is not None
        clock.pass_minutes(15)
        assert (await sender.send(push_to(1))).verdict is Verdict.ACCEPTED
        assert shelf.replaced == 1


async def test_workers_of_one_lane_use_one_token() -> None:
    """Three workers, five connections each at most, one token in all."""
    shelf = MemoryShelf()
    async with (
        ApnsSimulator(token_updates="key") as apns,
        lane_to(apns, shelf) as first,
        lane_to(apns, shelf) as second,
        lane_to(apns, shelf) as third,
    ):
        for sender in (first, second, third):
            assert (await sender.send(push_to(1))).verdict is Verdict.ACCEPTED
        assert (apns.connections_opened, apns.ledger.distinct_jwts(), shelf.replaced) == (3, 1, 1)


async def test_another_key_on_the_connection_takes_a_new_connection() -> None:
    """A connection belongs to the key of its first push."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        await sender.send(push_to(1))
        apns.script("*", [Fault.answer(403, "UnrelatedKeyIdInToken")])
        assert (await sender.send(push_to(2))).verdict is Verdict.ACCEPTED
        assert apns.connections_opened == 2


async def test_a_body_called_too_large_goes_again_without_content() -> None:
    """The app is told to come and ask; nothing is lost for its length."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        apns.script("*", [Fault.answer(413, "PayloadTooLarge")])
        assert (await sender.send(push_to(1, data={"a": 1}))).verdict is Verdict.ACCEPTED
        assert "data" not in apns.ledger.last.json
        assert apns.ledger.last.json["hub"]["offset"] == 7


async def test_a_short_form_called_too_large_is_dead() -> None:
    """There is nothing left to cut."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        apns.script("*", [Fault.answer(413, "PayloadTooLarge")], forever=True)
        assert (await sender.send(push_to(1))).verdict is Verdict.DEAD
        assert apns.ledger.answers[413, "PayloadTooLarge"] == 2


@pytest.mark.parametrize("headers", [{"apns-topic": "com.other"}, {"apns-push-type": "voip"}])
async def test_a_topic_that_a_message_chose_for_itself_stops_nobody_else(headers: dict[str, str]) -> None:
    """The lane's own topic is another matter: with that nothing can be sent."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        apns.script("*", [Fault.answer(400, "TopicDisallowed")], forever=True)
        outcome = await sender.send(push_to(1, overrides={"headers": headers}))
        assert (outcome.verdict, outcome.reason) == (Verdict.DEAD, "TopicDisallowed")
        assert not outcome.whole_lane
        assert (await sender.send(push_to(1))).verdict is Verdict.STOP


@pytest.mark.parametrize(
    ("status", "reason"),
    [(400, "BadDeviceToken"), (400, "DeviceTokenNotForTopic"), (410, "Unregistered")],
)
async def test_a_topic_that_a_message_chose_for_itself_costs_no_phone_its_token(
    status: int, reason: str
) -> None:
    """For the app's own topic it may be alive; however many such messages there are, nothing stops."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        apns.script("*", [Fault.answer(status, reason)] * 20)
        own = {"headers": {"apns-topic": "com.other"}}
        outcomes = [await sender.send(push_to(n, overrides=own)) for n in range(20)]
        assert {(each.verdict, each.reason) for each in outcomes} == {(Verdict.DEAD, reason)}
        assert (await sender.send(push_to(1))).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(("status", "reason"), [(503, "Shutdown"), (400, "IdleTimeout")])
async def test_a_connection_that_says_it_ends_is_left(status: int, reason: str) -> None:
    """The push is for later, and the next one goes over another connection."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        await sender.send(push_to(0))
        apns.script(device_token(1), [Fault.answer(status, reason)])
        assert (await sender.send(push_to(1))).verdict is Verdict.LATER
        assert (await sender.send(push_to(2))).verdict is Verdict.ACCEPTED
        assert apns.connections_opened == 2


async def test_the_providers_wish_to_wait_is_passed_on() -> None:
    """Retry-After, rare as it is here."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        apns.script("*", [Fault.answer(503, "ServiceUnavailable", retry_after_s=42)])
        outcome = await sender.send(push_to(1))
        assert (outcome.verdict, outcome.retry_after_s) == (Verdict.LATER, 42.0)


# -- whose token is dead --


async def test_a_dead_token_comes_with_its_time_of_death() -> None:
    """A registration after it survives."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        apns.unregister(device_token(1), at_ms=1_760_000_000_123)
        outcome = await sender.send(push_to(1))
        assert (outcome.verdict, outcome.gone_at_ms) == (Verdict.GONE, 1_760_000_000_123)


async def test_one_phone_with_too_many_pushes_slows_no_other() -> None:
    """429 TooManyRequests is about one device."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        apns.register(device_token(1), per_minute=1)
        outcomes = [await sender.send(push_to(number)) for number in (1, 1, 2)]
        assert [o.verdict for o in outcomes] == [Verdict.ACCEPTED, Verdict.LATER, Verdict.ACCEPTED]
        assert not outcomes[1].whole_lane


@pytest.mark.parametrize("token", ["", "a b", "ab\r\ncd", "../../3/device/ab", "ä", "a" * 600])
async def test_a_token_that_cannot_stand_in_a_path_is_not_sent(token: str) -> None:
    """It is dead, and no request of others is put at risk for it."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        outcome = await sender.send(push_to(1, token=token))
        assert outcome.verdict is Verdict.GONE
        assert apns.connections_opened == 0


async def test_when_most_tokens_are_called_bad_none_is_dropped() -> None:
    """A lane of sandbox tokens in production: after a handful it stops, and an accepted push heals it."""
    seconds = [1000.0]
    async with (
        ApnsSimulator(unknown_devices=False) as apns,
        lane_to(apns, None, {"monotonic": lambda: seconds[0]}) as sender,
    ):
        apns.register(device_token(500))
        outcomes = [await sender.send(push_to(number)) for number in range(20)]
        assert [o.verdict for o in outcomes] == [Verdict.GONE] * 4 + [Verdict.STOP] * 16
        assert outcomes[-1] == Outcome(
            Verdict.STOP,
            reason="BadDeviceToken",
            status=400,
            provider_id=outcomes[-1].provider_id,
            whole_lane=True,
        )
        seconds[0] += 61
        assert (await sender.send(push_to(1))).verdict is Verdict.STOP
        seconds[0] += 61
        assert (await sender.send(push_to(500))).verdict is Verdict.ACCEPTED
        assert (await sender.send(push_to(1))).verdict is Verdict.GONE


# -- the ends of an attempt --


async def test_what_cannot_be_encoded_is_dead() -> None:
    """A hub object beyond the limit can never be sent."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        outcome = await sender.send(push_to(1, hub={"id": "x" * 6000}))
        assert (outcome.verdict, outcome.status) == (Verdict.DEAD, 0)


async def test_cancelling_raises_and_harms_nothing() -> None:
    """The attempt is abandoned, the connection is as good as before."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        apns.script(device_token(1), [Fault.stall()])
        await sender.send(push_to(0))
        send = asyncio.create_task(sender.send(push_to(1)))
        (connection,) = connections_of(sender)
        await eventually(lambda: bool(connection.conn.streams))
        send.cancel()
        with pytest.raises(asyncio.CancelledError):
            await send
        assert connection.conn.streams == {}
        assert (await sender.send(push_to(2))).verdict is Verdict.ACCEPTED


async def test_stopping_ends_what_is_under_way_as_unknown() -> None:
    """At once, and with everything closed."""
    async with ApnsSimulator() as apns:
        sender = ApnsSender(options_for(apns), MemoryShelf())
        await sender.start()
        apns.script("*", [Fault.stall(accepted=True)], forever=True)
        sends = asyncio.create_task(send_all(sender, [push_to(n) for n in range(10)]))
        await apns.ledger.wait_for(10)
        async with asyncio.timeout(2):
            await sender.stop()
            outcomes = await sends
        assert {(o.verdict, o.unknown) for o in outcomes} == {(Verdict.LATER, True)}
        assert (await sender.send(push_to(1))).verdict is Verdict.LATER


async def test_stopping_while_connecting_does_not_wait_for_it() -> None:
    """Whoever waits for the connection hears that nothing was sent."""
    async with ApnsSimulator() as apns:
        await apns.set_door(Door.BLACK_HOLE)
        sender = ApnsSender(options_for(apns), MemoryShelf())
        await sender.start()
        send = asyncio.create_task(sender.send(push_to(1)))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(2):
            await sender.stop()
            outcome = await send
        assert (outcome.verdict, outcome.unknown) == (Verdict.LATER, False)


async def test_whatever_fails_inside_an_attempt_has_an_outcome(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The port promises one; the text of the failure stays out of the log."""

    def fail(*args: Any) -> None:
        raise RuntimeError("secret")

    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        monkeypatch.setattr(ProviderToken, "current", fail)
        outcome = await sender.send(push_to(1))
    assert (outcome.verdict, outcome.unknown) == (Verdict.LATER, False)
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


async def test_no_secret_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Neither on the way in nor when things go wrong, at whatever level."""
    caplog.set_level("DEBUG")
    shelf = MemoryShelf()
    async with ApnsSimulator() as apns, lane_to(apns, shelf) as sender:
        steps = [Fault.answer(400, "Whatever"), Fault.go_away(), Fault.reset(), Fault.close()]
        apns.script("*", steps)
        for number in range(6):
            await sender.send(push_to(number + 0xABCDEF))
        assert isinstance(shelf.token, SharedToken)
        assert shelf.token.text not in caplog.text
        assert "abcdef" not in caplog.text
