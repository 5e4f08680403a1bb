"""Publishing by the server API: requests and publications per CPU second of the hub.

The floor is the same web stack with an endpoint that reads the body and does nothing.
Run it with ``python -m benchmarks.api``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass
from functools import partial

from benchmarks.served import API_KEY, ServerProcess, client, hub_server, server
from benchmarks.support import print_table

CHANNELS = 100
BATCH = 100
CONNECTIONS = 32
DATA = json.dumps({"text": "x" * 100, "from": 42}, separators=(",", ":"))
"""Roughly the 128 bytes of the other benchmarks."""

BARS = {"single": 3_000, "batch": 20_000, "broadcast": 20_000}
"""Publications per CPU second that we hold ourselves to."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one kind of request costs the server."""

    requests: int
    cpu_s: float

    @property
    def us_per_request(self) -> float:
        return self.cpu_s / self.requests * 1e6

    @property
    def requests_per_cpu_s(self) -> float:
        return self.requests / self.cpu_s


def requests_of(kind: str) -> list[bytes]:
    """The HTTP requests of one kind, ready to be sent."""
    publish = [f'{{"channel":"bench{number}","data":{DATA}}}' for number in range(CHANNELS)]
    match kind:
        case "single":
            return [_http("publish", body) for body in publish]
        case "batch":
            commands = ",".join(f'{{"publish":{body}}}' for body in publish[:BATCH])
            return [_http("batch", f'{{"commands":[{commands}]}}')]
        case "parallel batch":
            commands = ",".join(f'{{"publish":{body}}}' for body in publish[:BATCH])
            return [_http("batch", f'{{"commands":[{commands}],"parallel":true}}')]
        case "broadcast":
            channels = json.dumps([f"bench{number}" for number in range(BATCH)])
            return [_http("broadcast", f'{{"channels":{channels},"data":{DATA}}}')]
        case _:
            raise ValueError(kind)


def _http(method: str, body: str) -> bytes:
    head = (
        f"POST /api/{method} HTTP/1.1\r\nHost: hub\r\nX-API-Key: {API_KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


class Caller(asyncio.Protocol):
    """One keep-alive connection that sends its next request as soon as it has an answer."""

    def __init__(self, requests: list[bytes], count: int, done: asyncio.Future[None]) -> None:
        self._requests = requests
        self._left = count
        self._done = done
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "TCP"
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._transport.write(self._requests[self._left % len(self._requests)])

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 200") or b'"error"' in body:
            self._done.set_exception(RuntimeError(f"refused: {head[:40]!r} {body[:200]!r}"))
            self._transport.close()
            return
        self._received = b""
        self._left -= 1
        if self._left:
            self._send()
        else:
            self._transport.close()
            self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError("the server closed"))


async def call(port: int, kind: str, count: int) -> int:
    """Send ``count`` requests over several connections; how many were answered with a result."""
    loop = asyncio.get_running_loop()
    requests = requests_of(kind)
    each = max(1, count // CONNECTIONS)
    done = [loop.create_future() for _ in range(CONNECTIONS)]
    for future in done:
        await loop.create_connection(partial(Caller, requests, each, future), "127.0.0.1", port)
    await asyncio.gather(*done)
    return each * CONNECTIONS


def serve_floor() -> None:
    """The floor: the same web stack, and an endpoint that reads the body and does nothing."""
    import socket

    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def read(request: Request) -> Response:
        await request.body()
        return Response(b'{"result":{}}', media_type="application/json")

    app = Starlette(routes=[Route("/api/{method}", read, methods=["POST"])])
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"urls": [f"http://127.0.0.1:{listener.getsockname()[1]}"]}), flush=True)
    uvicorn.Server(uvicorn.Config(app, access_log=False, log_config=None, ws="none")).run(sockets=[listener])


def measure(running: ServerProcess, kind: str, count: int) -> Cost:
    """What ``count`` requests cost this server, after a tenth as many to warm up."""
    where = ["call", str(running.port), kind]
    client("benchmarks.api", *where, str(max(CONNECTIONS, count // 10)))
    before_s = running.cpu_s
    answered = client("benchmarks.api", *where, str(count))
    return Cost(answered, running.cpu_s - before_s)


def compare(singles: int, batches: int) -> None:
    """Measure floor and hub, and print both."""
    counts = {"single": singles, "batch": batches, "broadcast": batches}
    with server([sys.executable, "-m", "benchmarks.api", "floor"]) as running:
        floor = {kind: measure(running, kind, count) for kind, count in counts.items()}
    with hub_server() as running:
        ours = {kind: measure(running, kind, count) for kind, count in counts.items()}
    print_table(
        "Publishing by the server API, by what a request holds; CPU of the server alone",
        ("request", "floor, µs", "hub, µs", "ratio", "requests / CPU s", "publications / CPU s", "bar"),
        [_row(kind, floor[kind], ours[kind]) for kind in counts],
        {
            "connections": CONNECTIONS,
            "data_bytes": len(DATA),
            "publications_a_batch": BATCH,
            "history": 100,
            "requests": counts,
        },
    )


def _row(kind: str, floor: Cost, ours: Cost) -> tuple[str, ...]:
    publications = ours.requests_per_cpu_s * (1 if kind == "single" else BATCH)
    return (
        kind,
        f"{floor.us_per_request:.1f}",
        f"{ours.us_per_request:.1f}",
        f"{ours.us_per_request / floor.us_per_request:.2f}",
        f"{ours.requests_per_cpu_s:.0f}",
        f"{publications:.0f}",
        f">= {BARS[kind]} {'holds' if publications >= BARS[kind] else 'MISSED'}",
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    parser.add_argument("--singles", type=int, default=30_000, help="requests of one publication")
    parser.add_argument("--batches", type=int, default=1_000, help="requests of a hundred publications")
    commands.add_parser("floor", help="serve the floor (used by the benchmark itself)")
    caller = commands.add_parser("call", help="send requests (used by the benchmark itself)")
    caller.add_argument("port", type=int)
    caller.add_argument("kind")
    caller.add_argument("count", type=int)
    asked = parser.parse_args()
    match asked.command:
        case "floor":
            serve_floor()
        case "call":
            print(asyncio.run(call(asked.port, asked.kind, asked.count)))
        case _:
            compare(asked.singles, asked.batches)


if __name__ == "__main__":
    main()
