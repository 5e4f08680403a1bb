"""Every situation in which the library by itself loses, doubles or hangs requests; ours gets through each.

Numbered as they were found, in aioapns 4.0 with its own protocol class.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from hub.testing.simulators.apns import ApnsSimulator
from hub.testing.simulators.faults import Fault
from tests.support.apns import connections_of, device_token, lane_to, push_to, send_all, verdicts
from tests.support.waiting import eventually
from workers.push import Verdict


async def test_1_more_bytes_at_once_than_the_window_takes() -> None:
    """A thousand small pushes on one connection, then two hundred long ones: none leaks a stream."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        small = await send_all(sender, [push_to(n) for n in range(1000)])
        long = await send_all(sender, [push_to(n, data="d" * 3400) for n in range(200)])
        assert verdicts(small + long) == {Verdict.ACCEPTED}
        assert apns.ledger.count == 1200
        assert apns.connections_opened == 1
        assert apns.violations == []


async def test_2_more_error_bodies_than_a_window_holds() -> None:
    """Bodies are acknowledged, so that the provider can go on refusing for ever."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        apns.script("*", [Fault.answer(400, "BadCollapseId")], forever=True)
        for _ in range(5):
            outcomes = await send_all(sender, [push_to(n) for n in range(500)])
            assert verdicts(outcomes) == {Verdict.DEAD}
        assert apns.connections_opened == 1


async def test_3_a_caller_leaves_and_the_answer_comes_later() -> None:
    """The late answer is ignored; the others are answered on the same connection and sent once."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        await sender.send(push_to(0))
        apns.latency(0.15)
        leaving = asyncio.create_task(sender.send(push_to(1)))
        others = asyncio.create_task(send_all(sender, [push_to(n) for n in range(2, 22)]))
        await apns.ledger.wait_for(22)
        leaving.cancel()
        assert verdicts(await others) == {Verdict.ACCEPTED}
        assert leaving.cancelled()
        assert verdicts([await sender.send(push_to(30))]) == {Verdict.ACCEPTED}
        assert (apns.connections_opened, apns.ledger.duplicates()) == (1, {})
        assert apns.violations == []


async def test_4_a_caller_leaves_and_then_the_connection_drops() -> None:
    """Everybody else hears of it at once, and that the provider may have taken it."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        await sender.send(push_to(0))
        apns.script("*", [Fault.stall(accepted=True)], forever=True)
        leaving = asyncio.create_task(sender.send(push_to(1)))
        others = asyncio.create_task(send_all(sender, [push_to(n) for n in range(2, 22)]))
        await apns.ledger.wait_for(22)
        leaving.cancel()
        apns.cut()
        async with asyncio.timeout(2):
            outcomes = await others
        assert verdicts(outcomes) == {Verdict.LATER}
        assert all(outcome.unknown for outcome in outcomes)


async def test_5_the_server_raises_its_streams_after_the_first_request() -> None:
    """One stream until a valid token was seen, then a thousand: two hundred go in parallel."""
    async with ApnsSimulator(streams="grow") as apns, lane_to(apns) as sender:
        apns.latency(0.05)
        began = time.monotonic()
        outcomes = await send_all(sender, [push_to(n) for n in range(200)])
        took_s = time.monotonic() - began
        assert verdicts(outcomes) == {Verdict.ACCEPTED}
        assert (apns.connections_opened, apns.violations) == (1, [])
        # One after another they would take ten seconds, on the two slots of the library five.
        assert took_s < 3


@pytest.mark.parametrize(
    ("fault", "verdict", "unknown"),
    [
        (Fault.reset(accepted=True), Verdict.LATER, True),
        (Fault.answer(400, "BadPriority", frames="none"), Verdict.DEAD, False),
        (Fault.answer(503, "ServiceUnavailable", frames="none"), Verdict.LATER, False),
        (Fault(message_id="absent"), Verdict.ACCEPTED, False),
        (Fault.answer(410, "Unregistered", message_id="absent"), Verdict.GONE, False),
    ],
    ids=["reset", "400 without a body", "503 without a body", "200 without an id", "410 without an id"],
)
async def test_6_answers_that_lack_something_still_end_the_request(
    fault: Fault, verdict: Verdict, unknown: bool
) -> None:
    """The stream has ended, so the request has; who it was follows from the stream."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        apns.script(device_token(1), [fault])
        async with asyncio.timeout(3):
            outcome = await sender.send(push_to(1))
        assert (outcome.verdict, outcome.unknown) == (verdict, unknown)
        assert verdicts([await sender.send(push_to(2))]) == {Verdict.ACCEPTED}
        assert apns.connections_opened == 1


async def test_6_a_refused_stream_was_not_processed_and_goes_again_at_once() -> None:
    """REFUSED_STREAM promises that nothing was done: the same attempt asks again."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        apns.script(device_token(1), [Fault.reset(code=7)])
        assert (await sender.send(push_to(1))).verdict is Verdict.ACCEPTED
        assert apns.ledger.count == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault.answer(400, "BadCollapseId", frames="split"),
        Fault.answer(400, "BadCollapseId", frames="empty"),
        Fault.answer(400, "BadCollapseId", message_id="other"),
        Fault.answer(400, "BadCollapseId", body=b"<html>no JSON</html>"),
        Fault.answer(400, "BadCollapseId", body=b'["a", "list"]'),
        Fault(message_id="other"),
    ],
    ids=["split", "empty", "another id", "no JSON", "no object", "200 with another id"],
)
async def test_7_odd_answers_harm_nobody_else(fault: Fault) -> None:
    """However one answer looks, the connection and what is in flight on it stay."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        apns.latency(0.05)
        apns.script(device_token(1), [fault])
        odd, *others = await send_all(sender, [push_to(n) for n in range(1, 21)])
        assert odd.verdict in (Verdict.DEAD, Verdict.ACCEPTED)
        assert verdicts(others) == {Verdict.ACCEPTED}
        assert (apns.connections_opened, apns.ledger.duplicates()) == (1, {})


async def test_8_a_graceful_goodbye_with_three_hundred_in_flight() -> None:
    """What the provider has is answered, what it has not goes elsewhere, nothing is taken twice."""
    async with ApnsSimulator() as apns, lane_to(apns, max_connections=2) as sender:
        await sender.send(push_to(1000))
        apns.latency(0.05)
        apns.script(device_token(150), [Fault.go_away()])
        outcomes = await send_all(sender, [push_to(n) for n in range(300)])
        assert verdicts(outcomes) == {Verdict.ACCEPTED}
        assert apns.ledger.count == 301
        assert apns.ledger.duplicates() == {}


async def test_9_one_id_twice_in_flight_on_one_connection() -> None:
    """Two attempts with the same id are two requests, each with its answer."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        apns.latency(0.05)
        same = push_to(1)
        async with asyncio.timeout(3):
            outcomes = await send_all(sender, [same, same])
        assert verdicts(outcomes) == {Verdict.ACCEPTED}


async def test_10_silence_closes_nothing_and_signs_nothing() -> None:
    """A quiet connection is pinged and kept; the next push opens and signs nothing."""
    async with ApnsSimulator() as apns, lane_to(apns, ping_after_s=0.02) as sender:
        await sender.send(push_to(1))
        await asyncio.sleep(0.3)  # fifteen pings long: that nothing happens cannot be awaited
        await sender.send(push_to(2))
        assert (apns.connections_opened, apns.ledger.distinct_jwts()) == (1, 1)


async def test_nothing_is_kept_of_what_is_done() -> None:
    """After thousands of pushes a connection remembers as little as after one."""
    async with ApnsSimulator(keep=1) as apns, lane_to(apns) as sender:
        for _ in range(4):
            await send_all(sender, [push_to(n) for n in range(250)])
        (connection,) = connections_of(sender)
        assert connection.conn.streams == {}
        assert connection._exchanges == {}


async def test_a_dead_connection_leaves_the_pool_at_once() -> None:
    """The push after a cut goes over a new connection, not into the dead one."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        await sender.send(push_to(1))
        apns.cut()
        await eventually(lambda: connections_of(sender) == [])
        assert (await sender.send(push_to(2))).verdict is Verdict.ACCEPTED
        assert apns.connections_opened == 2


async def test_a_request_without_an_answer_ends_in_time() -> None:
    """The outcome is unknown, the stream is given back, the connection goes on."""
    async with ApnsSimulator() as apns, lane_to(apns, request_timeout_s=0.2) as sender:
        await sender.send(push_to(0))
        apns.script(device_token(1), [Fault.stall(accepted=True)])
        outcome = await sender.send(push_to(1))
        assert (outcome.verdict, outcome.reason, outcome.unknown) == (Verdict.LATER, "timeout", True)
        assert (await sender.send(push_to(2))).verdict is Verdict.ACCEPTED
        assert apns.connections_opened == 1


async def test_a_peer_that_went_silent_is_found_out_and_left() -> None:
    """After a timeout with nothing heard meanwhile, one ping decides; then a new connection is used."""
    async with (
        ApnsSimulator() as apns,
        lane_to(apns, request_timeout_s=0.2, ping_timeout_s=0.2) as sender,
    ):
        await sender.send(push_to(0))
        apns.freeze()
        silent = await sender.send(push_to(1))
        assert (silent.verdict, silent.unknown) == (Verdict.LATER, True)
        await eventually(lambda: connections_of(sender) == [])
        assert (await sender.send(push_to(2))).verdict is Verdict.ACCEPTED
        assert apns.connections_opened == 2
