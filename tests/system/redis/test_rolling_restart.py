"""A new version for three hubs under load, one after the other: nobody loses anything, and nobody storms."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from itertools import combinations

import pytest
import pytest_asyncio

from hub.ops.health import LoopWatch
from tests.support.checker import most_within
from tests.support.js_client import JsDriver
from tests.support.sdk import RECONNECT_DELAY_S
from tests.system.redis.world import FAST, SingleWorld, single_world

pytestmark = pytest.mark.asyncio(loop_scope="module")

PER_S = 25
"""Connections that a hub closes per second; each of them holds two to four times as many."""

WAVE = 3
"""Of them, those that leave together."""

WINDOW_S = 3.0

SETTINGS = {**FAST, "shutdown__ready_wait_s": 0.8, "shutdown__connections_per_s": PER_S}


TOLD = re.compile(r"^(\S+) .* x (?:draining: (\d+) connections|drained)", re.MULTILINE)
"""What a hub that ends logs of it: when, and how many are left."""


def closings(log: str) -> list[tuple[float, int]]:
    """Moments of a drain, in seconds, and how many connections were left then."""
    return [(datetime.fromisoformat(when).timestamp(), int(left or 0)) for when, left in TOLD.findall(log)]


@contextlib.contextmanager
def watched_loop() -> Iterator[LoopWatch]:
    """How long this process was kept from looking: what happens meanwhile, it sees at one moment."""
    watch = LoopWatch(tick_s=0.02, window_ticks=1_000_000)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory, js: JsDriver) -> AsyncIterator[SingleWorld]:
    """One world for all tests here."""
    async with single_world(tmp_path_factory.mktemp("rolling"), js, SETTINGS) as started:
        yield started


async def test_hubs_are_replaced_one_by_one_and_nothing_is_lost(world: SingleWorld) -> None:
    """Every client resumes from where it was, in waves that the other hubs hardly notice."""
    drains = []
    async with world.swarm() as swarm:
        with watched_loop() as watch:
            for hub in world.hubs:
                await hub.stop()
                drains.append(closings(hub.log()))
                await hub.start()
                await hub.becomes_ready()
                await swarm.publisher.advance(3)
            await swarm.heal()
        assert swarm.gap_count == 0
        # Each was on a hub that ended, most of them more than once.
        lost, back = swarm.checker.lost_at_s, swarm.checker.reconnected_at_s
        assert len(lost) >= len(swarm.checker.witnesses)
        assert len(back) == len(lost)
        # By its own clock a hub keeps its pace from any moment to any other, however busy the machine is.
        for drain in drains:
            assert len(drain) >= 3 and drain[-1][1] == 0, drain
            for (since_s, before), (until_s, after) in combinations(drain, 2):
                assert before - after <= PER_S * (until_s - since_s) + 2 * WAVE, drain
        # Seen from here a wave may come a little late, the next in time: over some seconds it evens out.
        window_s = WINDOW_S + watch.lag_s
        assert most_within(lost, WINDOW_S) <= PER_S * window_s + 2 * WAVE
        # Each client waits a moment of its own length before it comes back, which evens out.
        least_s, most_s = RECONNECT_DELAY_S
        assert most_within(back, WINDOW_S) <= PER_S * (window_s + most_s - least_s) + WAVE
        assert len(lost) > PER_S * WINDOW_S, "too few for a storm"
