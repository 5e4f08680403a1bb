"""The checks that a sender to Apple has to pass before anybody relies on it."""

from __future__ import annotations

import asyncio
import time

from hub.testing.simulators.apns import ApnsSimulator
from hub.testing.simulators.faults import Fault
from tests.support.apns import MemoryShelf, WallClock, device_token, lane_to, push_to, send_all, verdicts
from workers.push import Verdict


async def test_ten_thousand_dead_tokens_on_one_connection() -> None:
    """All are answered with the provider's time of death, by which a newer registration stays."""
    async with ApnsSimulator(keep=1) as apns, lane_to(apns) as sender:
        gone_at_ms = 1_760_000_000_123
        apns.script("*", [Fault.answer(410, "Unregistered", timestamp_ms=gone_at_ms)], forever=True)
        for start in range(0, 10_000, 500):
            outcomes = await send_all(sender, [push_to(n) for n in range(start, start + 500)])
            assert {(o.verdict, o.gone_at_ms) for o in outcomes} == {(Verdict.GONE, gone_at_ms)}
        assert apns.connections_opened == 1


async def test_a_thousand_pushes_of_four_kilobytes_at_once() -> None:
    """Sixty windows' worth: no leak, no hang, all accepted, never too many streams."""
    async with ApnsSimulator(keep=1) as apns, lane_to(apns, max_connections=3) as sender:
        outcomes = await send_all(sender, [push_to(n, data="d" * 3700) for n in range(1000)])
        assert verdicts(outcomes) == {Verdict.ACCEPTED}
        assert apns.ledger.count == 1000
        assert apns.violations == []


async def test_one_caller_in_ten_leaves() -> None:
    """The rest gets through once each, and without another connection."""
    async with ApnsSimulator() as apns, lane_to(apns) as sender:
        await sender.send(push_to(1000))
        apns.latency(0.1)
        sends = [asyncio.create_task(sender.send(push_to(n))) for n in range(200)]
        await apns.ledger.wait_for(150)
        for send in sends[::10]:
            send.cancel()
        outcomes = await asyncio.gather(*sends, return_exceptions=True)
        staying = [outcome for number, outcome in enumerate(outcomes) if number % 10]
        assert all(getattr(outcome, "verdict", None) is Verdict.ACCEPTED for outcome in staying)
        assert apns.ledger.duplicates() == {}
        assert apns.connections_opened == 1


async def test_a_goodbye_every_five_hundred_requests() -> None:
    """Nothing is lost and nothing that was processed is processed again."""
    async with ApnsSimulator() as apns, lane_to(apns, max_connections=3) as sender:
        apns.every(500, Fault.go_away())
        pending = iter(range(3000))
        outcomes = []

        async def one_after_another() -> None:
            for number in pending:
                outcomes.append(await sender.send(push_to(number)))

        await asyncio.gather(*(one_after_another() for _ in range(100)))
        assert verdicts(outcomes) == {Verdict.ACCEPTED}
        assert apns.ledger.count == 3000
        assert apns.ledger.duplicates() == {}
        assert apns.connections_opened >= 6


async def test_full_speed_after_the_first_answer() -> None:
    """One stream first, a thousand after it: a burst takes two round trips, not one for each push."""
    async with ApnsSimulator(streams="grow") as apns, lane_to(apns, max_connections=5) as sender:
        apns.latency(0.1)
        began = time.monotonic()
        outcomes = await send_all(sender, [push_to(n) for n in range(300)])
        took_s = time.monotonic() - began
        assert verdicts(outcomes) == {Verdict.ACCEPTED}
        assert (apns.connections_opened, apns.violations) == (1, [])
        assert took_s < 3


async def test_one_push_after_an_idle_hour() -> None:
    """One token is signed and no connection is opened."""
    clock = WallClock(time.time_ns() // 1_000_000)
    shelf = MemoryShelf()
    async with (
        ApnsSimulator(now_ms=clock, token_updates="key") as apns,
        lane_to(apns, shelf, {"wall_ms": clock}, max_connections=5, ping_after_s=0.02) as sender,
    ):
        await sender.send(push_to(1))
        clock.pass_minutes(60)
        await asyncio.sleep(0.1)
        assert shelf.replaced == 1
        outcomes = await send_all(sender, [push_to(n) for n in range(50)])
        assert verdicts(outcomes) == {Verdict.ACCEPTED}
        assert shelf.replaced == 2
        assert apns.connections_opened == 1
        assert apns.ledger.for_token(device_token(1))[0].jwt_hash != apns.ledger.last.jwt_hash
