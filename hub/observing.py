"""What a hub or a worker measures of itself, put together out of its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from starlette.applications import Starlette
from starlette.routing import Route

import hub
from config import Settings
from hub import from_settings
from hub.api.keys import KeyRing
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

_LAST_ANSWERS_S = 1.0


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

    def routes(self, *, internal: bool) -> list[Route]:
        """``/metrics``, as it is served on the internal port or on one that others reach too."""
        if self._exposition is None:
            return []
        return create_metrics(self._exposition, operators_only(self._settings, internal=internal))

    def start(self) -> None:
        """Have other processes on the same port see what is measured here."""
        if self._exposition is not None:
            self._exposition.start()

    def stop(self) -> None:
        """Leave the last numbers to them."""
        if self._exposition is not None:
            self._exposition.stop()


class MeasuredWorker:
    """The port of a worker for those who look after it, where one is set; and its loop, watched."""

    def __init__(self, settings: Settings, engine: Engine, measuring: Measuring) -> None:
        self._watch = LoopWatch()
        measuring.watch_process(engine, self._watch)
        self._server: HubServer | None = None
        options = from_settings.worker_server_options(settings)
        if options is not None:
            routes = [create_live(self._watch), *measuring.routes(internal=True)]
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


def operators_only(settings: Settings, *, internal: bool) -> OperatorsOnly:
    """Who may see what is for operators."""
    keys = KeyRing(from_settings.api_keys(settings))

    def is_admin(presented: bytes) -> bool:
        found = keys.find(presented)
        return found is not None and "admin" in found.scopes

    return OperatorsOnly(is_admin=is_admin, loopback=settings.metrics.loopback, internal=internal)
