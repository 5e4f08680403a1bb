"""What happens at a worker, counted for Prometheus.

Attempts are rare beside what each of them costs, so they are told to the library at once. Is given
makers of metrics, and does not know how they are read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from prometheus_client import Counter, Gauge, Histogram

from workers.push import Kind, Outcome

_ATTEMPT_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)


class Makers(Protocol):
    """Where metrics come from."""

    def counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        """A new counter."""
        ...

    def gauge(self, name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
        """A new gauge."""
        ...

    def histogram(
        self, name: str, text: str, buckets: Iterable[float], labels: Iterable[str] = ()
    ) -> Histogram:
        """A new histogram with these upper bounds."""
        ...


class PrometheusWorkerMetrics:
    """Implements :class:`workers.metrics.WorkerMetrics`."""

    def __init__(self, new: Makers) -> None:
        self._claimed = new.counter("hub_push_rows_claimed", "Devices claimed from the queue.", ("lane",))
        self._attempts = new.counter(
            "hub_push_attempts", "Attempts at a provider, by what came of them.", ("lane", "kind", "outcome")
        )
        self._seconds = new.histogram(
            "hub_push_attempt_seconds",
            "How long attempts took, whatever came of them.",
            _ATTEMPT_S,
            ("lane",),
        )
        self._in_flight = new.gauge(
            "hub_push_in_flight", "Devices being sent to, at the last look.", ("lane",)
        )
        self._due_age = new.gauge(
            "hub_push_due_age_seconds", "How long the longest waiting device has been due.", ("lane",)
        )
        self._waiting = new.gauge(
            "hub_push_devices_waiting", "Devices that are owed something, due now or later.", ("lane",)
        )
        self._breaker = new.gauge("hub_push_breaker_open", "1 while a lane has stopped.", ("lane",))
        self._dead = new.counter("hub_push_dead_letters", "Notifications given up for one device.", ("lane",))
        self._lost = new.counter(
            "hub_push_claims_lost", "Claims that ran out before their end was noted.", ("lane",)
        )
        self._jobs = new.gauge("hub_jobs_waiting", "Large calls of notify that are not through.")
        self._job_users = new.counter("hub_job_users", "Users that large calls came to.", ("result",))
        for result in ("notified", "failed"):
            self._job_users.labels(result)

    def begin(self, lane: str) -> None:
        """Show a lane from the start: what is absent cannot be watched."""
        for counter in (self._claimed, self._dead, self._lost):
            counter.labels(lane)
        for gauge in (self._in_flight, self._due_age, self._waiting, self._breaker):
            gauge.labels(lane).set(0)

    def rows_claimed(self, lane: str, count: int) -> None:
        self._claimed.labels(lane).inc(count)

    def attempt_finished(self, lane: str, kind: Kind, outcome: Outcome, latency_s: float) -> None:
        self._attempts.labels(lane, kind, outcome.verdict.name.lower()).inc()
        self._seconds.labels(lane).observe(latency_s)

    def in_flight(self, lane: str, count: int) -> None:
        self._in_flight.labels(lane).set(count)

    def due_age(self, lane: str, age_s: float) -> None:
        self._due_age.labels(lane).set(age_s)

    def rows_waiting(self, lane: str, count: int) -> None:
        self._waiting.labels(lane).set(count)

    def jobs_waiting(self, count: int) -> None:
        self._jobs.set(count)

    def breaker_changed(self, lane: str, is_open: bool) -> None:
        self._breaker.labels(lane).set(is_open)

    def dead_letters(self, lane: str, count: int) -> None:
        self._dead.labels(lane).inc(count)

    def claim_lost(self, lane: str) -> None:
        self._lost.labels(lane).inc()

    def job_step_finished(self, users: int, failed: int) -> None:
        self._job_users.labels("notified").inc(users - failed)
        self._job_users.labels("failed").inc(failed)
