"""``hub worker`` beside a Redis: it pushes, it ends in order, and another takes over what a dead one held."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hub.delivery.model import DeviceRecord
from hub.delivery.notification import Notification
from hub.engine import Engine
from hub.engine.notifying import notify
from hub.engine.redis import RedisOptions, redis_engine
from hub.model import NodeId
from tests.support.redis_server import RedisServer, redis_server
from tests.support.waiting import eventually, eventually_true
from tests.support.worker_process import worker_process

LANE = "recording:demo:production"


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A Redis of the test's own."""
    async with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
async def engine(redis: RedisServer) -> AsyncIterator[Engine]:
    """The same Redis as the test sees it."""
    made = redis_engine(RedisOptions(redis.url), NodeId("test"), namespaces=None)
    await made.lifecycle.start()
    try:
        yield made
    finally:
        await made.lifecycle.stop()


@pytest.fixture
def settings(tmp_path: Path, redis: RedisServer) -> Path:
    """Two lanes: one writes down what it would push, the other cannot."""
    text = f"""
redis.url = "{redis.url}"
delivery.claim_s = 2
delivery.again_s = 0.1
log.level = "info"

[[push.apps]]
name = "demo"
provider = "recording"
credentials = "{tmp_path}/pushes"

[[push.apps]]
name = "broken"
provider = "recording"
credentials = "{tmp_path}/no/such/place"
"""
    path = tmp_path / "hub.toml"
    path.write_text(text)
    return path


def pushed(folder: Path) -> list[dict[str, Any]]:
    """What was pushed so far."""
    path = folder / "pushes"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def register(engine: Engine, user: str) -> None:
    """A phone that is away."""
    record = DeviceRecord("android", "recording", "demo", "production", f"token-of-{user}")
    await engine.devices.register(user, f"a-device-of-{user:0>20}", record)


def call(notification: str) -> Notification:
    """What is said."""
    return Notification(round(time.time() * 1000), notification, None, {"title": "Hello"})


async def test_it_pushes_names_what_it_cannot_and_ends_in_order(
    tmp_path: Path, settings: Path, engine: Engine
) -> None:
    """Woken by Redis; nothing secret is in its log."""
    await register(engine, "alice")
    async with worker_process(tmp_path, "w1", "--config", str(settings)) as worker:
        assert worker.told["lanes"] == [LANE]
        assert list(worker.told["broken"]) == ["recording:broken:production"]
        await notify(engine.ledger, engine.jobs, call("n-1"), ["alice"])
        await eventually(lambda: len(pushed(tmp_path)) == 1, timeout_s=1.0)
        assert await worker.ends_after(signal.SIGTERM) == 0
    log = worker.log.read_text()
    assert "Traceback" not in log
    assert "token-of-alice" not in log
    events = [mark.event for mark in await engine.ledger.trace("alice", "n-1")]
    assert events == ["accepted", "due", "claimed", "attempt", "pushed"]


async def test_another_worker_takes_over_from_a_dead_one(
    tmp_path: Path, settings: Path, engine: Engine
) -> None:
    """A large call, the worker that has it killed midway: everybody is pushed to, twice at most once each."""
    users = [f"user{number}" for number in range(1200)]
    await asyncio.gather(*(register(engine, user) for user in users))
    async with worker_process(tmp_path, "w1", "--config", str(settings)) as first:
        await notify(engine.ledger, engine.jobs, call("n-1"), users)
        await eventually(lambda: len(pushed(tmp_path)) > 100)
        await first.ends_after(signal.SIGKILL)

    async def all_settled() -> bool:
        status = await engine.jobs.status("n-1")
        return (
            status is not None
            and not status.running
            and await engine.ledger.oldest_due_ms(LANE) is None
            and {push["user"] for push in pushed(tmp_path)} == set(users)
        )

    async with worker_process(tmp_path, "w2", "--config", str(settings), "--lanes", "*:demo:*"):
        await eventually_true(all_settled, timeout_s=20.0)
    ids = [push["push_id"] for push in pushed(tmp_path)]
    # Repeats are those that were on their way, and each replaces its first.
    assert len(set(ids)) == len(users)
    assert len(ids) - len(users) <= 100
