"""Ending everything that is under way, at once."""

from __future__ import annotations

import asyncio

import pytest

from workers.senders.inflight import InFlight


async def test_a_request_ends_at_its_deadline() -> None:
    """Whatever it waits for."""
    inflight = InFlight()
    with pytest.raises(TimeoutError):
        async with inflight.within(0.01):
            await asyncio.Event().wait()
    assert not inflight.stopped


async def test_ending_times_out_all_that_is_under_way_and_lets_nothing_begin() -> None:
    """Callers get a timeout, never a cancellation they did not ask for."""
    inflight = InFlight()
    begun = asyncio.Semaphore(0)

    async def wait_for_ever() -> str:
        try:
            async with inflight.within(60):
                begun.release()
                await asyncio.Event().wait()
        except TimeoutError:
            return "ended"
        return "answered"

    waiting = [asyncio.create_task(wait_for_ever()) for _ in range(5)]
    for _ in waiting:
        await begun.acquire()
    await inflight.end()
    assert await asyncio.gather(*waiting) == ["ended"] * 5
    assert await wait_for_ever() == "ended"


async def test_ending_with_nothing_under_way_returns_at_once() -> None:
    """A sender that never sent can be stopped."""
    inflight = InFlight()
    await inflight.end()
    assert inflight.stopped
