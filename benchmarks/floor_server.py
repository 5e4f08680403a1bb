"""The floor: what the same traffic costs with nothing of ours in it. Run as a child of a benchmark.

``bare`` is an asyncio protocol under uvloop that answers any request with a ready-made 101 and
then writes ready bytes. ``echo`` is the same protocol around the sans-I/O layer of
``websockets``, which parses the request, answers it, and sends each message back.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from typing import ClassVar

import uvloop
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol

from benchmarks.support import Answer, Order, obey, raise_file_limit, rss_bytes
from hub.serving import GC_THRESHOLD

_ACCEPT = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
_PING = b"\x81\x02{}"
_SLICES_PER_S = 10


class Bare(asyncio.Protocol):
    """Answers the first bytes and drops all others."""

    __slots__ = ("_opened", "transport")

    everybody: ClassVar[set[Bare]] = set()
    transport: asyncio.Transport

    def __init__(self) -> None:
        self._opened = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.everybody.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.everybody.discard(self)

    def data_received(self, data: bytes) -> None:
        if not self._opened:
            self._opened = True
            self.transport.write(_ACCEPT)


class Echo(Bare):
    """Speaks WebSocket by the library."""

    __slots__ = ("_wire",)

    def __init__(self) -> None:
        super().__init__()
        self._wire = ServerProtocol()

    def data_received(self, data: bytes) -> None:
        wire = self._wire
        wire.receive_data(data)
        for event in wire.events_received():
            if isinstance(event, Request):
                wire.send_response(wire.accept(event))
            elif isinstance(event, Frame):
                wire.send_text(event.data)
        self.transport.write(b"".join(wire.data_to_send()))


class FloorServer:
    """What the parent may order."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._pinging: asyncio.Task[None] | None = None

    def port(self, order: Order) -> Answer:
        """Where it listens."""
        return {"port": self._port}

    async def write(self, order: Order) -> Answer:
        """Write ready bytes to everybody, once a turn of the loop."""
        frame = b"\x81" + b"x" * (order["bytes"] - 2) + b"^"
        for _ in range(order["turns"]):
            for protocol in Bare.everybody:
                protocol.transport.write(frame)
            await asyncio.sleep(0)
        return {}

    def ping_every(self, order: Order) -> Answer:
        """From now on, write a ping to everybody once in so many seconds, in even portions."""
        self._pinging = asyncio.create_task(self._ping_forever(order["interval_s"]))
        return {}

    async def _ping_forever(self, interval_s: float) -> None:
        slices = int(interval_s * _SLICES_PER_S)
        while True:
            everybody = list(Bare.everybody)
            for index in range(slices):
                for protocol in everybody[index::slices]:
                    protocol.transport.write(_PING)
                await asyncio.sleep(1 / _SLICES_PER_S)

    def memory(self, order: Order) -> Answer:
        """Resident memory, once the garbage is gone."""
        gc.collect()
        return {"rss": rss_bytes(os.getpid()), "connections": len(Bare.everybody)}


async def _main() -> None:
    loop = asyncio.get_running_loop()
    protocol = {"bare": Bare, "echo": Echo}[sys.argv[1]]
    listening = await loop.create_server(protocol, "127.0.0.1", 0, backlog=4096)
    server = FloorServer(listening.sockets[0].getsockname()[1])
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    names = ("port", "write", "ping_every", "memory")
    await obey({name: getattr(server, name) for name in names})


if __name__ == "__main__":
    raise_file_limit()
    uvloop.run(_main())
