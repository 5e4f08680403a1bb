"""Many commands at once: how many wait, and who else gets a turn."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import Struct

from hub.api.call import attempt_all
from hub.api.results import Empty


@pytest.mark.parametrize("parallel", [False, True])
async def test_gives_the_loop_its_turns(parallel: bool) -> None:
    """Commands that never wait still let others run in between."""
    turns = 0

    async def watch() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def act(item: int) -> Struct:
        return Empty()

    watching = asyncio.create_task(watch())
    await attempt_all(range(10_000), act, parallel=parallel)
    watching.cancel()
    assert turns > 50


async def test_bounds_how_many_wait() -> None:
    """Side by side means some, not all."""
    waiting = most = 0
    go = asyncio.Event()

    async def act(item: int) -> Struct:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        if waiting == 32:
            go.set()
        await go.wait()
        waiting -= 1
        return Empty()

    outcomes = await attempt_all(range(1_000), act, parallel=True)
    assert most == 32
    assert len(outcomes) == 1_000


async def test_one_by_one_means_one() -> None:
    """Without parallel, nothing starts before its forerunner ended."""
    waiting = most = 0

    async def act(item: int) -> Struct:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await asyncio.sleep(0)
        waiting -= 1
        return Empty()

    await attempt_all(range(100), act, parallel=False)
    assert most == 1


async def test_a_cancelled_caller_leaves_nothing_running() -> None:
    """What was under way is cancelled with the caller."""
    before = asyncio.all_tasks()
    started = asyncio.Event()

    async def act(item: int) -> Struct:
        started.set()
        await asyncio.Event().wait()
        return Empty()

    calling = asyncio.create_task(attempt_all(range(100), act, parallel=True))
    await started.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert asyncio.all_tasks() == before
