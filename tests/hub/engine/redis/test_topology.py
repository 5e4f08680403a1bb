"""Where the primaries are, asked of real Sentinels and of a real Cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.engine.redis.address import Endpoint, parse_address
from hub.engine.redis.topology import Topology, make_topology, slot_of
from hub.errors import EngineUnavailable
from tests.hub.engine.redis.links import quick
from tests.support.processes import free_port
from tests.support.redis_server import (
    RedisCluster,
    RedisSentinels,
    RedisServer,
    redis_cluster,
    redis_sentinels,
    redis_server,
    until,
)


def topology_of(url: str) -> Topology:
    """Not yet asked."""
    return make_topology(quick(url), parse_address(url))


def endpoint_of(server: RedisServer) -> Endpoint:
    return Endpoint(*server.address)


async def refusal(topology: Topology) -> str:
    with pytest.raises(EngineUnavailable) as caught:
        await topology.refresh()
    return caught.value.detail


async def test_a_single_server_is_what_the_url_says() -> None:
    """Nobody is asked."""
    topology = topology_of("redis://example.org:1")
    assert topology.endpoint_of("p1") == Endpoint("example.org", 1)
    await topology.refresh()
    assert topology.endpoints == {Endpoint("example.org", 1)}
    assert not topology.sharded


@pytest.fixture
async def sentinels(tmp_path: Path) -> AsyncIterator[RedisSentinels]:
    async with redis_sentinels(tmp_path) as running:
        yield running


async def test_sentinels_name_the_primary_while_one_of_them_lives(sentinels: RedisSentinels) -> None:
    """Also one that the URL does not name; and a change is told, once."""
    dead = f"127.0.0.1:{free_port()}"
    topology = topology_of(f"redis+sentinel://{dead},127.0.0.1:{sentinels.sentinels[0].port}/mymaster")
    changes: list[Endpoint | None] = []
    topology.on_change(lambda: changes.append(topology.endpoint_of("p1")))
    assert topology.endpoint_of("p1") is None
    await asyncio.gather(topology.refresh(), topology.refresh())
    first = await sentinels.primary()
    assert changes == [endpoint_of(first)]
    await sentinels.sentinels[0].stop()
    await topology.refresh()
    assert "knows no primary named 'other'" in await refusal(
        topology_of(f"redis+sentinel://127.0.0.1:{sentinels.sentinels[1].port}/other")
    )
    await sentinels.sentinels[0].start()
    await sentinels.fail_over()
    second = endpoint_of(await sentinels.primary())
    await until(lambda: _becomes(topology, second))
    assert changes == [endpoint_of(first), second]
    assert topology.endpoints == {changes[1]}


async def _becomes(topology: Topology, endpoint: Endpoint) -> bool:
    await topology.refresh()
    return topology.endpoint_of("p1") == endpoint


async def test_no_sentinel_at_all_is_said_with_every_reason() -> None:
    """And what was known stays."""
    ports = free_port(), free_port()
    topology = topology_of(f"redis+sentinel://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/mymaster")
    detail = await refusal(topology)
    assert all(str(port) in detail for port in ports)


async def test_a_sentinel_with_a_password_of_its_own(tmp_path: Path) -> None:
    """Said when it is missing, used when it is there."""
    async with redis_server(tmp_path, password="secret") as server:
        place = f"127.0.0.1:{server.port}/mymaster"
        assert "wants a password" in await refusal(topology_of(f"redis+sentinel://{place}"))
        let_in = topology_of(f"redis+sentinel://{place}?sentinel_password=secret")
        assert "knows no primary" in await refusal(let_in)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[RedisCluster]:
    async with redis_cluster(tmp_path) as running:
        yield running


async def test_a_cluster_tells_its_slots(cluster: RedisCluster) -> None:
    """Of any node; a redirection is believed until the next asking."""
    topology = topology_of(f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{cluster.servers[1].port}")
    told: list[None] = []
    topology.on_change(lambda: told.append(None))
    await topology.refresh()
    assert topology.sharded
    assert topology.endpoints == {endpoint_of(server) for server in cluster.servers}
    owner = await cluster.primary_of(slot_of("p1"))
    assert topology.endpoint_of("p1") == endpoint_of(owner)
    elsewhere = Endpoint("elsewhere", 1)
    topology.moved(slot_of("p1"), elsewhere)
    topology.moved(slot_of("p1"), elsewhere)
    assert topology.endpoint_of("p1") == elsewhere
    await asyncio.sleep(0)
    assert len(told) == 2
    await topology.refresh()
    assert topology.endpoint_of("p1") == endpoint_of(owner)


async def test_a_server_that_is_no_cluster_is_said_to_be_none(tmp_path: Path) -> None:
    """With the URL that would do."""
    async with redis_server(tmp_path) as server:
        assert "use redis://" in await refusal(topology_of(f"redis+cluster://127.0.0.1:{server.port}"))


async def test_a_cluster_without_slots_tells_nothing(tmp_path: Path) -> None:
    """It was never put together."""
    async with redis_server(
        tmp_path, settings=["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
    ) as server:
        assert "knows no slot" in await refusal(topology_of(f"redis+cluster://127.0.0.1:{server.port}"))
