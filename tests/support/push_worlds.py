"""A world with phones that are away: an engine, registrations, and workers over scripted providers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

from hub.delivery.model import DeviceRecord, Mark, Notified
from hub.delivery.notification import Notification
from hub.engine import Engine
from tests.support.scripted_sender import ScriptedSender
from workers.breaker import BreakerOptions
from workers.dispatcher import DispatcherOptions, LanePlan
from workers.metrics import WorkerMetrics
from workers.serving import ServingOptions
from workers.worker import Worker, WorkerOptions

APNS = "apns:com.example.app:production"
FCM = "fcm:example-project:production"

QUICK = WorkerOptions(
    DispatcherOptions(
        ServingOptions(request_deadline_s=1.2, min_claim_left_s=1.5),
        BreakerOptions(pause_s=0.2, stop_pause_s=0.2, min_count=8),
        survey_s=0.5,
    ),
    stop_deadline_s=2.0,
)
"""The delays of workers at a tenth, for claims of three seconds."""


def record(lane: str = APNS, token: str = "a" * 64) -> DeviceRecord:
    """What an app of ``lane`` registers."""
    provider, app, environment = lane.split(":")
    platform = "ios" if provider == "apns" else "android"
    return DeviceRecord(platform, provider, app, environment, token)


def device_id(number: int) -> str:
    """The id of a device that the test counts."""
    return f"device-{number:012d}"


async def register(engine: Engine, user: str, number: int = 1, lane: str = APNS) -> str:
    """Register a device, with a token of its own."""
    device = device_id(number)
    await engine.devices.register(user, device, record(lane, f"{user}{number}".encode().hex() + "ab" * 16))
    return device


async def notify(
    engine: Engine, user: str, notification: str, *, ttl_s: int = 3600, thread: str = ""
) -> Notified:
    """Say it once."""
    shown = {"title": notification, **({"thread": thread} if thread else {})}
    call = Notification(round(time.time() * 1000), notification, None, shown, ttl_s=ttl_s)
    return await engine.ledger.notify(user, call.entry())


async def events(engine: Engine, user: str, notification: str) -> list[str]:
    """What its trace says happened, in order."""
    return [mark.event for mark in await trace(engine, user, notification)]


async def trace(engine: Engine, user: str, notification: str) -> list[Mark]:
    """Its trace."""
    return await engine.ledger.trace(user, notification)


async def owed(engine: Engine, user: str) -> int:
    """What is still owed to all devices of a user."""
    return sum(view.owed for view in await engine.devices.view(user))


def plan(lane: str, sender: ScriptedSender, concurrency: int = 10) -> LanePlan:
    """A lane over a scripted provider."""
    return LanePlan(lane, lambda shelf: sender, concurrency)


@contextlib.asynccontextmanager
async def working(
    engine: Engine,
    plans: Sequence[LanePlan],
    options: WorkerOptions = QUICK,
    *,
    name: str = "w1",
    metrics: WorkerMetrics | None = None,
) -> AsyncIterator[Worker]:
    """A worker at work; ended at once at the end, however it stands."""
    # No jitter: waits of retries are then the shortest, which tests can wait for.
    worker = Worker(engine, plans, options, name=name, metrics=metrics, random=lambda: 0.0)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.abort()
        await asyncio.sleep(0)
