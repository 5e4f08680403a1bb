"""Expands large calls of notify, some hundred users at a time, with the place saved between.

A step that is cut short is done again by whoever claims it next: an inbox knows what it has.
Knows no lane and no sender.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from hub.delivery.notification import unpack
from hub.engine.jobs import Jobs, JobStep
from hub.engine.ledger import Ledger
from hub.engine.notifying import notify_users, withdraw
from hub.errors import EngineUnavailable, HubError
from workers.metrics import WorkerMetrics
from workers.retry import Random
from workers.tracing import WorkerTracer

log = logging.getLogger(__name__)

_FIRST_BACKOFF_S = 0.1
_LAST_BACKOFF_S = 5.0


@dataclass(frozen=True, slots=True)
class ExpanderOptions:
    """``claim_s`` is how long a step may take before another worker does it again."""

    claim_s: float = 30.0
    survey_s: float = 5.0


class JobExpander:
    """Takes one step after another until it is stopped."""

    def __init__(
        self,
        ledger: Ledger,
        jobs: Jobs,
        options: ExpanderOptions,
        metrics: WorkerMetrics,
        random: Random,
        tracer: WorkerTracer,
    ) -> None:
        self._ledger = ledger
        self._jobs = jobs
        self._options = options
        self._metrics = metrics
        self._random = random
        self._tracer = tracer
        self._woken = asyncio.Event()
        self._stopped = asyncio.Event()
        self._has_step = False

    @property
    def has_step(self) -> bool:
        """Whether a step is under way."""
        return self._has_step

    def wake(self) -> None:
        """A job may be waiting."""
        self._woken.set()

    def begin_stop(self) -> None:
        """Finish the step under way, and take no other."""
        self._stopped.set()
        self._woken.set()

    async def run(self) -> None:
        """Work until stopped. Engine trouble is waited out; cancelling leaves the step to others."""
        backoff_s = _FIRST_BACKOFF_S
        while not self._stopped.is_set():
            try:
                self._woken.clear()
                while not self._stopped.is_set() and await self._one_step():
                    backoff_s = _FIRST_BACKOFF_S
                await self._rest(self._woken, self._options.survey_s * (0.75 + self._random() / 4))
            except EngineUnavailable as error:
                log.warning("! jobs: %s; again in %.1f s", error.detail, backoff_s)
                await self._rest(self._stopped, backoff_s * (0.5 + self._random() / 2))
                backoff_s = min(2 * backoff_s, _LAST_BACKOFF_S)
            except Exception:
                log.exception("! jobs: a step failed; again in %.1f s", backoff_s)
                await self._rest(self._stopped, backoff_s)
                backoff_s = min(2 * backoff_s, _LAST_BACKOFF_S)

    async def _one_step(self) -> bool:
        step = await self._jobs.claim_step(self._options.claim_s)
        self._has_step = step is not None
        if step is None:
            return False
        failed = await self._expand(step)
        status = await self._jobs.status(step.id)
        if status is not None and not status.running and status.done + status.failed < status.users:
            # Cancelled meanwhile: whoever took it back may have passed some of these before they had it.
            await withdraw(self._ledger, self._jobs, step.id, step.users)
        await self._jobs.finish_step(step, failed)
        self._has_step = False
        self._metrics.job_step_finished(len(step.users), failed)
        return True

    async def _expand(self, step: JobStep) -> int:
        """Notify the users of a step; for how many that failed for good."""
        try:
            notification = unpack(step.body)
            notification.entry()
        except (ValueError, TypeError, KeyError, HubError):
            # A job that nobody can read would stand before all others for ever.
            log.error("! jobs: %s cannot be read; its users are not notified", step.id)
            return len(step.users)
        with self._tracer.span("job step", parent=notification.traceparent, users=len(step.users)):
            return await notify_users(self._ledger, notification, step.users)

    async def _rest(self, until: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await until.wait()
