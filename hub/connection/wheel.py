"""One clock for all timers of all connections: pings, pong deadlines, expiry, grace.

A timer costs one small object and one list slot, and fires up to one tick late. Knows
nothing of what its timers are for.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

log = logging.getLogger(__name__)


class Timer:
    """One thing to do later."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do nothing when the time comes. Safe to call at any time, any number of times."""
        self._callback = None

    def fire(self) -> None:
        """The time has come."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Wheel:
    """Timers in slots of ``tick_s`` seconds; one wake-up a tick, none while there is no timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tick_s: float = 0.1) -> None:
        self._loop = loop
        self._tick_s = tick_s
        self._slots: dict[int, list[Timer]] = {}
        self._done_tick = 0
        self._wake: asyncio.TimerHandle | None = None

    def after(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` in ``delay_s`` seconds, at most one tick late."""
        timer = Timer(callback)
        now_s = self._loop.time()
        if self._wake is None:
            self._done_tick = math.floor(now_s / self._tick_s)
            self._schedule()
        tick = max(math.ceil((now_s + delay_s) / self._tick_s), self._done_tick + 1)
        self._slots.setdefault(tick, []).append(timer)
        return timer

    def _schedule(self) -> None:
        self._wake = self._loop.call_at((self._done_tick + 1) * self._tick_s, self._turn)

    def _turn(self) -> None:
        self._wake = None
        now_tick = math.floor(self._loop.time() / self._tick_s + 1e-6)
        # After a stall many ticks are due at once; they fire in order.
        while self._done_tick < now_tick and self._slots:
            self._done_tick += 1
            for timer in self._slots.pop(self._done_tick, ()):
                try:
                    timer.fire()
                except Exception:
                    log.exception("a timer failed")
        self._done_tick = max(self._done_tick, now_tick)
        if self._slots and self._wake is None:
            self._schedule()

    def stop(self) -> None:
        """Fire nothing more."""
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        self._slots.clear()
