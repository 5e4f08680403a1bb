"""May a lane be sent to now: the breaker that all its workers share, as one of them sees it.

Reads the shared state at most once a second, and tells it what this worker learned. Knows no
rows and no sender. ``now_ms`` is the engine's time, as the lane last heard it; never a worker's own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from hub.engine.lanes import Lanes
from hub.errors import EngineUnavailable
from workers.breaker import Answers, BreakerOptions, Probe, Sign, SlowStart, Trip, is_wrong_token, pause_s
from workers.metrics import WorkerMetrics
from workers.push import Outcome, Verdict
from workers.retry import Random

log = logging.getLogger(__name__)

_KNOWN_FOR_S = 1.0
"""How old what is known of the shared breaker may be when rows are claimed."""

_LET_OTHERS_S = 1.0
"""How long who got no answer leaves a pause that is over to others: it may be its own way out that is cut."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What may be done: so many rows at most, and where it is none, after how many seconds to ask again."""

    rows: int
    ask_again_s: float = 0.0


class Gate:
    """One lane's breaker."""

    def __init__(
        self,
        lane: str,
        lanes: Lanes,
        options: BreakerOptions,
        probe_s: float,
        metrics: WorkerMetrics,
        random: Random,
    ) -> None:
        self._lane = lane
        self._lanes = lanes
        self._options = options
        self._probe_s = probe_s
        self._metrics = metrics
        self._random = random
        self._answers = Answers(options)
        self._open_until_ms = 0
        self._failures = 0
        self._known_at_s = float("-inf")
        self._probe: Probe | None = None
        self._probe_until_s = float("-inf")
        self._slow_start = SlowStart()
        self._silences = 0
        self._held_until_s = float("-inf")
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        """Whether the lane has stopped, as far as is known here; nothing more is sent meanwhile."""
        return self._open_until_ms > 0

    async def ask(self, free: int, in_flight: int, now_ms: int | None) -> Pass:
        """What may be claimed, of ``free`` slots, while ``in_flight`` rows are being sent to.

        ``now_ms`` None: the engine's time is not known yet.

        Raises:
            EngineUnavailable: what the other workers know could not be read.
        """
        loop = asyncio.get_running_loop()
        if self._telling:
            # What is known here is not known to the others yet: it must not be read over.
            await asyncio.wait(self._telling)
        if loop.time() - self._known_at_s >= _KNOWN_FOR_S:
            breaker = await self._lanes.breaker(self._lane)
            self._known_at_s = loop.time()
            self._take(breaker.open_until_ms, breaker.failures)
        held_s = self._held_until_s - loop.time()
        if not self.is_open:
            if held_s > 0:
                return Pass(0, held_s)
            rows = self._slow_start.rows(free, in_flight)
            return Pass(rows) if rows else Pass(0, _KNOWN_FOR_S)
        if now_ms is not None and now_ms < self._open_until_ms:
            self._end_probe()
            return Pass(0, (self._open_until_ms - now_ms) / 1000)
        if held_s > 0:
            return Pass(0, held_s)
        if in_flight:
            # The probe itself, or the last of those that were sent before the lane stopped.
            return Pass(0, _KNOWN_FOR_S)
        if loop.time() >= self._probe_until_s:
            # The engine judges by its own clock whether the pause is over.
            if not await self._lanes.try_probe(self._lane, self._probe_s):
                self._end_probe()
                self._known_at_s = float("-inf")
                return Pass(0, _KNOWN_FOR_S)
            self._probe_until_s = loop.time() + self._probe_s
        self._probe = self._probe or Probe()
        return Pass(1)

    def note(self, outcome: Outcome, now_ms: int) -> None:
        """An attempt came to ``outcome``."""
        if outcome.status:
            self._silences = 0
        if self.is_open:
            if self._probe is not None:
                self._note_probe(self._probe, outcome, now_ms)
            return
        trip = self._answers.note(outcome, asyncio.get_running_loop().time())
        if self._slow_start.note(outcome) and trip is None:
            trip = Trip(f"failing again: {outcome.reason}", self._options.pause_s)
        if trip is not None:
            self._trip(trip, now_ms, answered=outcome.status > 0)

    async def settle(self) -> None:
        """Return once all that was learned was told."""
        if self._telling:
            await asyncio.wait(self._telling)

    def _note_probe(self, probe: Probe, outcome: Outcome, now_ms: int) -> None:
        sign = probe.judge(outcome)
        if sign is Sign.UNCLEAR:
            log.info("= %s: %s; another device is tried", self._lane, outcome.reason or "no answer")
            return
        self._end_probe()
        if sign is Sign.WELL:
            self._open_until_ms = self._failures = 0
            self._answers.clear()
            self._slow_start.begin()
            self._known_at_s = asyncio.get_running_loop().time()
            self._changed(is_open=False)
            log.info("= %s: the provider answers again", self._lane)
            self._tell(self._lanes.close_breaker(self._lane))
            return
        misconfigured = outcome.verdict is Verdict.STOP or is_wrong_token(outcome)
        base_s = self._options.stop_pause_s if misconfigured else self._options.pause_s
        trip = Trip(f"still failing: {outcome.reason}", base_s, outcome.retry_after_s or 0.0)
        self._trip(trip, now_ms, answered=outcome.status > 0)

    def _trip(self, trip: Trip, now_ms: int, *, answered: bool) -> None:
        length_s = pause_s(trip, self._failures, self._options, self._random)
        if not answered:
            self._hold(length_s)
        # At once, so that the many that fail together stop the lane once.
        self._open_until_ms = now_ms + round(length_s * 1000)
        self._failures += 1
        self._answers.clear()
        self._known_at_s = asyncio.get_running_loop().time()
        self._changed(is_open=True)
        log.warning("! %s: stopped for %.0f s: %s", self._lane, length_s, trip.reason)
        self._tell(self._lanes.open_breaker(self._lane, length_s, trip.reason))

    def _end_probe(self) -> None:
        self._probe, self._probe_until_s = None, float("-inf")

    def _hold(self, length_s: float) -> None:
        """Send nothing for so long, whatever others find out; each time in a row for longer."""
        if self._silences:
            own = Trip("", self._options.pause_s)
            length_s = max(length_s, pause_s(own, self._silences, self._options, self._random))
        self._silences += 1
        self._held_until_s = asyncio.get_running_loop().time() + length_s + _LET_OTHERS_S

    def _take(self, open_until_ms: int, failures: int) -> None:
        was_open = self.is_open
        self._open_until_ms = open_until_ms
        self._failures = failures
        if self.is_open != was_open:
            self._answers.clear()
            self._end_probe()
            self._slow_start.begin()
            self._changed(is_open=self.is_open)

    def _changed(self, *, is_open: bool) -> None:
        self._metrics.breaker_changed(self._lane, is_open)

    def _tell(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(self._told(work), name=f"breaker of {self._lane}")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _told(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except EngineUnavailable:
            # Each worker finds out by itself then, and claims nothing while the engine is away.
            log.debug("%s: what its breaker did could not be told", self._lane)
