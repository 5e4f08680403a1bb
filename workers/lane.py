"""One lane's loop: claims what is due while there are free slots, and waits for nothing else.

Woken by the ledger, or when the next row is due; between, a slow survey finds what a lost wake
hid. Each lane has its own loop, its own bound and its own breaker, so that a provider that is
slow or dead takes nothing from the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from hub.delivery.model import Claimed
from hub.engine.ledger import Ledger
from hub.errors import EngineUnavailable
from workers.gate import Gate
from workers.metrics import WorkerMetrics
from workers.retry import Random
from workers.serving import Serving

log = logging.getLogger(__name__)

_FIRST_BACKOFF_S = 0.1
_LAST_BACKOFF_S = 5.0


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """The rhythm of a lane.

    ``concurrency`` are the devices that are sent to at once, and so the rows that are claimed.
    ``survey_s`` is the longest time without a look at the queue. ``gather_s`` is how long a busy
    lane lets slots become free before it claims for them, so that one claim fills many; an idle
    one claims at most once in this time, however often it is woken.
    """

    concurrency: int = 100
    survey_s: float = 5.0
    gather_s: float = 0.02


class Lane:
    """Claims and serves the rows of one lane until it is stopped."""

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        gate: Gate,
        serving: Serving,
        options: LoopOptions,
        worker: str,
        metrics: WorkerMetrics,
        random: Random,
    ) -> None:
        self.name = name
        self._ledger = ledger
        self._gate = gate
        self._serving = serving
        self._options = options
        self._worker = worker
        self._metrics = metrics
        self._random = random
        self._rows: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._freed = asyncio.Event()
        self._stopped = asyncio.Event()
        self._wanted_slots = 1
        self._ahead_ms: int | None = None
        """The engine's clock minus the loop's, None until the engine told it."""

    @property
    def in_flight(self) -> int:
        """Rows being served."""
        return len(self._rows)

    @property
    def engine_now_ms(self) -> int | None:
        """The engine's time, None until it was told; this machine's time of day may be any."""
        return None if self._ahead_ms is None else _loop_ms() + self._ahead_ms

    def wake(self) -> None:
        """Something may be due."""
        self._woken.set()

    def begin_stop(self) -> None:
        """Claim nothing more."""
        self._stopped.set()
        self._woken.set()
        self._freed.set()

    def abort(self) -> None:
        """Claim nothing more, and abandon what is being served: its claims run out."""
        self.begin_stop()
        for task in self._rows:
            task.cancel()

    async def run(self) -> None:
        """Work until stopped, and until everything claimed is served.

        Engine trouble is waited out; cancelling abandons what is being served.
        """
        try:
            backoff_s = _FIRST_BACKOFF_S
            while not self._stopped.is_set():
                try:
                    await self._turn()
                    backoff_s = _FIRST_BACKOFF_S
                except EngineUnavailable as error:
                    log.warning("! %s: %s; again in %.1f s", self.name, error.detail, backoff_s)
                    await self._pause(backoff_s * (0.5 + self._random() / 2))
                    backoff_s = min(2 * backoff_s, _LAST_BACKOFF_S)
                except Exception:
                    # One lane's trouble, whatever it is, must not end the worker.
                    log.exception("! %s: the loop failed; again in %.1f s", self.name, backoff_s)
                    await self._pause(backoff_s)
                    backoff_s = min(2 * backoff_s, _LAST_BACKOFF_S)
            while self._rows:
                await asyncio.wait(self._rows)
            await self._gate.settle()
        finally:
            for task in self._rows:
                task.cancel()
            if self._rows:
                await asyncio.gather(*self._rows, return_exceptions=True)

    async def _turn(self) -> None:
        """Claim once, and wait until it is worth to claim again."""
        await self._free_slots()
        self._wanted_slots = 1
        if self._stopped.is_set():
            return
        free = self._options.concurrency - len(self._rows)
        passed = await self._gate.ask(free, len(self._rows), self.engine_now_ms)
        if self._stopped.is_set():
            return
        if passed.rows == 0:
            await self._until_passed(passed.ask_again_s)
            return
        self._woken.clear()
        claimed_at_s = asyncio.get_running_loop().time()
        batch = await self._ledger.claim(self.name, passed.rows, self._worker)
        if batch.now_ms:
            self._ahead_ms = batch.now_ms - _loop_ms()
        for row in batch.rows:
            self._serve(row, claimed_at_s)
        if batch.rows:
            self._metrics.rows_claimed(self.name, len(batch.rows))
            self._metrics.in_flight(self.name, len(self._rows))
        if len(batch.rows) >= passed.rows:
            # There may be more of them: take many at once, as soon as there is room for many.
            self._wanted_slots = max(1, self._options.concurrency // 4)
            return
        await self._until_due(batch.next_due_ms)

    async def _free_slots(self) -> None:
        """Wait for as many slots as are wanted, but not long, and then for one."""
        for wanted, timeout_s in ((self._wanted_slots, self._options.gather_s), (1, None)):
            self._wanted_slots = wanted
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    while self._options.concurrency - len(self._rows) < wanted:
                        self._freed.clear()
                        if self._stopped.is_set():
                            return
                        await self._freed.wait()

    async def _until_due(self, next_due_ms: int | None) -> None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        # Not all workers of a lane at the same moment.
        wait_s = self._options.survey_s * (0.75 + self._random() / 4)
        now_ms = self.engine_now_ms
        if next_due_ms is not None and now_ms is not None:
            wait_s = min(wait_s, (next_due_ms - now_ms) / 1000)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, wait_s)):
                await self._woken.wait()
        rest_s = self._options.gather_s - (loop.time() - started_s)
        if rest_s > 0:
            await self._pause(rest_s)

    async def _until_passed(self, ask_again_s: float) -> None:
        """The gate is closed. It may open once what is still being served has ended."""
        if not self._rows:
            await self._pause(ask_again_s)
            return
        self._wanted_slots = self._options.concurrency
        self._freed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ask_again_s):
                await self._freed.wait()
        self._wanted_slots = 1

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()

    def _serve(self, row: Claimed, claimed_at_s: float) -> None:
        task = asyncio.create_task(self._serving.serve(row, claimed_at_s), name=f"row of {self.name}")
        self._rows.add(task)
        task.add_done_callback(self._on_served)

    def _on_served(self, task: asyncio.Task[None]) -> None:
        self._rows.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its claim runs out, and the row comes again.
            log.error("! %s: a row could not be served", self.name, exc_info=error)
        if self._options.concurrency - len(self._rows) >= self._wanted_slots:
            self._freed.set()
        if not self._rows:
            self._metrics.in_flight(self.name, 0)


def _loop_ms() -> int:
    return round(asyncio.get_running_loop().time() * 1000)
