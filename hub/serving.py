"""One hub as a process: its event loop, its signals, and the exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Callable
from functools import partial

from config import LoadedSettings, Settings
from hub import from_settings
from hub.app import Hub
from hub.log_context import say_node
from hub.ops.signals import Wishes
from hub.reloading import reload

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
    reread: Callable[[], LoadedSettings] | None = None,
    lifeline_fd: int | None = None,
) -> int:
    """Serve until SIGINT or SIGTERM, then end in order; a second signal ends at once. The exit code.

    Args:
        settings: what to serve.
        loaded: the same, with its sources, for what is said about mistakes.
        on_ready: called once with the URLs.
        reread: reads the settings from the same sources again, for SIGHUP, which changes nothing without.
        lifeline_fd: the pipe of a supervisor, whose end is that of this process too. Its ports are then
            shared with its siblings, and only the supervisor ends it at once.

    Raises:
        SettingsError: when a key or another value turns out to be unusable.
        OSError: when a port cannot be had.
        EngineUnavailable: when Redis cannot be reached.
        SchemaMismatch: when living hubs use the same Redis in another way.
    """
    with asyncio.Runner(loop_factory=from_settings.loop_factory()) as runner:
        return runner.run(_serve(settings, loaded, on_ready, reread, lifeline_fd))


async def _serve(
    settings: Settings,
    loaded: LoadedSettings | None,
    on_ready: Callable[[list[str]], None] | None,
    reread: Callable[[], LoadedSettings] | None,
    lifeline_fd: int | None,
) -> int:
    supervised = lifeline_fd is not None
    running = Hub(settings, loaded, shares_ports=supervised)
    say_node(running.node.name)
    with Wishes(None if supervised else partial(os._exit, 1)) as wishes:
        if lifeline_fd is not None:
            wishes.end_with(lifeline_fd)
        await running.start()
        tune_collector()
        if on_ready is not None:
            on_ready(running.urls)
        while await wishes.next() == "reload":
            if reread is not None:
                await reload(running, reread)
        await running.stop(wait_for_balancers=wishes.ended_by is not signal.SIGINT)
    return 0
