"""Blocking and revoking over several hub processes on one Redis, and over the restart of everything."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from hub.auth import issue_connection_token
from tests.support.hub_process import API_KEY
from tests.support.hubs import Hubs, HubSlot, hubs
from tests.support.js_client import JsDriver
from tests.support.jwks_server import JWKSServer
from tests.support.raw_client import TEXT
from tests.support.redis_server import RedisServer, redis_server
from tests.support.sdk_clients import Clients
from tests.support.signing import jwk_set, rsa_pair
from tests.support.swarm import swarm_settings
from tests.support.waiting import eventually_true
from tests.support.wire_client import WireClient, connected, wire_client
from tests.system.redis.world import FAST

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENT = {**FAST, "redis__probe_timeout_s": 2, "redis__command_timeout_s": 2}
"""Hubs that do not take a busy machine for a Redis that is away."""

WITHIN_S = 1.0
SIGNER = rsa_pair().signer(kid="k1")
BLOCKED, REVOKED = 4501, 3500


def token(user: str, **claims: Any) -> str:
    """A token that the key set of the hubs knows: RS256."""
    extra = {"iat": int(time.time()), **claims}
    return issue_connection_token(SIGNER, user, exp_s=int(time.time()) + 600, extra_claims=extra)


class World:
    """Two hubs, and their Redis, which keeps its data."""

    def __init__(self, redis: RedisServer, started: Hubs) -> None:
        self.redis, self.hubs = redis, started

    async def call(self, hub: HubSlot, method: str, **request: Any) -> None:
        """Call the server API of a hub; it must succeed."""
        async with httpx.AsyncClient(trust_env=False, headers={"X-API-Key": API_KEY}) as http:
            answer = await http.post(f"{hub.running.api_url}/{method}", json=request)
        assert answer.json() == {"result": {}}, answer.text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One world for all tests here; each has users of its own."""
    folder = tmp_path_factory.mktemp("revocation")
    async with contextlib.AsyncExitStack() as stack:
        keys = await stack.enter_async_context(JWKSServer(jwk_set(rsa_pair().jwk(kid="k1"))))
        redis = await stack.enter_async_context(redis_server(folder / "redis", keeps_data=True))
        env = swarm_settings(
            redis__url=redis.url,
            auth__jwks_url=keys.url,
            inbox__enabled=True,
            ping__interval_s=300,
            **PATIENT,
        )
        started = await stack.enter_async_context(hubs(2, Path(folder), env))
        await started.become_ready()
        yield World(redis, started)


async def close_code(client: WireClient) -> int:
    """With which code it is closed."""
    code, _ = await client.raw.read_close()
    return code


async def refused(hub: HubSlot, bearer: str) -> int:
    """With which code a connect is closed."""
    async with wire_client(hub.running) as client:
        client.send(client.command(connect={"token": bearer}))
        return await close_code(client)


async def is_let_in(hub: HubSlot, bearer: str) -> bool:
    """Whether a connect succeeds."""
    async with wire_client(hub.running) as client:
        client.send(client.command(connect={"token": bearer}))
        opcode, _ = await client.raw.read_frame()
    return opcode == TEXT


async def test_a_block_on_one_hub_ends_the_user_on_every_hub(world: World) -> None:
    """Within a second, and there is no way in until they are unblocked, on the other hub."""
    near, far = world.hubs
    bearer = token("ann")
    async with (
        connected(near.running, token=bearer) as here,
        connected(far.running, token=bearer) as there,
        connected(far.running, token=token("bob")) as other,
    ):
        started_s = time.monotonic()
        await world.call(near, "user_block", user="ann")
        assert await close_code(here) == BLOCKED
        assert await close_code(there) == BLOCKED
        assert time.monotonic() - started_s < WITHIN_S
        assert "refresh" in await other.ask_past_pushes(refresh={"token": token("bob")})
    for hub in world.hubs:
        assert await refused(hub, bearer) == BLOCKED
        assert await refused(hub, token("ann", jti="new")) == BLOCKED
    await world.call(far, "user_unblock", user="ann")
    for hub in world.hubs:
        assert await is_let_in(hub, bearer)


async def test_a_hub_that_missed_the_message_finds_out(world: World) -> None:
    """The rule is in Redis although nobody was told: every hub looks by itself."""
    async with (
        connected(world.hubs[0].running, token=token("carl")) as here,
        connected(world.hubs[1].running, token=token("carl")) as there,
    ):
        await world.redis.order("HSET", "hub:{ctl}:revocations", "epoch", "as-if-restored", "number", 7)
        await world.redis.order("HSET", "hub:{ctl}:revocations", "user:carl", "7 - 0")
        await world.redis.order("ZADD", "hub:{ctl}:revocation-order", 7, "user:carl")
        await world.redis.order("ZADD", "hub:{ctl}:revocation-ends", "+inf", "user:carl")
        started_s = time.monotonic()
        assert await close_code(here) == BLOCKED
        assert await close_code(there) == BLOCKED
        assert time.monotonic() - started_s < 3 * WITHIN_S


async def test_tokens_are_revoked_everywhere(world: World) -> None:
    """By jti, and by the time of issue; on whichever hub the token was remembered."""
    near, far = world.hubs
    now_s = int(time.time())
    stolen, old, new = (
        token("dora", jti="stolen"),
        token("dora", iat=now_s - 60),
        token("dora", iat=now_s),
    )
    async with (
        connected(far.running, token=stolen) as thief,
        connected(far.running, token=old) as older,
        connected(far.running, token=new) as newer,
    ):
        started_s = time.monotonic()
        await world.call(near, "token_revoke", jti="stolen")
        assert await close_code(thief) == REVOKED
        await world.call(near, "token_revoke", user="dora", issued_before=(now_s - 30) * 1000)
        assert await close_code(older) == REVOKED
        assert time.monotonic() - started_s < 2 * WITHIN_S
        newer.send(newer.command(refresh={"token": stolen}))
        assert await close_code(newer) == REVOKED
    for hub in world.hubs:
        assert await refused(hub, stolen) == REVOKED
        assert await refused(hub, old) == REVOKED
        assert await is_let_in(hub, new)


async def test_http_of_apps_refuses_them_too(world: World) -> None:
    """403 with 1010, and 401."""
    near, far = world.hubs
    await world.call(near, "user_block", user="emil")
    await world.call(near, "token_revoke", jti="gone")

    async def status(bearer: str) -> tuple[int, int]:
        async with httpx.AsyncClient(trust_env=False) as http:
            headers = {"Authorization": f"Bearer {bearer}"}
            answer = await http.get(f"{far.running.url}/client/v1/devices", headers=headers)
        return answer.status_code, answer.json()["error"]["code"]

    assert await status(token("emil")) == (403, 1010)
    assert await status(token("fritz", jti="gone")) == (401, 101)


async def test_it_outlives_all_hubs_and_a_crash_of_redis(world: World) -> None:
    """What was blocked and revoked stays so, and only that."""
    bearer = token("hans")
    await world.call(world.hubs[0], "user_block", user="gerd")
    await world.call(world.hubs[0], "user_block", user="ilse")
    await world.call(world.hubs[0], "token_revoke", jti="before the restart")
    await world.call(world.hubs[1], "user_unblock", user="ilse")
    for hub in world.hubs:
        await hub.stop()
    await world.redis.restart(crash=True)
    for hub in world.hubs:
        await hub.start()
    await world.hubs.become_ready()
    for hub in world.hubs:
        assert await refused(hub, token("gerd")) == BLOCKED
        assert await refused(hub, token("hans", jti="before the restart")) == REVOKED
        assert await is_let_in(hub, bearer)
        assert await is_let_in(hub, token("ilse"))


async def test_a_redis_that_lost_everything_gets_it_back(world: World) -> None:
    """From hubs that run; one that starts later knows it as well."""
    await world.call(world.hubs[0], "user_block", user="jens")
    await world.redis.order("FLUSHALL")

    async def is_back() -> bool:
        return bool(await world.redis.order("HEXISTS", "hub:{ctl}:revocations", "user:jens"))

    await eventually_true(is_back)
    assert await refused(world.hubs[1], token("jens")) == BLOCKED
    await world.hubs[1].stop()
    await world.hubs[1].start()
    await world.hubs.become_ready()
    assert await refused(world.hubs[1], token("jens")) == BLOCKED


async def test_while_redis_is_away_the_connected_stay(world: World) -> None:
    """Nobody new comes in who might be blocked; whoever was kept out is so afterwards too."""
    async with connected(world.hubs[0].running, token=token("kurt")) as client:
        await world.call(world.hubs[0], "user_block", user="lars")
        world.redis.pause()
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=10.0) as http:
                answer = await http.post(
                    f"{world.hubs[0].running.api_url}/user_block",
                    json={"user": "kurt"},
                    headers={"X-API-Key": API_KEY},
                )
            assert answer.status_code == 503
            await world.hubs[0].becomes_ready(False)
        finally:
            world.redis.resume()
        await world.hubs.become_ready()
        await world.call(world.hubs[0], "user_block", user="kurt")
        assert await close_code(client) == BLOCKED
    assert await refused(world.hubs[0], token("lars")) == BLOCKED


async def test_an_sdk_that_is_blocked_does_not_move_to_another_hub(world: World, js: JsDriver) -> None:
    """It ends for good where it was, and tries nowhere else."""
    async with Clients(js.client, "json") as clients:
        client = await clients.connected(world.hubs[0].running.ws_url, token=token("maja"))
        await world.call(world.hubs[1], "user_block", user="maja")
        assert (await client.events.next("disconnected"))["code"] == BLOCKED
        await asyncio.gather(*(hub.becomes_ready() for hub in world.hubs))
        assert client.events.all("connecting")[1:] == []
