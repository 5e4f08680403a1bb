"""Metrics of a worker, and of several hub processes on one port."""

from __future__ import annotations

import re
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx

from hub.delivery.model import DeviceRecord
from hub.delivery.notification import Notification
from hub.engine.notifying import notify
from hub.engine.redis import RedisOptions, redis_engine
from hub.model import NodeId
from tests.support.hub_process import OPEN_CHANNEL, SECRET, hub_process
from tests.support.prometheus import scrape
from tests.support.redis_server import redis_server
from tests.support.waiting import eventually_true
from tests.support.wire_client import connected
from tests.support.worker_process import worker_process

LANE = "recording:demo:production"


async def test_a_worker_shows_its_lanes(tmp_path: Path) -> None:
    """On a port of its own, with its health beside."""
    async with redis_server(tmp_path) as redis:
        settings = tmp_path / "hub.toml"
        settings.write_text(
            f'redis.url = "{redis.url}"\npush.metrics_port = 0\n'
            f'[[push.apps]]\nname = "demo"\nprovider = "recording"\ncredentials = "{tmp_path}/pushes"\n'
        )
        engine = redis_engine(RedisOptions(redis.url), NodeId("test"), namespaces=None)
        await engine.lifecycle.start()
        try:
            async with worker_process(tmp_path, "w1", "--config", str(settings)) as worker:
                told = re.search(r"listening on (\S+) port (\d+)", worker.log.read_text())
                assert told is not None
                url = f"http://{told[1]}:{told[2]}"
                record = DeviceRecord("android", "recording", "demo", "production", "token-of-ann")
                await engine.devices.register("ann", "a-phone", record)
                notification = Notification(created_ms=int(time.time() * 1000), shown={"title": "Anna"})
                await notify(engine.ledger, engine.jobs, notification, ["ann"])

                async def is_pushed() -> bool:
                    page = await scrape(url)
                    return page.sum("hub_push_attempts_total", lane=LANE, outcome="accepted") == 1

                await eventually_true(is_pushed)
                page = await scrape(url)
                assert page.sum("hub_push_rows_claimed_total", lane=LANE) == 1
                assert page.sum("hub_push_breaker_open", lane=LANE) == 0
                assert page.sum("hub_engine_up") == 1
                assert page.sum("hub_engine_command_seconds_count") > 0
                assert page.sum("hub_engine_probe_age_seconds") < 5
                async with httpx.AsyncClient(trust_env=False) as http:
                    assert (await http.get(f"{url}/health/live")).json()["status"] == "live"
                assert await worker.ends_after(signal.SIGTERM) == 0
        finally:
            await engine.lifecycle.stop()


async def test_several_processes_answer_as_one(tmp_path: Path) -> None:
    """Whichever of them is asked, it tells of all."""
    channel = "\n".join(
        f"{name} = {str(value).lower()}" for name, value in OPEN_CHANNEL.items() if value is True
    )
    settings = tmp_path / "hub.toml"
    async with redis_server(tmp_path) as redis:
        settings.write_text(
            f'redis.url = "{redis.url}"\nauth.secret = "{SECRET}"\n[channels.without_namespace]\n'
            f'history_size = 10\nhistory_ttl = "300s"\n{channel}\n'
        )
        arguments = ("--config", str(settings), "--processes", "2")
        async with hub_process(tmp_path, *arguments) as hub, AsyncExitStack() as clients:
            for number in range(8):
                await clients.enter_async_context(connected(hub, f"user{number}", name="python"))

            async def all_tell(count: float) -> bool:
                # A connection of its own each time: any of the processes may take it.
                pages = [await scrape(hub.url) for _ in range(6)]
                return all(page.sum("hub_connections", sdk="python") == count for page in pages)

            async def all_are_there() -> bool:
                return await all_tell(8)

            async def all_are_gone() -> bool:
                return await all_tell(0)

            await eventually_true(all_are_there, 10)
            page = await scrape(hub.url)
            assert page.sum("hub_connections_opened_total", sdk="python") == 8
            assert page.sum("hub_build_info", engine="redis") == 1
            assert page.sum("hub_engine_up") == 1
            await clients.aclose()
            await eventually_true(all_are_gone, 10)
            assert (await scrape(hub.url)).sum("hub_connections_closed_total") == 8
            assert await hub.terminate() == 0
