"""Real Redis for the tests of this room: one server and one Cluster for all of them, emptied for each."""

from __future__ import annotations

import pytest

from hub.engine.redis.options import RedisOptions
from tests.support.shared_redis import empty_redis, shared_cluster, shared_server

__all__ = ["redis_options", "shared_cluster", "shared_server"]


@pytest.fixture(params=["standalone", "cluster"])
def redis_options(request: pytest.FixtureRequest) -> RedisOptions:
    """An empty Redis of either kind."""
    return empty_redis(request.param, request)
