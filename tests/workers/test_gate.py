"""One lane's breaker as its workers share it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hub.engine import Engine
from hub.engine.lanes import Breaker
from hub.errors import EngineUnavailable
from tests.support.push_worlds import APNS
from workers.breaker import BreakerOptions
from workers.gate import Gate, Pass
from workers.metrics import NopWorkerMetrics
from workers.push import Outcome, Verdict

FINE = Outcome(Verdict.ACCEPTED, status=200)
STOP = Outcome(Verdict.STOP, "InvalidProviderToken", status=403)
SILENT = Outcome(Verdict.LATER, "timeout", unknown=True)
CUT_OFF = Outcome(Verdict.LATER, "no connection", retry_after_s=0.2, whole_lane=True)
OPTIONS = BreakerOptions(pause_s=0.2, stop_pause_s=0.2)


def gate(lanes: Any) -> Gate:
    """One worker's."""
    return Gate(APNS, lanes, OPTIONS, 1.0, NopWorkerMetrics(), lambda: 0.0)


async def now_ms(engine: Engine) -> int:
    """The engine's time."""
    return (await engine.ledger.claim("nobody:s:lane", 1, "w")).now_ms


async def test_a_closed_one_lets_all_through(engine: Engine) -> None:
    """As many as there are slots."""
    assert await gate(engine.lanes).ask(7, 3, await now_ms(engine)) == Pass(7)


async def test_one_workers_trouble_stops_the_other(engine: Engine) -> None:
    """Who looks next sees it, with the reason."""
    one, other = gate(engine.lanes), gate(engine.lanes)
    one.note(STOP, await now_ms(engine))
    assert one.is_open
    await one.settle()
    assert (await other.ask(7, 0, await now_ms(engine))).rows == 0
    assert other.is_open
    assert (await engine.lanes.breaker(APNS)).reason == "InvalidProviderToken"


async def test_many_who_fail_together_stop_it_once(engine: Engine) -> None:
    """The next pause would be longer for each time."""
    one = gate(engine.lanes)
    for _ in range(50):
        one.note(STOP, await now_ms(engine))
    await one.settle()
    assert (await engine.lanes.breaker(APNS)).failures == 1


async def test_after_the_pause_one_worker_tries_one_row(engine: Engine) -> None:
    """And the lane goes on for both when the provider answers."""
    one, other = gate(engine.lanes), gate(engine.lanes)
    one.note(STOP, await now_ms(engine))
    await one.settle()
    assert (await one.ask(7, 0, await now_ms(engine))).ask_again_s <= 0.2
    await asyncio.sleep(0.25)
    assert await one.ask(7, 0, await now_ms(engine)) == Pass(1)
    assert (await other.ask(7, 0, await now_ms(engine))).rows == 0
    one.note(FINE, await now_ms(engine))
    await one.settle()
    assert not one.is_open
    assert await engine.lanes.breaker(APNS) == Breaker()


async def test_a_probe_that_fails_makes_the_pause_longer(engine: Engine) -> None:
    """Twice as long as the one before."""
    one = gate(engine.lanes)
    one.note(STOP, await now_ms(engine))
    await one.settle()
    await asyncio.sleep(0.25)
    assert await one.ask(7, 0, await now_ms(engine)) == Pass(1)
    one.note(STOP, await now_ms(engine))
    await one.settle()
    passed = await one.ask(7, 0, await now_ms(engine))
    assert passed.rows == 0
    assert 0.3 < passed.ask_again_s <= 0.4


async def stopped_and_rested(engine: Engine, *gates: Gate) -> None:
    """Stop the lane, let all of ``gates`` see it, and wait until the pause is over."""
    gates[0].note(STOP, await now_ms(engine))
    await gates[0].settle()
    for each in gates:
        assert (await each.ask(7, 0, await now_ms(engine))).rows == 0
    await asyncio.sleep(0.25)


async def test_after_the_pause_the_lane_comes_back_step_by_step(engine: Engine) -> None:
    """A provider that just came back is not met by all that waited for it."""
    one = gate(engine.lanes)
    await stopped_and_rested(engine, one)
    assert await one.ask(7, 0, await now_ms(engine)) == Pass(1)
    one.note(FINE, await now_ms(engine))
    for rows in (2, 4):
        assert await one.ask(7, 0, await now_ms(engine)) == Pass(rows)
        assert (await one.ask(7 - rows, rows, await now_ms(engine))).rows == 0
        for _ in range(rows):
            one.note(FINE, await now_ms(engine))
    assert await one.ask(7, 0, await now_ms(engine)) == Pass(7)


async def test_a_worker_that_only_heard_of_it_comes_back_step_by_step_too(engine: Engine) -> None:
    """Else the one that tried would be alone in its patience."""
    one, other = gate(engine.lanes), gate(engine.lanes)
    await stopped_and_rested(engine, one, other)
    assert await one.ask(7, 0, await now_ms(engine)) == Pass(1)
    one.note(FINE, await now_ms(engine))
    await one.settle()
    await asyncio.sleep(1.0)
    assert await other.ask(7, 0, await now_ms(engine)) == Pass(2)


async def test_a_probe_without_a_clear_answer_neither_stops_nor_starts_the_lane(engine: Engine) -> None:
    """It may be that one device's own trouble, so another is tried at once; three are the provider's."""
    one, other = gate(engine.lanes), gate(engine.lanes)
    await stopped_and_rested(engine, one, other)
    for _ in range(2):
        assert await one.ask(7, 0, await now_ms(engine)) == Pass(1)
        one.note(SILENT, await now_ms(engine))
        assert one.is_open
        assert (await other.ask(7, 0, await now_ms(engine))).rows == 0
    assert (await engine.lanes.breaker(APNS)).failures == 1
    assert await one.ask(7, 0, await now_ms(engine)) == Pass(1)
    one.note(SILENT, await now_ms(engine))
    await one.settle()
    assert (await engine.lanes.breaker(APNS)).failures == 2


async def test_a_provider_that_fails_again_as_it_comes_back_stops_the_lane_again(engine: Engine) -> None:
    """Before so many answers came as a lane at full rate waits for."""
    one = gate(engine.lanes)
    await stopped_and_rested(engine, one)
    assert await one.ask(100, 0, await now_ms(engine)) == Pass(1)
    one.note(FINE, await now_ms(engine))
    for _ in range(3):
        assert not one.is_open
        one.note(SILENT, await now_ms(engine))
    assert one.is_open


async def test_a_worker_whose_own_way_out_is_cut_leaves_the_probe_and_the_lane_to_others(
    engine: Engine,
) -> None:
    """Else it would win every other race for the probe, and each time stop all for twice as long."""
    one, other = gate(engine.lanes), gate(engine.lanes)
    one.note(CUT_OFF, await now_ms(engine))
    await one.settle()
    assert (await other.ask(7, 0, await now_ms(engine))).rows == 0
    await asyncio.sleep(0.25)
    assert (await one.ask(7, 0, await now_ms(engine))).rows == 0
    assert await other.ask(7, 0, await now_ms(engine)) == Pass(1)
    other.note(FINE, await now_ms(engine))
    await other.settle()
    assert (await other.ask(7, 0, await now_ms(engine))).rows == 2
    assert (await one.ask(7, 0, await now_ms(engine))).rows == 0
    await asyncio.sleep(1.1)
    assert (await one.ask(7, 0, await now_ms(engine))).rows == 2


async def test_who_is_cut_off_again_and_again_stays_away_for_longer(engine: Engine) -> None:
    """Until an answer comes."""
    one = gate(engine.lanes)
    waits_s = []
    for outcome in (CUT_OFF, CUT_OFF, CUT_OFF, STOP, CUT_OFF):
        # Each time another worker found the provider well.
        one._take(0, 0)
        one.note(outcome, await now_ms(engine))
        await one.settle()
        one._take(0, 0)
        waits_s.append((await one.ask(7, 0, await now_ms(engine))).ask_again_s)
    assert waits_s == pytest.approx([1.2, 1.4, 1.8, 1.8, 1.2], abs=0.1)


async def test_a_worker_that_knows_no_engine_time_leaves_it_to_the_engine(engine: Engine) -> None:
    """Its own clock would let it sleep for hours, or knock too early."""
    one, other = gate(engine.lanes), gate(engine.lanes)
    one.note(STOP, await now_ms(engine))
    await one.settle()
    assert (await other.ask(7, 0, None)).rows == 0
    await asyncio.sleep(0.25)
    assert await other.ask(7, 0, None) == Pass(1)


async def test_no_probe_while_others_are_in_flight(engine: Engine) -> None:
    """Their answers would be taken for its."""
    one = gate(engine.lanes)
    one.note(STOP, await now_ms(engine))
    await one.settle()
    await asyncio.sleep(0.25)
    assert (await one.ask(7, 3, await now_ms(engine))).rows == 0
    assert await one.ask(7, 0, await now_ms(engine)) == Pass(1)


async def test_a_probe_that_found_nothing_to_send_is_not_wasted(engine: Engine) -> None:
    """Whoever holds it may go on with it while it lasts."""
    one = gate(engine.lanes)
    one.note(STOP, await now_ms(engine))
    await one.settle()
    await asyncio.sleep(0.25)
    for _ in range(3):
        assert await one.ask(7, 0, await now_ms(engine)) == Pass(1)


async def test_late_answers_of_before_the_stop_do_not_start_it(engine: Engine) -> None:
    """Only the probe's answer does."""
    one = gate(engine.lanes)
    one.note(STOP, await now_ms(engine))
    one.note(FINE, await now_ms(engine))
    await one.settle()
    assert one.is_open


async def test_trouble_that_cannot_be_told_still_stops_this_worker() -> None:
    """Until it reads again what the others know."""

    class Away:
        async def open_breaker(self, lane: str, pause_s: float, reason: str) -> Breaker:
            raise EngineUnavailable

    one = gate(Away())
    one.note(STOP, 1_000)
    await one.settle()
    assert one.is_open
    assert (await one.ask(7, 0, 1_000)).rows == 0
