"""A backend that publishes straight to Redis by the hub's engine, without a hub. Run as a child.

It is measured itself, and it is the load of everything else that is.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import uvloop

from benchmarks.hub_server import BASE, payload_of
from benchmarks.support import Answer, Order, obey
from config import read_settings
from hub.engine import Engine
from hub.engines import build_engine
from hub.errors import EngineUnavailable
from hub.from_settings import channel_rules
from hub.model import HistoryPolicy, NodeId, Publication
from hub.serving import GC_THRESHOLD

STAMP_DIGITS = 19

_TICK_S = 0.001
"""The resolution of uvloop's timers: anything below would spin."""
_TRY_AGAIN_S = 0.005


class Publisher:
    """What the parent may order."""

    def __init__(self, engine: Engine, policy: HistoryPolicy) -> None:
        self._engine = engine
        self._policy = policy

    async def publish(self, order: Order) -> Answer:
        """Publish to the channels in turn; ``gathered`` at a time, awaited before the next ones."""
        data = payload_of(order["payload_bytes"])
        left, gathered = order["count"], order["gathered"]
        channels = _in_turn(order)
        while left > 0:
            lot = min(left, gathered)
            if lot == 1:
                await self._publish(next(channels), data)
            else:
                await asyncio.gather(*(self._publish(next(channels), data) for _ in range(lot)))
            left -= lot
        return {}

    async def publish_evenly(self, order: Order) -> Answer:
        """Publish to the channels in turn, ``per_s`` a second, each stamped with the moment of the call."""
        loop = asyncio.get_running_loop()
        channels = _in_turn(order)
        running: set[asyncio.Task[None]] = set()
        began_s, begun = loop.time(), 0
        while begun < order["count"]:
            due = min(order["count"], int((loop.time() - began_s) * order["per_s"]))
            for _ in range(due - begun):
                task = asyncio.create_task(self._publish(next(channels), stamped(order["payload_bytes"])))
                running.add(task)
                task.add_done_callback(running.discard)
            begun = due
            await asyncio.sleep(_TICK_S)
        took_s = loop.time() - began_s
        await asyncio.gather(*running)
        return {"per_s": begun / took_s}

    async def reach(self, order: Order) -> Answer:
        """Return once Redis answers this process again."""
        while True:
            try:
                await self._engine.health.probe()
            except EngineUnavailable:
                await asyncio.sleep(_TRY_AGAIN_S)
            else:
                return {}

    def _publish(self, channel: str, data: bytes) -> Coroutine[Any, Any, Any]:
        return self._engine.broker.publish(channel, Publication(data), self._policy)


def stamped(size_bytes: int) -> bytes:
    """A payload of this size; after its mark stands the moment, of the system's monotonic clock in ns."""
    head = b'{"text":"^%0*d' % (STAMP_DIGITS, time.monotonic_ns())
    return head + b"x" * (size_bytes - len(head) - 2) + b'"}'


def _in_turn(order: Order) -> Iterator[str]:
    channels = [order["channel"].format(number=number) for number in range(order["channels"])]
    while True:
        yield from channels


async def _main() -> None:
    loaded = read_settings(None, {}, {**BASE, **json.loads(sys.argv[1])})
    engine = build_engine(loaded.settings, loaded, NodeId("publisher"), "publisher")
    await engine.lifecycle.start()
    publisher = Publisher(engine, channel_rules(loaded.settings).resolve("any")[1].history)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    await obey({name: getattr(publisher, name) for name in ("publish", "publish_evenly", "reach")})
    await engine.lifecycle.stop()


if __name__ == "__main__":
    uvloop.run(_main())
