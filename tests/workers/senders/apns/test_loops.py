"""The sender on the loop that hubs and workers really run on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from hub.testing.simulators.apns import ApnsSimulator
from tests.support.apns import APP, lane_to, push_to, send_all, verdicts
from workers.push import Outcome, Verdict


async def _send_some() -> list[Outcome]:
    async with ApnsSimulator(topics={APP}) as apns, lane_to(apns) as sender:
        return await send_all(sender, [push_to(number) for number in range(20)])


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_it_sends_on_every_loop(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Transports of uvloop are of classes of their own."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert verdicts(runner.run(_send_some())) == {Verdict.ACCEPTED}
