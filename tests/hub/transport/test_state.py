"""Who is here, and waiting until nobody is."""

from __future__ import annotations

import asyncio

from uvicorn.server import ServerState

from hub.metrics import NopMetrics
from hub.transport.farewell import register, unregister
from hub.transport.state import TransportState
from tests.support.hub_server import transport_options


def fresh() -> TransportState:
    return TransportState(transport_options(), None, NopMetrics(), ServerState())


async def test_nobody_here_is_no_wait() -> None:
    """It returns without a turn of the loop being needed."""
    await asyncio.wait_for(fresh().wait_until_empty(), 1)


async def test_the_last_one_to_leave_ends_the_wait() -> None:
    """Not the first."""
    state, first, last = fresh(), object(), object()
    register(state, first)
    register(state, last)
    waiting = asyncio.create_task(state.wait_until_empty())
    await asyncio.sleep(0)
    unregister(state, first)
    state.departed()
    await asyncio.sleep(0)
    assert not waiting.done()
    unregister(state, last)
    state.departed()
    await asyncio.wait_for(waiting, 1)
