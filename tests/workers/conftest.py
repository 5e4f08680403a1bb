"""Each engine in turn, with delays at a tenth."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hub.delivery.options import DeliveryOptions
from hub.engine import Engine
from hub.engine.memory import memory_engine
from hub.engine.redis import redis_engine
from hub.model import NodeId
from tests.support.shared_redis import empty_redis, shared_server

__all__ = ["shared_server"]

DELAYS = DeliveryOptions(
    ack_wait_s=0.5, grace_s=0.8, max_defer_s=2.0, claim_s=3.0, again_s=0.1, badge_delay_s=0.1
)


@pytest.fixture(params=["memory", "redis"])
def unstarted(request: pytest.FixtureRequest) -> Engine:
    """A new, empty world; the one of Redis as those have it who are no hub."""
    if request.param == "memory":
        return memory_engine(delivery=DELAYS)
    options = empty_redis("standalone", request)
    return redis_engine(options, NodeId("w"), namespaces=None, delivery=DELAYS)


@pytest.fixture
async def engine(unstarted: Engine) -> AsyncIterator[Engine]:
    """It, for the length of a test."""
    await unstarted.lifecycle.start()
    try:
        yield unstarted
    finally:
        await unstarted.lifecycle.stop()
