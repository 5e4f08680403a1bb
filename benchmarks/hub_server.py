"""The hub itself as a child of a benchmark, with a driver inside that decides what one turn holds.

Everything is what ``hub serve`` runs; only the publications come from within, because no
client outside could say how many of them meet in one turn of the loop.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from typing import Any

import uvloop

from benchmarks.light_phones import SECRET, device_of, user_of
from benchmarks.support import Answer, Order, obey, raise_file_limit, rss_bytes
from config import read_settings
from hub.app import Hub
from hub.delivery.model import DeviceRecord
from hub.model import HistoryFilter
from hub.serving import GC_THRESHOLD

BASE: dict[str, Any] = {
    "http.host": "127.0.0.1",
    "http.port": 0,
    "auth.secret": SECRET,
    "log.level": "warning",
    "inbox.enabled": False,
    # What is measured is how fast it can be.
    "limits.connects_per_s": 0,
    "limits.commands_per_s": 0,
    "limits.user_commands_per_s": 0,
    "channels.without_namespace": {
        "history_size": 100,
        "history_ttl": "300s",
        "force_recovery": True,
        "allow_subscribe_for_client": True,
    },
}
"""Channels with history, so that every publication carries an offset and every phone can resume."""


class HubServer:
    """What the parent may order."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._publishing: asyncio.Task[None] | None = None
        self._published = 0

    def port(self, order: Order) -> Answer:
        """Where it listens."""
        return {"port": int(self._hub.urls[0].rpartition(":")[2])}

    async def publish(self, order: Order) -> Answer:
        """Publish to one channel: so many ``turns`` of the loop, ``gathered`` publications in each."""
        data = payload_of(order["payload_bytes"])
        channel, gathered = order["channel"], order["gathered"]
        for _ in range(order["turns"]):
            for _ in range(gathered):
                await self._hub.node.publish(channel, data)
            await asyncio.sleep(0)
        return {}

    async def publish_around(self, order: Order) -> Answer:
        """Publish to many channels in turn, ``gathered`` at a time, awaited before the next ones."""
        data = payload_of(order["payload_bytes"])
        channels = [order["channel"].format(number=number) for number in range(order["channels"])]
        for start in range(0, order["count"], order["gathered"]):
            some = range(start, min(start + order["gathered"], order["count"]))
            await asyncio.gather(
                *(self._hub.node.publish(channels[index % len(channels)], data) for index in some)
            )
        return {}

    async def top(self, order: Order) -> Answer:
        """The position of a channel's last publication."""
        page = await self._hub.node.history(order["channel"], HistoryFilter())
        return {"offset": page.top.offset, "epoch": page.top.epoch}

    def keep_publishing(self, order: Order) -> Answer:
        """From now on publish to the rooms in turn, ``per_s`` publications a second over all of them."""
        self._publishing = asyncio.create_task(self._publish_forever(order))
        return {}

    async def _publish_forever(self, order: Order) -> None:
        data = payload_of(order["payload_bytes"])
        loop = asyncio.get_running_loop()
        next_s = loop.time()
        while True:
            room = self._published % order["rooms"]
            await self._hub.node.publish(order["channel"].format(room=room), data)
            self._published += 1
            next_s += 1 / order["per_s"]
            await asyncio.sleep(max(0.0, next_s - loop.time()))

    async def stop_publishing(self, order: Order) -> Answer:
        """End what ``keep_publishing`` began; how many it were, and where the rooms stand."""
        assert self._publishing is not None
        self._publishing.cancel()
        await asyncio.gather(self._publishing, return_exceptions=True)
        tops = {}
        for room in range(order["rooms"]):
            channel = order["channel"].format(room=room)
            tops[channel] = (await self._hub.node.history(channel, HistoryFilter())).top.offset
        return {"published": self._published, "tops": tops}

    def cut(self, order: Order) -> Answer:
        """Drop every TCP connection at once, as when a network goes away; when that was."""
        at_s = time.monotonic()
        for connection in list(self._hub.node.registry):
            connection._link.abort()  # type: ignore[attr-defined]
        return {"at_s": at_s}

    async def register(self, order: Order) -> Answer:
        """Register the devices of so many phones."""
        for number in range(order["first"], order["first"] + order["count"]):
            user = user_of(number)
            record = DeviceRecord("android", "recording", "app", "production", f"token-of-{user}")
            await self._hub.node.engine.devices.register(user, device_of(user), record)
        return {}

    def memory(self, order: Order) -> Answer:
        """Resident memory, once the garbage is gone."""
        gc.collect()
        return {"rss": rss_bytes(os.getpid()), "connections": len(self._hub.node.registry)}


def payload_of(size_bytes: int) -> bytes:
    """A JSON text of this size with one mark in it."""
    return b'{"text":"^' + b"x" * (size_bytes - 12) + b'"}'


async def _main() -> None:
    loaded = read_settings(None, {}, {**BASE, **json.loads(sys.argv[1])})
    hub = Hub(loaded.settings, loaded)
    await hub.start()
    server = HubServer(hub)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    names = (
        "port",
        "publish",
        "publish_around",
        "top",
        "keep_publishing",
        "stop_publishing",
        "cut",
        "memory",
        "register",
    )
    await obey({name: getattr(server, name) for name in names})


if __name__ == "__main__":
    raise_file_limit()
    uvloop.run(_main())
