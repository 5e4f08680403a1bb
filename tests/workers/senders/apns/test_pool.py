"""Connecting and waiting: within deadlines, not too often, in order, and for everybody."""

from __future__ import annotations

import asyncio
import time

import pytest

from hub.testing.simulators.apns import ApnsSimulator
from hub.testing.simulators.authority import Authority
from hub.testing.simulators.faults import Fault
from hub.testing.simulators.listening import Door
from tests.support.apns import connections_of, lane_to, push_to, send_all, verdicts
from tests.support.waiting import eventually
from workers.push import Verdict


@pytest.mark.parametrize(
    ("door", "reason"),
    [
        (Door.REFUSING, {"connection refused"}),
        (Door.BLACK_HOLE, {"connect timeout"}),
        (Door.HANGING_UP, {"no connection", "tls handshake failed"}),
    ],
)
async def test_a_gateway_that_cannot_be_reached_is_found_out_in_time(door: Door, reason: set[str]) -> None:
    """Nothing was sent, so nothing is unknown; the lane learns when to come back."""
    async with ApnsSimulator() as apns, lane_to(apns, connect_timeout_s=0.3) as sender:
        await apns.set_door(door)
        async with asyncio.timeout(3):
            outcomes = await send_all(sender, [push_to(n) for n in range(10)])
        assert {(o.verdict, o.unknown, o.whole_lane) for o in outcomes} == {(Verdict.LATER, False, True)}
        assert {o.reason for o in outcomes} <= reason
        assert outcomes[0].retry_after_s is not None
        assert 0 < outcomes[0].retry_after_s <= 0.5


async def test_nobody_connects_again_before_it_is_time() -> None:
    """Sends in between fail at once, and cost the gateway nothing; waits double with jitter."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        await apns.set_door(Door.REFUSING)
        first = await sender.send(push_to(1))
        began = time.monotonic()
        again = [await sender.send(push_to(n)) for n in range(50)]
        assert verdicts(again) == {Verdict.LATER}
        assert time.monotonic() - began < 0.5
        assert first.retry_after_s is not None
        await apns.set_door(Door.OPEN)
        await asyncio.sleep(first.retry_after_s + 0.01)  # the wait is what is tested
        assert (await sender.send(push_to(2))).verdict is Verdict.ACCEPTED


async def test_a_gateway_that_nobody_vouches_for_gets_nothing() -> None:
    """The certificate is verified against the named authority."""
    another = Authority()
    async with ApnsSimulator() as apns, lane_to(apns, ca_file=str(another.ca_file)) as sender:
        outcome = await sender.send(push_to(1))
        assert (outcome.verdict, outcome.unknown) == (Verdict.LATER, False)
        assert outcome.reason == "server certificate not trusted"
        assert apns.ledger.count == 0


async def test_one_slow_connect_holds_up_nobody_who_has_a_connection() -> None:
    """While a further connection is swallowed, the first one goes on serving."""
    async with (
        ApnsSimulator(streams=10) as apns,
        lane_to(apns, max_connections=2, connect_timeout_s=5.0) as sender,
    ):
        await sender.send(push_to(0))
        await apns.set_door(Door.BLACK_HOLE)
        apns.latency(0.02)
        async with asyncio.timeout(3):
            outcomes = await send_all(sender, [push_to(n) for n in range(100)])
        assert verdicts(outcomes) == {Verdict.ACCEPTED}


async def test_more_connections_are_opened_when_all_are_full_and_no_more_than_allowed() -> None:
    """Twenty at once, five to a connection: three connections share them."""
    async with ApnsSimulator(streams=5) as apns, lane_to(apns, max_connections=3) as sender:
        await sender.send(push_to(0))
        apns.latency(0.05)
        outcomes = await send_all(sender, [push_to(n) for n in range(60)])
        assert verdicts(outcomes) == {Verdict.ACCEPTED}
        assert 2 <= apns.connections_opened <= 3
        assert apns.violations == []


async def test_our_own_limit_of_streams_is_kept() -> None:
    """Where it is lower than the peer's."""
    async with ApnsSimulator() as apns, lane_to(apns, max_streams=3) as sender:
        await sender.send(push_to(0))
        apns.script("*", [Fault.stall(accepted=True)], forever=True)
        sends = asyncio.create_task(send_all(sender, [push_to(n) for n in range(10)]))
        await apns.ledger.wait_for(4)
        (connection,) = connections_of(sender)
        assert len(connection.conn.streams) == 3
        assert connection.is_busy
        sends.cancel()


async def test_a_burst_at_the_start_waits_for_the_first_connection() -> None:
    """Nobody opens one of his own: one connection, one token."""
    async with ApnsSimulator() as apns, lane_to(apns, max_connections=5) as sender:
        await send_all(sender, [push_to(n) for n in range(200)])
        assert (apns.connections_opened, apns.ledger.distinct_jwts()) == (1, 1)


async def test_waiting_callers_who_leave_take_nobodys_turn() -> None:
    """Each place that they were woken for goes to the next in line."""
    async with ApnsSimulator() as apns, lane_to(apns, max_streams=1) as sender:
        await sender.send(push_to(0))
        apns.latency(0.02)
        sends = [asyncio.create_task(sender.send(push_to(n))) for n in range(40)]
        await apns.ledger.wait_for(5)
        for send in sends[10::3]:
            send.cancel()
        outcomes = await asyncio.gather(*sends, return_exceptions=True)
        stayed = [o for o in outcomes if not isinstance(o, BaseException)]
        assert len(stayed) == 30
        assert verdicts(stayed) == {Verdict.ACCEPTED}


async def test_waiting_for_room_ends_in_time_with_nothing_sent() -> None:
    """A send that never got its turn is not in doubt."""
    async with ApnsSimulator() as apns, lane_to(apns, max_streams=1, request_timeout_s=0.3) as sender:
        await sender.send(push_to(0))
        apns.script("*", [Fault.stall(accepted=True)], forever=True)
        first, second = await send_all(sender, [push_to(1), push_to(2)])
        assert (first.unknown, second.unknown) == (True, False)
        assert second.reason == "timeout"


async def test_a_connection_that_nobody_needs_is_closed() -> None:
    """After the idle time, with a goodbye; the next push opens another."""
    async with ApnsSimulator() as apns, lane_to(apns, idle_close_s=0.1) as sender:
        await sender.send(push_to(1))
        await eventually(lambda: apns.connections_open == 0)
        assert (await sender.send(push_to(2))).verdict is Verdict.ACCEPTED


async def test_a_gateway_that_closes_before_it_ever_answered_is_not_stormed() -> None:
    """Accept, then goodbye: each round costs one connection and a growing wait."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        apns.script("*", [Fault.go_away(hard=True, accepted=False)], forever=True)
        outcomes = [await sender.send(push_to(n)) for n in range(30)]
        assert verdicts(outcomes) == {Verdict.LATER}
        assert not any(o.unknown for o in outcomes)
        assert apns.connections_opened <= 2


async def test_connections_that_all_end_soon_are_rationed() -> None:
    """A goodbye after every second push: at some point the lane waits, and says for how long."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        apns.every(2, Fault.go_away())
        outcomes = [await sender.send(push_to(n)) for n in range(50)]
        assert [o.verdict for o in outcomes] == [Verdict.ACCEPTED] * 40 + [Verdict.LATER] * 10
        assert apns.connections_opened == 20
        assert outcomes[-1].retry_after_s is not None
        assert 50 < outcomes[-1].retry_after_s <= 60


async def test_a_peer_that_breaks_http_is_left_alone() -> None:
    """Garbage in place of frames ends the connection, and every request of it with an outcome."""

    async def talk_garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\xff" * 64)
        await reader.read(1)
        writer.close()

    authority = Authority()
    server = await asyncio.start_server(talk_garbage, "127.0.0.1", 0, ssl=authority.server_context(["h2"]))
    async with server, ApnsSimulator() as apns:
        port = server.sockets[0].getsockname()[1]
        async with lane_to(apns, port=port, ca_file=str(authority.ca_file)) as sender:
            outcome = await sender.send(push_to(1))
            assert outcome.verdict is Verdict.LATER
