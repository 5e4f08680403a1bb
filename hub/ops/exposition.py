"""What this process measures, and the page that Prometheus reads: of one process, or of all on one port.

Where several processes serve one port, ``PROMETHEUS_MULTIPROC_DIR`` is set before they start: each
keeps its numbers in files there, and whichever is asked adds them up. Files go by the place of a process:
one that takes the place of another counts on where that one ended. Knows no metric.
"""

from __future__ import annotations

import logging
import os
from asyncio import TimerHandle, get_running_loop
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

logger = logging.getLogger(__name__)

FRESH_S: Final = 1.0
"""How old the numbers of the other processes may be on a page."""

Over = Literal["sum", "max", "min"]
"""How one value comes of those of several processes."""

_OVER: Mapping[Over, Literal["livesum", "livemax", "livemin"]] = {
    "sum": "livesum",
    "max": "livemax",
    "min": "livemin",
}


def count_as(place: int) -> None:
    """Keep the numbers of this process in the files of ``place``, that no other living process has.

    Without it they are those of its process id: each that ends leaves files behind. To be called before
    anything is counted.
    """
    values.ValueClass = values.MultiProcessValue(lambda: place)  # type: ignore[no-untyped-call]


class Exposition:
    """The metrics of one process. What is measured only when somebody looks is read by its readers.

    ``directory`` is where several processes meet; None takes it from the environment, empty is for one alone.
    """

    def __init__(self, directory: str | None = None) -> None:
        # The time at which each series began: twice the series, for nobody.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(support_collectors_without_names=True)
        self._directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "") if directory is None else directory
        self._readers: list[Callable[[], None]] = []
        self._timer: TimerHandle | None = None

    def counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        """A new counter; ``name`` without ``_total``."""
        return Counter(name, text, tuple(labels), registry=self.registry)

    def gauge(self, name: str, text: str, labels: Iterable[str] = (), *, over: Over = "sum") -> Gauge:
        """A new gauge. ``over`` says what it is of several processes."""
        return Gauge(name, text, tuple(labels), registry=self.registry, multiprocess_mode=_OVER[over])

    def histogram(
        self, name: str, text: str, buckets: Iterable[float], labels: Iterable[str] = ()
    ) -> Histogram:
        """A new histogram with these upper bounds."""
        return Histogram(name, text, tuple(labels), registry=self.registry, buckets=tuple(buckets))

    def before_reading(self, read: Callable[[], None]) -> None:
        """Call ``read`` before the numbers are looked at, so that it brings its own up to date."""
        self._readers.append(read)

    def start(self) -> None:
        """Have the other processes see fresh numbers until :meth:`stop`; nothing to do for one alone."""
        if self._directory and self._timer is None:
            self._keep_fresh()

    def stop(self) -> None:
        """Write the last numbers down."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._refresh()

    def page(self) -> bytes:
        """Everything, as Prometheus reads it (text format 1.0.0)."""
        return generate_latest(self._everybody())

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """The same, sample by sample: full name, labels, value."""
        for family in self._everybody().collect():
            for sample in family.samples:
                yield sample.name, sample.labels, sample.value

    def _everybody(self) -> CollectorRegistry:
        self._refresh()
        if not self._directory:
            return self.registry
        everybody = CollectorRegistry()
        _Files(everybody, path=self._directory)  # type: ignore[no-untyped-call]
        return everybody

    def _keep_fresh(self) -> None:
        self._refresh()
        self._timer = get_running_loop().call_later(FRESH_S, self._keep_fresh)

    def _refresh(self) -> None:
        for read in self._readers:
            try:
                read()
            except Exception:
                # One number that cannot be read must not hide all others.
                logger.exception("a metric could not be read")


class _Files(MultiProcessCollector):
    """The numbers of all processes, without files that a process has made and not yet written into."""

    def collect(self) -> Iterable[Metric]:
        files = [str(path) for path in Path(self._path).glob("*.db") if _has_numbers(path)]
        return self.merge(files, accumulate=True)  # type: ignore[no-any-return,no-untyped-call]


def _has_numbers(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        # Of a process that ended just now.
        return False


def create_metrics(exposition: Exposition, permits: Callable[[Request], bool]) -> list[Route]:
    """The route ``/metrics``. To whoever has no business there, it does not exist."""

    async def handle_metrics(request: Request) -> Response:
        if not permits(request):
            return Response("Not Found", 404, media_type="text/plain")
        return Response(
            exposition.page(), media_type=CONTENT_TYPE_LATEST, headers={"cache-control": "no-store"}
        )

    return [Route("/metrics", handle_metrics)]
