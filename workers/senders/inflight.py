"""Requests under way, each within its deadline, that can all be ended at once.

A sender that is stopped must answer for what it has begun. Closing connections under a request
raises whatever the library likes; expiring its deadline ends it the way a timeout does.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class InFlight:
    """Knows the deadlines of requests under way and nothing else about them."""

    def __init__(self) -> None:
        self.deadlines: set[asyncio.Timeout] = set()
        """Of what is under way."""
        self.idle = asyncio.Event()
        """Set whenever the last of it ends."""
        self.stopped = False

    def within(self, timeout_s: float) -> _Within:
        """Run the body of ``async with`` for at most ``timeout_s``, and no longer than until :meth:`end`.

        Raises:
            TimeoutError: time is over, or everything was ended.
        """
        return _Within(self, asyncio.timeout(timeout_s))

    async def end(self) -> None:
        """End what is under way and let nothing begin; returns when all of it has ended."""
        self.stopped = True
        now_s = asyncio.get_running_loop().time()
        while self.deadlines:
            self.idle.clear()
            for deadline in self.deadlines:
                if not deadline.expired():
                    deadline.reschedule(now_s)
            await self.idle.wait()


class _Within:
    """One request. Not a generator: this is passed with every push."""

    __slots__ = ("_deadline", "_inflight")

    def __init__(self, inflight: InFlight, deadline: asyncio.Timeout) -> None:
        self._inflight = inflight
        self._deadline = deadline

    async def __aenter__(self) -> None:
        if self._inflight.stopped:
            raise TimeoutError
        await self._deadline.__aenter__()
        self._inflight.deadlines.add(self._deadline)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        deadlines = self._inflight.deadlines
        deadlines.discard(self._deadline)
        if not deadlines:
            self._inflight.idle.set()
        await self._deadline.__aexit__(kind, error, traceback)
