"""In a child: a whole worker over Redis, against the sink.

Orders: ``prepare`` registers phones that are away and notifies each of their users; ``run`` lets a
worker claim, send and settle all of it. The answer has CPU and wall seconds from the moment when a
tenth is done: connections stand then, as those of the library do from one round to the next.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from typing import Any

import uvloop

from benchmarks.support import Answer, Order, obey
from benchmarks.workers.sink import APP, KEY_ID, PROJECT, TEAM_ID
from config import read_settings
from hub.delivery.model import DeviceRecord
from hub.delivery.notification import Notification
from hub.engine import Engine
from hub.engines import build_engine_beside
from hub.from_push_settings import lane_plans, worker_options
from hub.serving import tune_collector
from workers.metrics import NopWorkerMetrics
from workers.push import Kind, Outcome, Verdict
from workers.worker import Worker

_AT_ONCE = 200
_LANES = {"apns": f"apns:{APP}:production", "fcm": f"fcm:{PROJECT}:production"}


class Counting(NopWorkerMetrics):
    """Tells when so many were taken and the last was settled; the clocks run after the first tenth."""

    def __init__(self, count: int) -> None:
        self.done = asyncio.Event()
        self.refused = 0
        self.measured_count = count - count // 10
        self.cpu_s = self.wall_s = 0.0
        self._left = count

    def attempt_finished(self, lane: str, kind: Kind, outcome: Outcome, latency_s: float) -> None:
        if self._left == self.measured_count:
            self.cpu_s, self.wall_s = time.process_time(), time.perf_counter()
        self._left -= 1
        self.refused += outcome.verdict is not Verdict.ACCEPTED

    def in_flight(self, lane: str, count: int) -> None:
        if count == 0 and self._left <= 0:
            self.done.set()


class Pipeline:
    """The engine, and workers over it."""

    def __init__(self, told: dict[str, Any]) -> None:
        sink = told["sink"]
        common = {"url": f"https://localhost:{sink['port']}", "ca_file": sink["ca_file"]}
        common["concurrency"] = told["concurrency"]
        overrides = {
            "insecure.client": True,
            "redis.url": told["redis_url"],
            "push.apps": [
                common
                | {"name": APP, "provider": "apns", "credentials": sink["apns_key_file"]}
                | {"key_id": KEY_ID, "team_id": TEAM_ID, "connections": 1},
                common | {"name": PROJECT, "provider": "fcm", "credentials": sink["service_account_file"]},
            ],
        }
        self._settings = read_settings(None, {}, overrides).settings
        self._engine: Engine | None = None

    async def start(self) -> Engine:
        """The engine, opened once."""
        if self._engine is None:
            self._engine = build_engine_beside(self._settings)
            await self._engine.lifecycle.start()
        return self._engine

    async def prepare(self, order: Order) -> Answer:
        """Make ``count`` users with a phone each, and owe each of them one notification."""
        engine, lane = await self.start(), _LANES[order["provider"]]
        provider, app, environment = lane.split(":")
        numbers = iter(range(order["count"]))
        run = uuid.uuid4().hex[:8]
        shown = {"title": "Order shipped", "body": "It is on its way"}

        async def some() -> None:
            for number in numbers:
                user = f"{provider}{number}"
                token = f"{number:064x}" if provider == "apns" else f"token-{number:060x}"
                record = DeviceRecord("ios", provider, app, environment, token)
                await engine.devices.register(user, f"device-of-{number:012d}", record)
                call = Notification(round(time.time() * 1000), f"{run}-{number}", b'{"order":7}', shown)
                await engine.ledger.notify(user, call.entry())

        await asyncio.gather(*(some() for _ in range(_AT_ONCE)))
        return {"run": run}

    async def run(self, order: Order) -> Answer:
        """Deliver all that is due in the provider's lane."""
        engine, lane = await self.start(), _LANES[order["provider"]]
        metrics = Counting(order["count"])
        worker = Worker(
            engine,
            lane_plans(self._settings, [lane]),
            worker_options(self._settings),
            name="bench",
            metrics=metrics,
        )
        tune_collector()
        await worker.start()
        await metrics.done.wait()
        answer = {
            "count": metrics.measured_count,
            "cpu_s": time.process_time() - metrics.cpu_s,
            "wall_s": time.perf_counter() - metrics.wall_s,
        }
        await worker.stop()
        assert metrics.refused == 0, f"{metrics.refused} were refused"
        assert await engine.ledger.oldest_due_ms(lane) is None, "something is still owed"
        return answer


async def main() -> None:
    """Obey."""
    pipeline = Pipeline(json.loads(sys.argv[1]))
    await obey({"prepare": pipeline.prepare, "run": pipeline.run})


if __name__ == "__main__":
    uvloop.run(main())
