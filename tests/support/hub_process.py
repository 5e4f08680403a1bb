"""A real hub for tests: in this process on a free port, or as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import read_settings
from hub.app import Hub

SECRET = "a-secret-of-at-least-32-bytes-for-tests"
API_KEY = "a-key-for-tests"

OPEN_CHANNEL = {
    "presence": True,
    "join_leave": True,
    "force_push_join_leave": True,
    "history_size": 100,
    "history_ttl": "300s",
    "force_recovery": True,
    "allowed_delta_types": ["fossil"],
    "allow_subscribe_for_client": True,
    "allow_publish_for_client": True,
    "allow_history_for_client": True,
    "allow_presence_for_client": True,
    "allow_user_limited_channels": True,
}
"""Options that let a known user do everything."""

BASE: dict[str, Any] = {
    "http.host": "127.0.0.1",
    "http.port": 0,
    "auth.secret": SECRET,
    "api.keys": [{"name": "tests", "key": API_KEY, "scopes": ["admin"]}],
    "channels.without_namespace": OPEN_CHANNEL,
    # Tests of channels count the channels of a connection; those of the inbox turn it on.
    "inbox.enabled": False,
}


def settings_env(**more: Any) -> dict[str, str]:
    """:data:`BASE` as the environment of a hub. ``more`` are further settings, ``__`` for dots."""
    settings = {key.replace(".", "__"): value for key, value in BASE.items()} | more
    return {
        f"HUB_{key.upper()}": value if isinstance(value, str) else json.dumps(value)
        for key, value in settings.items()
    }


@dataclass(frozen=True)
class Running:
    """A hub that answers. ``hub`` is None for one in a process of its own, ``process`` for all others."""

    url: str
    hub: Hub | None = None
    pid: int = 0
    process: asyncio.subprocess.Process | None = None

    @property
    def ws_url(self) -> str:
        """The WebSocket endpoint."""
        return self.url.replace("http", "ws", 1) + "/connection/websocket"

    @property
    def api_url(self) -> str:
        """The server API."""
        return self.url + "/api"

    async def terminate(self, timeout_s: float = 15.0) -> int:
        """Send SIGTERM to a hub in a process of its own and wait for its end; the exit code.

        Raises:
            TimeoutError: when it does not end in time.
        """
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(timeout_s):
            return await self.process.wait()


@asynccontextmanager
async def running_hub(overrides: Mapping[str, Any] | None = None) -> AsyncIterator[Running]:
    """A hub in this process, ended in order when the block ends."""
    loaded = read_settings(None, {}, {**BASE, **(overrides or {})})
    hub = Hub(loaded.settings, loaded)
    await hub.start()
    try:
        yield Running(hub.urls[0], hub)
    finally:
        await hub.stop()


@asynccontextmanager
async def hub_process(
    tmp_path: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> AsyncIterator[Running]:
    """``hub serve`` as a process of its own; killed when the block ends, if it still runs.

    Settings come from ``arguments`` and ``env``; the port is a free one unless they say otherwise.
    """
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HUB_", "PORT", "REDIS"))}
    log = (tmp_path / "hub.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "hub",
        "serve",
        "--json",
        "--port",
        "0",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
        # No balancer is to notice anything, unless the test says so.
        env={**clean, "HUB_SHUTDOWN__READY_WAIT_S": "0", **(env or {})},
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            line = await process.stdout.readline()
        told = json.loads(line or "{}")
        if "urls" not in told:
            await process.wait()
            raise AssertionError(f"the hub did not start: {told}\n{(tmp_path / 'hub.log').read_text()}")
        yield Running(told["urls"][0], pid=process.pid, process=process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
        log.close()
