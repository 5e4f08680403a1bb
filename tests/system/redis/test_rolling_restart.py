"""A new version for three hubs under load, one after the other: nobody loses anything, and nobody storms."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory, js: JsDriver) -> AsyncIterator[SingleWorld]:
    """One world for all tests here."""
    async with single_world(tmp_path_factory.mktemp("rolling"), js, SETTINGS) as started:
        yield started


async def test_hubs_are_replaced_one_by_one_and_nothing_is_lost(world: SingleWorld) -> None:
    """Every client resumes from where it was, in waves that the other hubs hardly notice."""
    async with world.swarm() as swarm:
        for hub in world.hubs:
            await hub.stop()
            await hub.start()
            await hub.becomes_ready()
            await swarm.publisher.advance(3)
        await swarm.heal()
        assert swarm.gap_count == 0
        # Each was on a hub that ended, most of them more than once.
        lost, back = swarm.checker.lost_at_s, swarm.checker.reconnected_at_s
        assert len(lost) >= len(swarm.checker.witnesses)
        assert len(back) == len(lost)
        # Seen from here a wave may come a little late, the next in time: over some seconds it evens out.
        assert most_within(lost, WINDOW_S) <= PER_S * WINDOW_S + 2 * WAVE
        # Each client waits a moment of its own length before it comes back, which evens out.
        least_s, most_s = RECONNECT_DELAY_S
        assert most_within(back, WINDOW_S) <= PER_S * (WINDOW_S + most_s - least_s) + WAVE
        assert len(lost) > PER_S * WINDOW_S, "too few for a storm"
