"""A world to break: Redis, three hubs on it, and HAProxy in front of them.

Delays are a tenth of real life's where a test would have to wait for them; :data:`FAST` says which.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.balancer import balancing
from tests.support.hubs import Hubs, hubs
from tests.support.js_client import JsDriver
from tests.support.redis_server import RedisServer, redis_server
from tests.support.swarm import STANDARD, Size, Swarm, swarm, swarm_settings
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

LEASE_S = 2.0
FAST: Mapping[str, Any] = {
    "redis__probe_interval_s": 0.2,
    "redis__probe_timeout_s": 0.6,
    "redis__command_timeout_s": 1.0,
    "redis__connect_timeout_s": 0.6,
    "redis__lease_s": LEASE_S,
    "redis__lease_renew_s": 0.5,
    "recovery__check_interval_s": 4,
}


@dataclass(frozen=True, slots=True)
class World:
    """``url`` leads through the balancer."""

    hubs: Hubs
    url: str
    js: JsDriver

    @contextlib.asynccontextmanager
    async def swarm(self, size: Size = STANDARD) -> AsyncIterator[Swarm]:
        """A swarm on hubs that are all up and ready, whatever a test before has left."""
        for hub in self.hubs:
            if not hub.is_running:
                await hub.start()
        await self.hubs.become_ready()
        try:
            async with swarm(self.url, self.js, size) as running:
                yield running
        except Exception as error:
            for hub in self.hubs:
                error.add_note(f"{hub.name} logged:\n{hub.log()}")
            raise


@dataclass(frozen=True, slots=True)
class SingleWorld(World):
    """With one Redis server, and ``link`` between it and the hubs."""

    redis: RedisServer
    link: TcpProxy


@contextlib.asynccontextmanager
async def world(
    redis_url: str, folder: Path, js: JsDriver, settings: Mapping[str, Any] = FAST
) -> AsyncIterator[World]:
    """Hubs on the Redis at ``redis_url`` for the length of the block."""
    env = swarm_settings(redis__url=redis_url, **settings)
    async with (
        hubs(3, folder, env) as started,
        balancing([hub.port for hub in started], folder) as url,
    ):
        yield World(started, url, js)


@contextlib.asynccontextmanager
async def single_world(
    folder: Path, js: JsDriver, settings: Mapping[str, Any] = FAST
) -> AsyncIterator[SingleWorld]:
    """Hubs on one Redis server that keeps its data over a restart."""
    async with (
        redis_server(folder / "redis", keeps_data=True) as redis,
        tcp_proxy(redis.address) as link,
        world("redis://{}:{}".format(*link.address), folder, js, settings) as started,
    ):
        yield SingleWorld(started.hubs, started.url, js, redis, link)
