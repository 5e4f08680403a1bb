"""One hub as a process: its event loop, its signals, and the exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Callable

from config import LoadedSettings, Settings
from hub import from_settings
from hub.app import Hub

log = logging.getLogger(__name__)

GC_THRESHOLD = (50_000, 20, 50)
"""Connections live long: looking for cycles among them after every 700 allocations finds nothing."""


def tune_collector() -> None:
    """For a process that has started: what exists now stays for good, nobody need look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)


def run(
    settings: Settings,
    *,
    loaded: LoadedSettings | None = None,
    on_ready: Callable[[list[str]], None] | None = None,
) -> int:
    """Serve until SIGINT or SIGTERM, then end in order; a second signal ends at once. The exit code.

    Raises:
        SettingsError: when a key or another value turns out to be unusable.
        OSError: when a port cannot be had.
        EngineUnavailable: when Redis cannot be reached.
        SchemaMismatch: when living hubs use the same Redis in another way.
    """
    with asyncio.Runner(loop_factory=from_settings.loop_factory()) as runner:
        return runner.run(_serve(settings, loaded, on_ready))


async def _serve(
    settings: Settings, loaded: LoadedSettings | None, on_ready: Callable[[list[str]], None] | None
) -> int:
    running = Hub(settings, loaded)
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(name: str) -> None:
        if asked_to_stop.is_set():
            log.warning("! %s again: ending at once", name)
            os._exit(1)
        log.info("x %s: ending; once more ends at once", name)
        asked_to_stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number.name)
    await running.start()
    tune_collector()
    if on_ready is not None:
        on_ready(running.urls)
    await asked_to_stop.wait()
    await running.stop()
    return 0
