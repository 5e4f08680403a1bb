"""Each engine in turn, with delays at a tenth."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hub.delivery.options import DeliveryOptions
from hub.engine import Engine
from hub.engine.memory import memory_engine

DELAYS = DeliveryOptions(
    ack_wait_s=0.5, grace_s=0.8, max_defer_s=2.0, claim_s=3.0, again_s=0.1, badge_delay_s=0.1
)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """A new, empty world."""
    engine = memory_engine(delivery=DELAYS)
    await engine.lifecycle.start()
    yield engine
    await engine.lifecycle.stop()
