"""The processes under the phones: Redis, hubs, workers, simulated providers; and how they die."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.light_phones import SECRET
from benchmarks.redis.redis_process import redis_process
from benchmarks.support import ROOT
from hub.testing.simulators.faults import Fault
from hub.testing.simulators.standing import Standing, StandingProviders

API_KEY = "benchmark-key-that-opens-everything"
APNS_APP, FCM_APP = "com.example.app", "simulated-project"
START_TIMEOUT_S = 30.0


def environment(redis_url: str, apps: list[dict[str, Any]], scale: float) -> dict[str, str]:
    """Settings of hubs and workers, every delay of delivery scaled."""
    delays = {
        "HUB_DELIVERY__ACK_WAIT_S": 5,
        "HUB_DELIVERY__GRACE_S": 8,
        "HUB_DELIVERY__MAX_DEFER_S": 20,
        "HUB_DELIVERY__AGAIN_S": 1,
        "HUB_DELIVERY__BADGE_DELAY_S": 3,
        "HUB_PING__PONG_TIMEOUT_S": 8,
        "HUB_REDIS__LEASE_S": 10,
        "HUB_REDIS__LEASE_RENEW_S": 3,
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    return (
        clean
        | {name: str(value * scale) for name, value in delays.items()}
        | {
            # Told to clients in whole seconds, so it cannot be scaled as finely as the rest.
            "HUB_PING__INTERVAL_S": str(max(1, round(25 * scale))),
            "HUB_AUTH__SECRET": SECRET,
            "HUB_REDIS__URL": redis_url,
            "HUB_API__KEYS": json.dumps([{"name": "benchmark", "key": API_KEY, "scopes": ["admin"]}]),
            "HUB_PUSH__APPS": json.dumps(apps),
            "HUB_LOG__LEVEL": "error",
            "PYTHONPATH": str(ROOT),
        }
    )


class Server:
    """One process of ours that is killed now and then, and started again."""

    def __init__(self, arguments: list[str], env: dict[str, str], log: Path, port: int = 0) -> None:
        self._arguments = arguments
        self._env = env
        self._log = log
        self.port = port
        self.is_up = False
        self.deaths = 0
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Run it; returns once it says that it is ready."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "hub", *self._arguments, "--json"),
                env=self._env,
                cwd=self._log.parent,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(START_TIMEOUT_S):
            line = await self._process.stdout.readline()
        if "error" in json.loads(line or b'{"error": ""}'):
            raise RuntimeError(f"it did not start: {line.decode()}\n{self._log.read_text()[-2000:]}")
        self.is_up = True

    async def kill(self) -> None:
        """As a power cut would."""
        self.is_up = False
        self.deaths += 1
        await self.stop(signal.SIGKILL)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait for the end."""
        self.is_up = False
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(how)
            await self._process.wait()


class World:
    """What runs. ``ports`` are those of the hubs that can be connected to."""

    def __init__(self, hubs: list[Server], workers: list[Server], providers: StandingProviders) -> None:
        self.hubs = hubs
        self.workers = workers
        self.providers = providers

    def ports(self) -> list[int]:
        """Of the hubs that are up."""
        return [hub.port for hub in self.hubs if hub.is_up]

    async def crash(self, servers: list[Server], every_s: float, down_s: float, dice: random.Random) -> None:
        """Kill one of ``servers`` now and then, for ever."""
        while True:
            await asyncio.sleep(every_s * dice.uniform(0.7, 1.3))
            victim = dice.choice(servers)
            await victim.kill()
            await asyncio.sleep(down_s)
            await victim.start()


@asynccontextmanager
async def world(
    *, hubs: int, workers: int, scale: float, refusals: float, on_push: Callable[[Any], None]
) -> AsyncIterator[World]:
    """Everything, up and connected; ended with the block."""
    with tempfile.TemporaryDirectory() as folder, redis_process() as redis:
        place = Path(folder)
        providers = StandingProviders(Standing(place / "providers", APNS_APP, FCM_APP))
        await providers.start()
        started: list[Server] = []
        try:
            for provider, reason in ((providers.apns, "ServiceUnavailable"), (providers.fcm, "UNAVAILABLE")):
                provider.rate(refusals, Fault.answer(503, reason, retry_after_s=1))
            providers.listen(on_push)
            apps = [app for app in providers.apps() if app["provider"] != "webpush"]
            env = environment(redis.url, apps, scale)
            ports = [_free_port() for _ in range(hubs)]
            made = World(
                [
                    Server(["serve", "--port", str(port)], env, place / f"hub{number}.log", port)
                    for number, port in enumerate(ports)
                ],
                [Server(["worker"], env, place / f"worker{number}.log") for number in range(workers)],
                providers,
            )
            started = [*made.hubs, *made.workers]
            for server in started:
                await server.start()
            yield made
        finally:
            await asyncio.gather(*(server.stop() for server in started))
            await providers.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
