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

_FEW_CANCELLED_COUNT = 1_000
"""So many cancelled timers may stay, whatever their share: sweeping for fewer is not worth it."""


class Timer:
    """One thing to do later."""

    __slots__ = ("_callback", "_wheel")

    def __init__(self, wheel: Wheel, callback: Callable[[], None]) -> None:
        self._wheel = wheel
        self._callback: Callable[[], None] | None = callback

    @property
    def is_spent(self) -> bool:
        """True once it was cancelled or has fired."""
        return self._callback is None

    def cancel(self) -> None:
        """Do nothing when the time comes. Safe to call at any time, any number of times."""
        if self._callback is not None:
            self._callback = None
            self._wheel.on_cancelled()

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
        self._count = 0
        self._cancelled_count = 0
        self._is_turning = False
        self._done_tick = 0
        self._wake: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Timers held, cancelled ones that are not swept out yet among them."""
        return self._count

    def after(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` in ``delay_s`` seconds, at most one tick late."""
        timer = Timer(self, callback)
        now_s = self._loop.time()
        if self._wake is None and not self._is_turning:
            self._done_tick = math.floor(now_s / self._tick_s)
            self._schedule()
        tick = max(math.ceil((now_s + delay_s) / self._tick_s), self._done_tick + 1)
        slot = self._slots.get(tick)
        if slot is None:
            slot = self._slots[tick] = []
        slot.append(timer)
        self._count += 1
        return timer

    def on_cancelled(self) -> None:
        """One of the timers will do nothing any more; for the timers themselves."""
        # Timers for the end of a token lie a day ahead, and phones come and go all day.
        self._cancelled_count += 1
        if not self._is_turning:
            self._sweep_if_worthwhile()

    def _sweep_if_worthwhile(self) -> None:
        if self._cancelled_count <= max(_FEW_CANCELLED_COUNT, self._count // 2):
            return
        swept = {}
        for tick, timers in self._slots.items():
            waiting = [timer for timer in timers if not timer.is_spent]
            if waiting:
                swept[tick] = waiting
        self._slots = swept
        self._count -= self._cancelled_count
        self._cancelled_count = 0

    def _schedule(self) -> None:
        self._wake = self._loop.call_at((self._done_tick + 1) * self._tick_s, self._turn)

    def _turn(self) -> None:
        self._wake = None
        self._is_turning = True
        now_tick = math.floor(self._loop.time() / self._tick_s + 1e-6)
        try:
            # After a stall many ticks are due at once; they fire in order.
            while self._done_tick < now_tick and self._slots:
                self._done_tick += 1
                self._fire_all(self._slots.pop(self._done_tick, []))
        finally:
            self._is_turning = False
            self._done_tick = max(self._done_tick, now_tick)
            self._sweep_if_worthwhile()
            if self._slots:
                self._schedule()

    def _fire_all(self, due: list[Timer]) -> None:
        self._count -= len(due)
        for timer in due:
            if timer.is_spent:
                self._cancelled_count -= 1
                continue
            try:
                timer.fire()
            except Exception:
                log.exception("a timer failed")

    def stop(self) -> None:
        """Fire nothing more."""
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        self._slots.clear()
        self._count = self._cancelled_count = 0
