"""All lanes of one worker: starts each with its sender, wakes the right one, and ends them together.

A lane whose credentials cannot work is named and left out; the others do not notice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hub.delivery.receipts import RECEIPT_SECRET
from hub.engine import Engine
from hub.errors import EngineUnavailable
from workers.breaker import BreakerOptions
from workers.gate import Gate
from workers.lane import Lane, LoopOptions
from workers.metrics import WorkerMetrics
from workers.retry import Random
from workers.senders.port import BadCredentials, Sender, TokenShelf
from workers.serving import Serving, ServingOptions
from workers.shelf import LaneShelf
from workers.tracing import WorkerTracer

log = logging.getLogger(__name__)

MakeSender = Callable[[TokenShelf], Sender]
"""Makes the sender of a lane, given where it may keep its provider token.

Raises:
    BadCredentials: it cannot even be made.
"""

START_WITHIN_S = 10.0
"""How long a worker waits at its start for senders; one that takes longer joins later."""


@dataclass(frozen=True, slots=True)
class LanePlan:
    """One configured app. ``name`` is its lane, ``concurrency`` the devices that are sent to at once."""

    name: str
    make_sender: MakeSender
    concurrency: int = 100


@dataclass(frozen=True, slots=True)
class DispatcherOptions:
    """What all lanes have in common."""

    serving: ServingOptions = field(default_factory=ServingOptions)
    breaker: BreakerOptions = field(default_factory=BreakerOptions)
    survey_s: float = 5.0
    gather_s: float = 0.02


class Dispatcher:
    """Runs the lanes of ``plans`` over ``engine``."""

    def __init__(
        self,
        engine: Engine,
        plans: Sequence[LanePlan],
        options: DispatcherOptions,
        worker: str,
        metrics: WorkerMetrics,
        random: Random,
        tracer: WorkerTracer,
        is_blocked: Callable[[str], bool],
    ) -> None:
        self._engine = engine
        self._plans = plans
        self._options = options
        self._worker = worker
        self._metrics = metrics
        self._random = random
        self._tracer = tracer
        self._is_blocked = is_blocked
        self._lanes: dict[str, Lane] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._begun: set[str] = set()
        self._stopping = False
        self.broken: dict[str, str] = {}
        """Lanes that cannot be sent to, and why; secrets are not in it."""

    @property
    def lanes(self) -> list[str]:
        """The lanes that are worked on."""
        return [plan.name for plan in self._plans if plan.name not in self.broken]

    @property
    def in_flight(self) -> int:
        """Rows being served, on all lanes."""
        return sum(lane.in_flight for lane in self._lanes.values())

    async def start(self) -> None:
        """Start every lane. Those that cannot work are in :attr:`broken` when this returns.

        Raises:
            EngineUnavailable: nothing was started.
        """
        secret = await self._engine.lanes.secret(RECEIPT_SECRET)
        begun: list[asyncio.Future[None]] = []
        for plan in self._plans:
            told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            begun.append(told)
            self._tasks.append(asyncio.create_task(self._run(plan, secret, told), name=f"lane {plan.name}"))
        if begun:
            _, late = await asyncio.wait(begun, timeout=START_WITHIN_S)
            if late:
                log.warning("! %d senders are still starting; their lanes join later", len(late))

    def wake(self, lane: str) -> None:
        """Something of ``lane`` may be due."""
        found = self._lanes.get(lane)
        if found is not None:
            found.wake()

    def begin_stop(self) -> None:
        """Claim nothing more."""
        self._stopping = True
        for lane in self._lanes.values():
            lane.begin_stop()
        for task, plan in zip(self._tasks, self._plans, strict=False):
            if plan.name not in self._begun:
                task.cancel()

    async def wait(self) -> None:
        """Return once every lane has ended. Safe to cancel: they go on."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def abort(self) -> None:
        """End every lane at once; claims that are held run out."""
        self.begin_stop()
        for lane in self._lanes.values():
            lane.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def look_at_queues(self) -> None:
        """Tell the metrics what waits: how many rows and since when, lane by lane, and how many jobs."""
        for name, lane in list(self._lanes.items()):
            oldest_ms = await self._engine.ledger.oldest_due_ms(name)
            # A lane that has claimed nothing yet knows no better time than this machine's.
            now_ms = lane.engine_now_ms or round(time.time() * 1000)
            age_s = 0.0 if oldest_ms is None else max(0.0, (now_ms - oldest_ms) / 1000)
            self._metrics.due_age(name, age_s)
            self._metrics.rows_waiting(name, await self._engine.ledger.waiting_count(name))
        self._metrics.jobs_waiting(await self._engine.jobs.waiting_count())

    async def _run(self, plan: LanePlan, secret: bytes, told: asyncio.Future[None]) -> None:
        sender: Sender | None = None
        try:
            try:
                sender = plan.make_sender(LaneShelf(self._engine.lanes, plan.name))
                await sender.start()
            except BadCredentials as error:
                self._leave_out(plan, str(error))
                return
            except EngineUnavailable as error:
                self._leave_out(plan, f"could not be started: {error.detail}")
                return
            except Exception as error:
                log.exception("! %s: the sender could not be started", plan.name)
                self._leave_out(plan, f"could not be started: {type(error).__name__}")
                return
            lane = self._lane(plan, sender, secret)
            self._lanes[plan.name] = lane
            self._begun.add(plan.name)
            log.info("= %s: at work, %d at once", plan.name, plan.concurrency)
            if not told.done():
                told.set_result(None)
            if not self._stopping:
                await lane.run()
        finally:
            if not told.done():
                told.set_result(None)
            if sender is not None:
                await sender.stop()

    def _leave_out(self, plan: LanePlan, reason: str) -> None:
        self.broken[plan.name] = reason
        log.error("! %s: stays stopped: %s", plan.name, reason)

    def _lane(self, plan: LanePlan, sender: Sender, secret: bytes) -> Lane:
        options, name, metrics = self._options, plan.name, self._metrics
        # A probe is over when its row is, or when the worker that sent it is dead.
        probe_s = options.serving.request_deadline_s + options.serving.min_claim_left_s
        gate = Gate(name, self._engine.lanes, options.breaker, probe_s, metrics, self._random)
        serving = Serving(
            name,
            sender,
            self._engine.ledger,
            gate,
            options.serving,
            secret,
            self._worker,
            metrics,
            self._random,
            self._tracer,
            self._is_blocked,
        )
        rhythm = LoopOptions(plan.concurrency, options.survey_s, options.gather_s)
        return Lane(name, self._engine.ledger, gate, serving, rhythm, self._worker, metrics, self._random)
