"""Uvicorn's HTTP protocol on a real socket, in the test's own loop and on any free port.

Without uvicorn's server loop, whose ticks would cost each test some tenths of a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve ``app`` and yield its base URL; no connection and no request is left afterwards."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, ws="none")
    config.load()
    state = ServerState()
    someone_left = asyncio.Event()

    class Protocol(HttpToolsProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            someone_left.set()

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    try:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"
    finally:
        server.close()
        async with asyncio.timeout(5):
            while state.connections:
                someone_left.clear()
                for connection in list(state.connections):
                    connection.shutdown()
                await someone_left.wait()
            if state.tasks:
                await asyncio.wait(state.tasks)
            await server.wait_closed()
