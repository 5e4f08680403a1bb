"""The composition root of a separate worker: builds one out of the settings, runs it, ends it in order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence

from config import LoadedSettings, Settings
from hub import from_push_settings, from_settings
from hub.engine import Engine
from hub.engines import open_engine
from hub.log_context import say_node
from hub.observing import MeasuredWorker, Measuring, Tracers
from hub.serving import tune_collector
from workers.worker import Worker

log = logging.getLogger(__name__)

OnReady = Callable[[Sequence[str], Mapping[str, str]], None]
"""Told the lanes that are worked on, and those that cannot be, with the reason."""


def run_worker(
    settings: Settings,
    lanes: Sequence[str] = (),
    *,
    loaded: LoadedSettings | None = None,
    on_ready: OnReady | None = None,
) -> int:
    """Work until SIGINT or SIGTERM, then finish what is held; a second signal ends at once. The exit code.

    Raises:
        SettingsError: for an address of Redis that is none.
        OSError: when ``push.metrics_port`` cannot be had.
        NoLaneWorks: not one lane can be sent to.
        EngineUnavailable: when Redis cannot be reached.
        SchemaMismatch: when the hubs use the same Redis in another way.
    """
    with asyncio.Runner(loop_factory=from_settings.loop_factory()) as runner:
        return runner.run(_work(settings, lanes, loaded, on_ready))


async def _work(
    settings: Settings, lanes: Sequence[str], loaded: LoadedSettings | None, on_ready: OnReady | None
) -> int:
    async with open_engine(settings, loaded) as engine:
        return await _work_over(engine, settings, lanes, loaded, on_ready)


async def _work_over(
    engine: Engine,
    settings: Settings,
    lanes: Sequence[str],
    loaded: LoadedSettings | None,
    on_ready: OnReady | None,
) -> int:
    name = settings.node.name or f"{socket.gethostname()}_{os.getpid()}"
    say_node(name)
    plans = from_push_settings.lane_plans(settings, lanes)
    measuring, tracers = Measuring(settings), Tracers(settings, loaded, name)
    worker = Worker(
        engine,
        plans,
        from_push_settings.worker_options(settings),
        name=name,
        metrics=measuring.for_worker(plan.name for plan in plans),
        tracer=tracers.for_worker,
    )
    told = asyncio.Event()
    again = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(sign: str) -> None:
        if told.is_set():
            log.warning("! %s again: ending at once; what is held is left to other workers", sign)
            again.set()
            return
        log.info("x %s: finishing what is held; once more ends at once", sign)
        told.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number.name)
    page = MeasuredWorker(settings, engine, measuring)
    try:
        await worker.start()
        await page.start()
        tune_collector()
        if on_ready is not None:
            on_ready(worker.lanes, worker.broken)
        await told.wait()
        stopping = asyncio.create_task(worker.stop())
        hurried = asyncio.create_task(again.wait())
        await asyncio.wait({stopping, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not stopping.done():
            await worker.abort()
        await stopping
    finally:
        await worker.abort()
        await page.stop()
        await tracers.stop()
    return 1 if again.is_set() else 0
