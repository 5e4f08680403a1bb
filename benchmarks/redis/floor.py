"""The floors: what bare clients of Redis cost that do the same with nothing of ours. Run as a child.

One runs the hub's publish script through a pipeline of redis-py. The other hears the same messages
with the parser of hiredis alone, and writes ready bytes to the connection that each is for.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

import hiredis
import uvloop
from redis.asyncio import Redis

from benchmarks.floor_server import Bare
from benchmarks.hub_server import payload_of
from benchmarks.support import Answer, Order, obey, raise_file_limit
from hub.engine.redis.envelope import encode_publication
from hub.engine.redis.keys import Keys
from hub.engine.redis.scripts import load_script
from hub.engine.redis.wire import pack
from hub.model import Publication
from hub.serving import GC_THRESHOLD

PARTITIONS = 64
"""As the hub has it when nobody says otherwise."""

_HISTORY_SIZE, _HISTORY_TTL_S, _META_TTL_S = 100, 300, 30 * 24 * 3600
_KEYS = Keys("hub:", PARTITIONS)


class BareLink(asyncio.Protocol):
    """Subscribes, and hands each message on as ready bytes."""

    def __init__(self, writers: dict[bytes, asyncio.Transport], frame: bytes) -> None:
        self.subscribed = asyncio.get_running_loop().create_future()
        self._writers = writers
        self._frame = frame
        self._left = len(writers)
        self._reader = hiredis.Reader()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.write(pack(("SUBSCRIBE", *self._writers)))

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while reply := self._reader.gets():
            if reply[0] == b"message":
                self._writers[reply[1]].write(self._frame)
            else:
                self._left -= 1
                if not self._left:
                    self.subscribed.set_result(None)


class Floor:
    """What the parent may order."""

    def __init__(self, redis_port: int, port: int) -> None:
        self._redis_port = redis_port
        self._redis = Redis(port=redis_port, protocol=2)
        self._port = port

    def port(self, order: Order) -> Answer:
        """Where it takes connections."""
        return {"port": self._port}

    async def listen(self, order: Order) -> Answer:
        """Subscribe to one channel for each connection there is."""
        writers = {}
        for number, protocol in enumerate(Bare.everybody):
            channel = order["channel"].format(number=number)
            writers[_KEYS.fanout(_KEYS.tag_of(channel), channel).encode()] = protocol.transport
        frame = b"\x81" + b"x" * (order["frame_bytes"] - 2) + b"^"
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(
            lambda: BareLink(writers, frame), "127.0.0.1", self._redis_port
        )
        await link.subscribed
        return {"listening": len(writers)}

    async def publish(self, order: Order) -> Answer:
        """Run the publish script for the channels in turn, so many in one pipeline."""
        script = load_script("clock", "stream", "publish")
        await self._redis.execute_command("SCRIPT LOAD", script.text)  # type: ignore[no-untyped-call]
        packed = encode_publication(Publication(payload_of(order["payload_bytes"])))
        calls = [
            (script.sha, *_arguments(order["channel"].format(number=number), packed))
            for number in range(order["channels"])
        ]
        for start in range(0, order["count"], order["gathered"]):
            pipeline = self._redis.pipeline(transaction=False)
            for index in range(start, min(order["count"], start + order["gathered"])):
                _ = pipeline.evalsha(*calls[index % len(calls)])
            await pipeline.execute()
        return {}


def _arguments(channel: str, packed: bytes) -> tuple[Any, ...]:
    tag = _KEYS.tag_of(channel)
    keys = (_KEYS.fanout(tag, channel), _KEYS.term(tag), _KEYS.meta(tag, channel), _KEYS.log(tag, channel))
    history = (_HISTORY_SIZE, _HISTORY_TTL_S, _META_TTL_S, "birth")
    return (len(keys), *keys, "", "PUBLISH", packed, *history, "", "", "")


async def _main() -> None:
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(Bare, "127.0.0.1", 0, backlog=4096)
    floor = Floor(int(sys.argv[1]), listening.sockets[0].getsockname()[1])
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    await obey({name: getattr(floor, name) for name in ("port", "listen", "publish")})


if __name__ == "__main__":
    raise_file_limit()
    uvloop.run(_main())
