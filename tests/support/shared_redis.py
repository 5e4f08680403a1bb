"""One Redis of each kind for many tests: fixtures of a session, for a conftest to import."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import redis

from hub.engine.redis.options import RedisOptions
from tests.support.redis_server import RedisCluster, RedisServer, redis_cluster, redis_server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    """A server that nobody may stop."""
    async with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisCluster]:
    """Three primaries that nobody may stop."""
    async with redis_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def empty_redis(kind: str, request: pytest.FixtureRequest) -> RedisOptions:
    """The shared Redis of a kind, ``standalone`` or ``cluster``, emptied for one test."""
    if kind == "cluster":
        cluster: RedisCluster = request.getfixturevalue("shared_cluster")
        servers, url = cluster.servers, cluster.url
    else:
        server: RedisServer = request.getfixturevalue("shared_server")
        servers, url = [server], server.url
    for each in servers:
        with redis.Redis(port=each.port) as client:
            client.flushall()
    return RedisOptions(url, partitions=4)
