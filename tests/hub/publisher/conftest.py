"""What the tests of this room share: hubs on a real Redis, and what their clients hear."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from hub.engine.redis import RedisOptions
from tests.hub.publisher.hubs import running_on
from tests.support.hub_process import Running
from tests.support.shared_redis import empty_redis, shared_cluster, shared_server

__all__ = ["shared_cluster", "shared_server"]


@pytest.fixture
def redis(request: pytest.FixtureRequest) -> RedisOptions:
    """An empty Redis."""
    return empty_redis("standalone", request)


@pytest.fixture(params=["standalone", "cluster"])
def any_redis(request: pytest.FixtureRequest) -> RedisOptions:
    """An empty Redis of either kind."""
    return empty_redis(request.param, request)


@pytest_asyncio.fixture
async def hub(redis: RedisOptions) -> AsyncIterator[Running]:
    """A hub on it."""
    async with running_on(redis.url) as running:
        yield running
