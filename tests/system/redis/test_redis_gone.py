"""While Redis is away: who is connected stays, who needs Redis is told to come again, nothing restarts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from tests.support.hub_process import API_KEY, OPEN_CHANNEL, Running, hub_process
from tests.support.hubs import HubSlot, hubs
from tests.support.raw_client import RawClient, Response, upgrade_request
from tests.support.redis_server import RedisServer, redis_server
from tests.support.swarm import swarm_settings
from tests.support.tcp_proxy import TcpProxy, tcp_proxy
from tests.support.wire_client import WireClient, connected
from tests.system.redis.world import FAST

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOWER_PING = {"ping__interval_s": 25, "ping__pong_timeout_s": "8"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    """A Redis server that keeps its data."""
    async with redis_server(tmp_path_factory.mktemp("gone"), keeps_data=True) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def link(redis: RedisServer) -> AsyncIterator[TcpProxy]:
    """What lies between the hub and Redis."""
    async with tcp_proxy(redis.address) as proxy:
        yield proxy


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(link: TcpProxy, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HubSlot]:
    """One hub on it."""
    url = "redis://{}:{}".format(*link.address)
    settings = {**FAST, **SLOWER_PING}
    env = swarm_settings(redis__url=url, channels__without_namespace=OPEN_CHANNEL, **settings)
    async with hubs(1, tmp_path_factory.mktemp("hub"), env) as (slot,):
        yield slot


async def upgrade(running: Running) -> Response:
    """The answer to somebody new."""
    parts = urlsplit(running.url)
    assert parts.hostname is not None and parts.port is not None
    async with await RawClient.connect((parts.hostname, parts.port)) as client:
        client.send(upgrade_request())
        return await client.read_response()


async def publish(running: Running, channel: str) -> httpx.Response:
    """The answer to a publisher."""
    async with httpx.AsyncClient(trust_env=False, headers={"X-API-Key": API_KEY}) as http:
        return await http.post(f"{running.api_url}/publish", json={"channel": channel, "data": 1})


async def error_of(client: WireClient, **request: object) -> dict[str, object]:
    """The error that one command is answered with; pushes before it are passed over."""
    command = client.command(**request)
    client.send(command)
    while (reply := await client.next()).get("id") != command["id"]:
        pass
    error: dict[str, object] = reply["error"]
    return error


async def goes_away_and_comes_back(hub: HubSlot, link: TcpProxy, *, cut: bool) -> None:
    """Everything that is promised for one outage."""
    running = hub.running
    async with connected(running, "ann") as ann:
        await ann.subscribe("news")
        link.cut() if cut else link.stall()
        await hub.becomes_ready(False)
        for answer in (await upgrade(running), await publish(running, "news")):
            status = answer.status if isinstance(answer, Response) else answer.status_code
            assert (status, answer.headers["retry-after"].isdigit()) == (503, True)
        for request in ({"subscribe": {"channel": "other"}}, {"history": {"channel": "news"}}):
            refused = await error_of(ann, **request)
            assert (refused["code"], refused["temporary"]) == (100, True)
        link.restore()
        await hub.becomes_ready()

        async def is_published() -> bool:
            return (await publish(running, "news")).status_code == 200

        # Ready means ready.
        assert await is_published()
        while "pub" not in (await ann.push()):
            pass
        assert (await ann.subscribe("other"))["recoverable"]
        async with connected(running, "bob") as bob:
            await bob.subscribe("news")


async def test_a_cut_link(hub: HubSlot, link: TcpProxy) -> None:
    """Refused at once."""
    await goes_away_and_comes_back(hub, link, cut=True)


async def test_a_stalled_link(hub: HubSlot, link: TcpProxy) -> None:
    """Silent instead."""
    await goes_away_and_comes_back(hub, link, cut=False)


async def test_a_frozen_server(hub: HubSlot, redis: RedisServer) -> None:
    """Nothing is answered for a while, then everything is."""
    redis.pause()
    await hub.becomes_ready(False)
    redis.resume()
    await hub.becomes_ready()
    assert (await publish(hub.running, "news")).status_code == 200


async def test_a_hub_does_not_start_without_redis(hub: HubSlot, link: TcpProxy, tmp_path: Path) -> None:
    """It says so in words and ends, for its supervisor to try again."""
    env = swarm_settings(redis__url="redis://{}:{}".format(*link.address), **FAST)
    link.cut()
    with pytest.raises(AssertionError, match="Redis") as refusal:
        async with hub_process(tmp_path, env=env):
            pass
    link.restore()
    assert "Traceback" not in str(refusal.value)
    await hub.becomes_ready()
