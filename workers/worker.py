"""A worker: delivers what is due and expands large calls, until it is told to stop.

Takes everything as arguments and names no provider and no engine; it runs beside the hubs, or
inside the one hub that the embedded engine allows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random as dice
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hub.engine import Engine
from hub.engine.revoked import RevokedCopy
from hub.errors import EngineUnavailable
from workers.dispatcher import Dispatcher, DispatcherOptions, LanePlan
from workers.jobs import ExpanderOptions, JobExpander
from workers.metrics import NopWorkerMetrics, WorkerMetrics
from workers.retry import Random
from workers.tracing import NopWorkerTracer, WorkerTracer

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 10.0


class NoLaneWorks(Exception):
    """Not one of the configured lanes can be sent to; ``broken`` says of each why."""

    def __init__(self, broken: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{lane}: {reason}" for lane, reason in broken.items()))
        self.broken = broken


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """``stop_deadline_s`` is what a stopped worker gives to that which it holds.

    ``needs_lane`` has it refuse to start where there are lanes and none of them can work.
    """

    dispatcher: DispatcherOptions = field(default_factory=DispatcherOptions)
    expander: ExpanderOptions = field(default_factory=ExpanderOptions)
    stop_deadline_s: float = 20.0
    needs_lane: bool = True


class Worker:
    """One worker over an engine that is started before it and stopped after it.

    ``name`` tells it from other workers, in traces. Without ``lanes`` it only expands large calls.
    """

    def __init__(
        self,
        engine: Engine,
        lanes: Sequence[LanePlan],
        options: WorkerOptions,
        *,
        name: str,
        metrics: WorkerMetrics | None = None,
        random: Random = dice.random,
        tracer: WorkerTracer | None = None,
    ) -> None:
        metrics = metrics or NopWorkerMetrics()
        tracer = tracer or NopWorkerTracer()
        self._engine = engine
        self._options = options
        self._revoked = RevokedCopy(engine.revocations)
        self._dispatcher = Dispatcher(
            engine, lanes, options.dispatcher, name, metrics, random, tracer, self._revoked.is_blocked
        )
        self._expander = JobExpander(engine.ledger, engine.jobs, options.expander, metrics, random, tracer)
        self._expanding: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._abort = asyncio.Event()

    @property
    def lanes(self) -> list[str]:
        """The lanes that it works on."""
        return self._dispatcher.lanes

    @property
    def broken(self) -> Mapping[str, str]:
        """The lanes that it cannot work on, and why."""
        return self._dispatcher.broken

    async def start(self) -> None:
        """Be at work when this returns. Nothing is left behind when it fails.

        Raises:
            NoLaneWorks: there are lanes, none of them can work, and one is needed.
            EngineUnavailable: the engine did not answer.
        """
        try:
            # Before anything is claimed: what is notified between the two would be waited for else.
            await self._engine.ledger.watch(self.lanes, self._on_wake)
            await self._revoked.start()
            await self._dispatcher.start()
            if self._options.needs_lane and self.broken and not self.lanes:
                raise NoLaneWorks(self.broken)
        except BaseException:
            await self._dispatcher.abort()
            await self._revoked.stop()
            with contextlib.suppress(EngineUnavailable):
                await self._engine.ledger.watch((), _ignore_wake)
            raise
        self._expanding = asyncio.create_task(self._expander.run(), name="jobs")
        self._looking = asyncio.create_task(self._look_forever(), name="queues")

    async def run(self, until: asyncio.Event) -> None:
        """Start, work until the event is set, stop. Cancelling ends at once.

        Raises:
            NoLaneWorks: as :meth:`start`.
            EngineUnavailable: as :meth:`start`.
        """
        await self.start()
        try:
            await until.wait()
            await self.stop()
        finally:
            await self.abort()

    async def stop(self) -> None:
        """Claim nothing more, finish what is held, within the deadline. A second call ends at once."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name="stop")
        else:
            self._abort.set()
        # Whoever waits for the end may be cancelled; the end itself is not.
        await asyncio.shield(self._stopping)

    async def abort(self) -> None:
        """End at once: claims that are held run out, and their rows come again."""
        self._abort.set()
        await self.stop()

    async def _stop(self) -> None:
        self._dispatcher.begin_stop()
        self._expander.begin_stop()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        done = asyncio.create_task(self._finished())
        abort = asyncio.create_task(self._abort.wait())
        await asyncio.wait(
            {done, abort}, timeout=self._options.stop_deadline_s, return_when=asyncio.FIRST_COMPLETED
        )
        if not done.done() and (self._dispatcher.in_flight or self._expander.has_step):
            log.warning("x what is held is abandoned: its claims run out, and other workers take it")
        for task in (done, abort, self._expanding):
            if task is not None:
                task.cancel()
        await self._dispatcher.abort()
        await self._revoked.stop()
        await asyncio.gather(*(t for t in (done, abort, self._expanding) if t), return_exceptions=True)
        with contextlib.suppress(EngineUnavailable):
            await self._engine.ledger.watch((), _ignore_wake)

    async def _finished(self) -> None:
        await self._dispatcher.wait()
        if self._expanding is not None:
            await asyncio.wait({self._expanding})

    def _on_wake(self, lane: str) -> None:
        if lane:
            self._dispatcher.wake(lane)
        else:
            self._expander.wake()

    async def _look_forever(self) -> None:
        while True:
            try:
                await self._dispatcher.look_at_queues()
            except EngineUnavailable:
                log.debug("the queues could not be looked at")
            except Exception:
                log.exception("the queues could not be looked at")
            await asyncio.sleep(_LOOK_EVERY_S)


def _ignore_wake(lane: str) -> None: ...
