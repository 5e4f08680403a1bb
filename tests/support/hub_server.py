"""A hub server on a free port, with an echo instead of the hub behind it; leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from hub.metrics import Limit, NopMetrics
from hub.protocol import JSONCodec, ProtobufCodec
from hub.transport.options import ServerOptions, TransportOptions
from hub.transport.server import HubServer
from tests.support.echo import EchoAcceptor

STOP_WITHIN_S = 2.0


class CountingMetrics(NopMetrics):
    """Remembers the refused handshakes, and which limits were reached, how often."""

    def __init__(self) -> None:
        self.refused: list[int] = []
        self.limits: Counter[Limit] = Counter()

    def handshake_refused(self, status: int) -> None:
        self.refused.append(status)

    def limit_reached(self, limit: Limit) -> None:
        self.limits[limit] += 1


@dataclass(slots=True)
class Served:
    """A running server, who accepted what, and what was counted."""

    server: HubServer
    acceptor: EchoAcceptor
    metrics: CountingMetrics = field(default_factory=CountingMetrics)

    @property
    def address(self) -> tuple[str, int]:
        return self.server.addresses[0]

    def is_empty(self) -> bool:
        """Whether no connection of any kind is registered."""
        return self.server.links == 0 and self.server.pending == 0


async def _health(request: Request) -> Response:
    return JSONResponse({})


async def _who(request: Request) -> Response:
    client = None if request.client is None else request.client.host
    return JSONResponse({"client": client, "scheme": request.url.scheme})


async def _echo_body(request: Request) -> Response:
    return PlainTextResponse(await request.body())


def small_app() -> Starlette:
    """``/health``, ``/who`` (the client as the application sees it) and ``/echo``."""
    return Starlette(
        routes=[
            Route("/health", _health),
            Route("/who", _who),
            Route("/echo", _echo_body, methods=["POST"]),
        ]
    )


def transport_options(**changes: Any) -> TransportOptions:
    """Options with real codecs and short close timeout."""
    return TransportOptions(
        **{"json": JSONCodec(), "protobuf": ProtobufCodec(), "close_timeout_s": 1.0, **changes}
    )


@contextlib.asynccontextmanager
async def serving(
    app: Any = None, server_options: dict[str, Any] | None = None, **transport: Any
) -> AsyncIterator[Served]:
    """Run a server for the length of the block.

    Afterwards every connection must be gone, told so once, and nothing may have been raised into the loop.
    """
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    acceptor, metrics = EchoAcceptor(), CountingMetrics()
    options = ServerOptions(
        transport=transport_options(**transport), **{"host": "127.0.0.1", "port": 0, **(server_options or {})}
    )
    server = HubServer(app or small_app(), options, acceptor, metrics)
    await server.start()
    served = Served(server, acceptor, metrics)
    try:
        yield served
    finally:
        await server.stop(STOP_WITHIN_S)
        loop.set_exception_handler(None)
    assert unhandled == []
    assert served.is_empty()
    assert [connection.lost_count for connection in acceptor.connections] == [1] * len(acceptor.connections)


def parsed(body: bytes) -> Any:
    """JSON of a response body."""
    return json.loads(body)
