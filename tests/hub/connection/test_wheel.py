"""The wheel: timers fire in time, in order, and not at all once cancelled."""

from __future__ import annotations

import asyncio
import time

import pytest

from hub.connection import Wheel
from hub.connection.wheel import Timer

TICK_S = 0.01


async def test_timers_fire_in_order_and_never_early() -> None:
    """Whatever the order they were set in."""
    loop = asyncio.get_running_loop()
    wheel, fired, done = Wheel(loop, TICK_S), [], asyncio.Event()
    started_s = loop.time()
    for delay_s in (0.09, 0.03, 0.06):
        wheel.after(delay_s, lambda d=delay_s: fired.append((d, loop.time() - started_s)))  # type: ignore[misc]
    wheel.after(0.1, done.set)
    await done.wait()
    assert [delay_s for delay_s, _ in fired] == [0.03, 0.06, 0.09]
    assert all(late_s >= delay_s for delay_s, late_s in fired)


async def test_a_cancelled_timer_does_nothing() -> None:
    """Also when it is cancelled by one that fires in the same tick."""
    wheel, fired, done = Wheel(asyncio.get_running_loop(), TICK_S), [], asyncio.Event()
    wheel.after(0.02, lambda: late.cancel())
    late = wheel.after(0.02, lambda: fired.append("late"))
    never = wheel.after(0.01, lambda: fired.append("never"))
    never.cancel()
    never.cancel()
    wheel.after(0.05, done.set)
    await done.wait()
    assert fired == []


async def test_a_timer_may_set_another_also_for_now() -> None:
    """It fires at the next tick."""
    wheel, done = Wheel(asyncio.get_running_loop(), TICK_S), asyncio.Event()
    wheel.after(0, lambda: wheel.after(0, done.set) and None)
    await asyncio.wait_for(done.wait(), 5)


async def test_a_timer_that_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the wheel turns on."""
    wheel, done = Wheel(asyncio.get_running_loop(), TICK_S), asyncio.Event()
    wheel.after(0.01, lambda: 1 / 0 and None)
    wheel.after(0.01, done.set)
    await asyncio.wait_for(done.wait(), 5)
    assert "a timer failed" in caplog.text


async def test_after_an_idle_time_the_wheel_turns_again() -> None:
    """There is no wake-up while there is no timer."""
    wheel, first, second = Wheel(asyncio.get_running_loop(), TICK_S), asyncio.Event(), asyncio.Event()
    wheel.after(0.01, first.set)
    await asyncio.wait_for(first.wait(), 5)
    await asyncio.sleep(0.05)
    wheel.after(0.01, second.set)
    await asyncio.wait_for(second.wait(), 5)


async def test_a_stopped_wheel_fires_nothing() -> None:
    """The process ends."""
    loop = asyncio.get_running_loop()
    wheel, fired = Wheel(loop, TICK_S), []
    wheel.after(0.01, lambda: fired.append(1))
    wheel.stop()
    await asyncio.sleep(0.05)
    assert fired == []


async def test_cancelled_timers_do_not_wait_for_their_time() -> None:
    """Of a day of phones that come and go, not a day of dead timers is kept."""
    wheel, done = Wheel(asyncio.get_running_loop(), TICK_S), asyncio.Event()
    kept = [wheel.after(86_400, done.set) for _ in range(10)]
    for _ in range(20_000):
        wheel.after(86_400, done.set).cancel()
    assert len(wheel) < 2_000
    for timer in kept:
        timer.cancel()
    wheel.after(0.01, done.set)
    await asyncio.wait_for(done.wait(), 5)
    wheel.stop()


async def test_timers_cancelled_by_one_that_fires_are_counted_once() -> None:
    """Those of the same tick are out of the wheel already, those of a later one are not."""
    wheel, done = Wheel(asyncio.get_running_loop(), TICK_S), asyncio.Event()
    others: list[Timer] = []

    def cancel_all() -> None:
        for other in others:
            other.cancel()

    wheel.after(0.02, cancel_all)
    others += [wheel.after(0.02, lambda: None) for _ in range(1_500)]
    others += [wheel.after(600, lambda: None) for _ in range(1_500)]
    wheel.after(0.03, done.set)
    await asyncio.wait_for(done.wait(), 5)
    assert len(wheel) == 0
    wheel.stop()


async def test_a_loop_that_was_held_up_loses_no_timer() -> None:
    """All that became due meanwhile fires, in order, although one of them sets another."""
    wheel, fired, done = Wheel(asyncio.get_running_loop(), TICK_S), [], asyncio.Event()

    def ping() -> None:
        fired.append("first")
        wheel.after(0.01, lambda: fired.append("set by the first"))

    wheel.after(0.01, ping)
    for number in range(2, 6):
        wheel.after(0.01 * number, lambda n=number: fired.append(n))  # type: ignore[misc]
    wheel.after(0.2, done.set)
    time.sleep(0.1)  # noqa: ASYNC251 - what is tested is a loop that is held up
    await asyncio.wait_for(done.wait(), 5)
    assert [each for each in fired if each != "set by the first"] == ["first", 2, 3, 4, 5]
    assert "set by the first" in fired
    assert len(wheel) == 0
