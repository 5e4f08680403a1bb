"""Port: what can be counted about a worker, in its own words.

User and device ids never appear: they would make one time series each. Knows no metrics
library; an implementation is chosen in the composition root.
"""

from __future__ import annotations

from typing import Protocol

from workers.push import Kind, Outcome


class WorkerMetrics(Protocol):
    """Told what happens, as it happens. Calls must be cheap and never raise."""

    def rows_claimed(self, lane: str, count: int) -> None:
        """So many devices were claimed at once."""
        ...

    def attempt_finished(self, lane: str, kind: Kind, outcome: Outcome, latency_s: float) -> None:
        """One attempt came to this, after so many seconds."""
        ...

    def in_flight(self, lane: str, count: int) -> None:
        """So many devices are being sent to now."""
        ...

    def due_age(self, lane: str, age_s: float) -> None:
        """The device that waits longest has been due for so many seconds; 0 while none waits."""
        ...

    def rows_waiting(self, lane: str, count: int) -> None:
        """So many devices are owed something, now or later."""
        ...

    def jobs_waiting(self, count: int) -> None:
        """So many large calls are not through yet."""
        ...

    def breaker_changed(self, lane: str, is_open: bool) -> None:
        """The lane stopped, or goes on."""
        ...

    def dead_letters(self, lane: str, count: int) -> None:
        """So many notifications were given up for one device."""
        ...

    def claim_lost(self, lane: str) -> None:
        """A claim ran out, or its end could not be told, before the end was noted."""
        ...

    def job_step_finished(self, users: int, failed: int) -> None:
        """A step of a large call is through."""
        ...


class NopWorkerMetrics:
    """Counts nothing, so that nobody needs to ask whether there is a counter."""

    def rows_claimed(self, lane: str, count: int) -> None: ...
    def attempt_finished(self, lane: str, kind: Kind, outcome: Outcome, latency_s: float) -> None: ...
    def in_flight(self, lane: str, count: int) -> None: ...
    def due_age(self, lane: str, age_s: float) -> None: ...
    def rows_waiting(self, lane: str, count: int) -> None: ...
    def jobs_waiting(self, count: int) -> None: ...
    def breaker_changed(self, lane: str, is_open: bool) -> None: ...
    def dead_letters(self, lane: str, count: int) -> None: ...
    def claim_lost(self, lane: str) -> None: ...
    def job_step_finished(self, users: int, failed: int) -> None: ...
