"""What a hub or a worker measures of itself, put together out of its settings."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp

import hub
from config import LoadedSettings, Problem, Settings, SettingsError
from config.problems import key_text
from hub import from_settings
from hub.api.keys import KeyRing
from hub.console.rates import RateSource
from hub.engine import Engine
from hub.fanout import Turn
from hub.metrics import Metrics, NopMetrics
from hub.node import Node
from hub.ops.exposition import Exposition, create_metrics
from hub.ops.exposure import OperatorsOnly
from hub.ops.health import LoopWatch, create_live
from hub.ops.prometheus import PrometheusMetrics
from hub.ops.vitals import NodeVitals, ProcessVitals
from hub.transport.server import HubServer
from workers.metrics import NopWorkerMetrics, WorkerMetrics
from workers.prometheus import PrometheusWorkerMetrics
from workers.tracing import WorkerTracer

if TYPE_CHECKING:
    from hub.ops.tracing import Tracing

_LAST_ANSWERS_S = 1.0
_LAST_SPANS_S = 3.0


class Measuring:
    """The metrics of one process, and their page."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._exposition = Exposition() if settings.metrics.enabled else None

    def for_hub(self) -> Metrics:
        """What a hub counts with. Call it once."""
        return NopMetrics() if self._exposition is None else PrometheusMetrics(self._exposition)

    def for_worker(self, lanes: Iterable[str]) -> WorkerMetrics:
        """What a worker on these lanes counts with. Call it once."""
        if self._exposition is None:
            return NopWorkerMetrics()
        metrics = PrometheusWorkerMetrics(self._exposition)
        for lane in lanes:
            metrics.begin(lane)
        return metrics

    def watch_process(self, engine: Engine, watch: LoopWatch) -> None:
        """Show the engine, the loop and the process."""
        if self._exposition is not None:
            ProcessVitals(
                self._exposition,
                version=hub.__version__,
                engine_name=engine.name,
                engine=engine.health,
                lag_s=lambda: watch.lag_s,
            )

    def watch_node(self, node: Node, turn: Turn, is_draining: Callable[[], bool]) -> None:
        """Show what a hub holds."""
        if self._exposition is not None:
            NodeVitals(
                self._exposition,
                registry=node.registry,
                listening=node.listening,
                turn=turn,
                is_draining=is_draining,
            )

    def routes(self, permits: Callable[[Request], bool]) -> list[Route]:
        """``/metrics``, for those whom ``permits`` lets in."""
        return [] if self._exposition is None else create_metrics(self._exposition, permits)

    @property
    def source(self) -> RateSource | None:
        """What the console draws; None while nothing is measured."""
        return None if self._exposition is None else self._exposition.samples

    def start(self) -> None:
        """Have other processes on the same port see what is measured here."""
        if self._exposition is not None:
            self._exposition.start()

    def stop(self) -> None:
        """Leave the last numbers to them."""
        if self._exposition is not None:
            self._exposition.stop()


class Tracers:
    """Spans of one process, where the settings ask for them; else everything stays as it is given.

    Raises:
        SettingsError: where they do, and the packages for it are not installed.
    """

    def __init__(self, settings: Settings, loaded: LoadedSettings | None, node: str) -> None:
        self._tracing: Tracing | None = None
        if not settings.tracing.endpoint:
            return
        try:
            from hub.ops.tracing import Tracing
        except ImportError as error:
            where = ("tracing", "endpoint")
            source = loaded.source_of(where) if loaded is not None else ""
            text = f"needs {error.name}: install realtime-push-hub with its extra, realtime-push-hub[tracing]"
            raise SettingsError([Problem(source, key_text(where), text)]) from None
        self._tracing = Tracing(
            settings.tracing.endpoint,
            service=settings.tracing.service_name,
            version=hub.__version__,
            node=node,
        )

    def engine(self, engine: Engine) -> Engine:
        """``engine``, its calls within a request traced."""
        if self._tracing is None:
            return engine
        port = self._tracing.port
        of_ledger = ("notify", "plan", "withdraw", "ack", "read", "summary", "trace")
        return replace(
            engine,
            broker=port(engine.broker, "broker", ("publish", "history", "remove_history")),
            presence=port(engine.presence, "presence", ("members", "stats")),
            control=port(engine.control, "control", ("ask_all",)),
            ledger=port(engine.ledger, "ledger", of_ledger),
            devices=port(engine.devices, "devices", ("register", "remove", "view")),
            jobs=port(engine.jobs, "jobs", ("open", "close", "status", "users", "cancel")),
        )

    def app(self, app: ASGIApp) -> ASGIApp:
        """``app``, its requests traced."""
        return app if self._tracing is None else self._tracing.app(app)

    def traceparent(self) -> str:
        """The span that is open here; empty for none."""
        return "" if self._tracing is None else self._tracing.traceparent()

    @property
    def for_worker(self) -> WorkerTracer | None:
        """What a worker traces with."""
        return self._tracing

    async def stop(self) -> None:
        """Send what is left, within a moment."""
        if self._tracing is not None:
            tracing, self._tracing = self._tracing, None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_SPANS_S):
                    await asyncio.to_thread(tracing.stop)


class MeasuredWorker:
    """The port of a worker for those who look after it, where one is set; and its loop, watched."""

    def __init__(self, settings: Settings, engine: Engine, measuring: Measuring) -> None:
        self._watch = LoopWatch()
        measuring.watch_process(engine, self._watch)
        self._server: HubServer | None = None
        options = from_settings.worker_server_options(settings)
        if options is not None:
            routes = [create_live(self._watch, everybody), *measuring.routes(everybody)]
            self._server = HubServer(Starlette(routes=routes), options, None)

    async def start(self) -> None:
        """Answer.

        Raises:
            OSError: when the port cannot be had.
        """
        self._watch.start()
        if self._server is not None:
            await self._server.start()

    async def stop(self) -> None:
        """Answer no longer. Idempotent."""
        self._watch.stop()
        if self._server is not None:
            await self._server.stop(_LAST_ANSWERS_S)


def operators_only(settings: Settings, keys: KeyRing) -> OperatorsOnly:
    """Who may see what is for operators on a port that others reach too."""

    def is_admin(presented: bytes) -> bool:
        found = keys.find(presented)
        return found is not None and "admin" in found.scopes

    return OperatorsOnly(is_admin=is_admin, loopback=settings.metrics.loopback)


def everybody(request: Request) -> bool:
    """Who may see it on a port that only operators reach."""
    return True
