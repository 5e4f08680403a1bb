"""Whether this process lives, and whether it should be given work. Live fails slow, ready fails fast.

Neither hammers what it asks: one probe at a time, bounded, and its answer is used for a
while. Knows no engine: it is given something to await.
"""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop, Task, TimerHandle, get_running_loop, shield, timeout
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hub.errors import HubError

logger = logging.getLogger(__name__)

Probe = Callable[[], Awaitable[None]]
"""Returns once the engine has answered, raises :class:`~hub.errors.HubError` when it did not."""

Permits = Callable[[Request], bool]
"""Whether whoever asks may see more than yes or no."""

About = Callable[[], Mapping[str, Any]]
"""What else people are shown, ready for JSON; asked for at each request that may see it."""

_NO_STORE = {"cache-control": "no-store"}


@dataclass(frozen=True, slots=True)
class HealthOptions:
    """How patient the probes are."""

    probe_timeout_s: float = 2.0
    probe_max_age_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Probed:
    """What the last probe found, at ``at_s`` on the monotonic clock. An empty ``failure`` is an answer."""

    at_s: float
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether this process should be given work, and if not, why. ``engine`` None: never asked yet."""

    reasons: tuple[str, ...]
    engine: Probed | None

    @property
    def ready(self) -> bool:
        """True when nothing speaks against it."""
        return not self.reasons


class Readiness:
    """Started, not draining, and the engine answers.

    Asking never costs more than one probe per ``probe_max_age_s``, however many ask. ``has_keys`` says
    whether any token could be verified.
    """

    def __init__(
        self, probe: Probe, options: HealthOptions, has_keys: Callable[[], bool] = lambda: True
    ) -> None:
        self._probe = probe
        self._options = options
        self._has_keys = has_keys
        self._started = False
        self._draining = False
        self._last: Probed | None = None
        self._probing: Task[Probed] | None = None

    @property
    def phase(self) -> str:
        """``starting``, ``started`` or ``draining``."""
        if self._draining:
            return "draining"
        return "started" if self._started else "starting"

    def mark_started(self) -> None:
        """Start-up is done: from now on it depends on the engine."""
        self._started = True

    def mark_draining(self) -> None:
        """No new work from now on, for good."""
        self._draining = True

    async def verdict(self) -> Verdict:
        """Whether to give this process work. Answers within the probe's timeout; safe to cancel."""
        if self._draining:
            return Verdict(("draining",), self._last)
        if not self._started:
            return Verdict(("starting",), self._last)
        engine = await self._engine()
        reasons = ("engine",) if engine.failure else ()
        return Verdict(reasons if self._has_keys() else (*reasons, "keys"), engine)

    def stop(self) -> None:
        """End a probe that still runs."""
        if self._probing is not None:
            self._probing.cancel()

    async def _engine(self) -> Probed:
        if self._last is not None and monotonic() - self._last.at_s < self._options.probe_max_age_s:
            return self._last
        if self._probing is None or self._probing.done():
            self._probing = get_running_loop().create_task(self._ask())
        # Shielded because others wait for the same probe; it ends by its own timeout.
        return await shield(self._probing)

    async def _ask(self) -> Probed:
        failure = ""
        try:
            async with timeout(self._options.probe_timeout_s):
                await self._probe()
        except TimeoutError:
            failure = f"no answer within {self._options.probe_timeout_s:g} s"
        except HubError as error:
            failure = error.detail or error.error.message
        except Exception:
            logger.exception("the probe of the engine failed")
            failure = "the probe itself failed"
        self._last = Probed(monotonic(), failure)
        return self._last


class LoopWatch:
    """How late the event loop runs its timers: the worst of the last two windows.

    One timer, no task. A loop that is held for a second shows it for a window or two.
    """

    def __init__(self, *, tick_s: float = 0.25, window_ticks: int = 20) -> None:
        self._tick_s = tick_s
        self._window_ticks = window_ticks
        self._ticks = 0
        self._worst_s = 0.0
        self._worst_before_s = 0.0
        self._timer: TimerHandle | None = None

    @property
    def lag_s(self) -> float:
        """The worst delay seen lately; 0 before :meth:`start`."""
        return max(self._worst_s, self._worst_before_s)

    def start(self) -> None:
        """Watch the running loop until :meth:`stop`."""
        if self._timer is None:
            self._arm(get_running_loop())

    def stop(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, loop: AbstractEventLoop) -> None:
        due_s = loop.time() + self._tick_s
        self._timer = loop.call_at(due_s, self._on_tick, loop, due_s)

    def _on_tick(self, loop: AbstractEventLoop, due_s: float) -> None:
        self._worst_s = max(self._worst_s, loop.time() - due_s)
        self._ticks += 1
        if self._ticks % self._window_ticks == 0:
            self._worst_before_s, self._worst_s = self._worst_s, 0.0
        self._arm(loop)


def create_live(watch: LoopWatch, permits: Permits) -> Route:
    """The route ``/health/live``: 200 as long as the loop turns at all; how well it does, for ``permits``."""
    started_s = monotonic()

    async def handle_live(request: Request) -> Response:
        answer: dict[str, Any] = {"status": "live"}
        if permits(request):
            answer["uptime_s"] = round(monotonic() - started_s, 3)
            answer["loop_lag_ms"] = round(watch.lag_s * 1000, 3)
        return JSONResponse(answer, headers=_NO_STORE)

    return Route("/health/live", handle_live)


def create_health(
    readiness: Readiness, watch: LoopWatch, permits: Permits, about: About = dict
) -> list[Route]:
    """The routes ``/health``, ``/health/live`` and ``/health/ready``, by GET and HEAD.

    ``/health`` answers ``{}`` for load balancers that want nothing but a 200. Live is 200 as
    long as the loop turns at all. Ready is 200 or 503. Why, which engine trouble, and ``about``
    are told only to those whom ``permits`` lets see it.
    """

    async def handle_health(request: Request) -> Response:
        return JSONResponse({}, headers=_NO_STORE)

    async def handle_ready(request: Request) -> Response:
        verdict = await readiness.verdict()
        answer: dict[str, Any] = {"status": "ready" if verdict.ready else "not ready"}
        if permits(request):
            answer["reasons"] = list(verdict.reasons)
            answer["phase"] = readiness.phase
            answer["engine"] = _engine_shown(verdict.engine)
            answer["loop_lag_ms"] = round(watch.lag_s * 1000, 3)
            answer.update(about())
        return JSONResponse(answer, 200 if verdict.ready else 503, headers=_NO_STORE)

    return [
        Route("/health", handle_health),
        create_live(watch, permits),
        Route("/health/ready", handle_ready),
    ]


def _engine_shown(engine: Probed | None) -> dict[str, Any] | None:
    if engine is None:
        return None
    return {
        "answers": not engine.failure,
        "failure": engine.failure or None,
        "age_ms": round((monotonic() - engine.at_s) * 1000, 3),
    }
