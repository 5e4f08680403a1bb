"""Requests under way, each within its deadline, that can all be ended at once.

A sender that is stopped must answer for what it has begun. Closing connections under a request
raises whatever the library likes; expiring its deadline ends it the way a timeout does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class InFlight:
    """Knows the deadlines of requests under way and nothing else about them."""

    def __init__(self) -> None:
        self._deadlines: set[asyncio.Timeout] = set()
        self._idle: asyncio.Event = asyncio.Event()
        self.stopped = False

    @asynccontextmanager
    async def within(self, timeout_s: float) -> AsyncIterator[None]:
        """Run the body for at most ``timeout_s``, and no longer than until :meth:`end`.

        Raises:
            TimeoutError: time is over, or everything was ended.
        """
        if self.stopped:
            raise TimeoutError
        async with asyncio.timeout(timeout_s) as deadline:
            self._deadlines.add(deadline)
            try:
                yield
            finally:
                self._deadlines.discard(deadline)
                if not self._deadlines:
                    self._idle.set()

    async def end(self) -> None:
        """End what is under way and let nothing begin; returns when all of it has ended."""
        self.stopped = True
        now_s = asyncio.get_running_loop().time()
        while self._deadlines:
            self._idle.clear()
            for deadline in self._deadlines:
                if not deadline.expired():
                    deadline.reschedule(now_s)
            await self._idle.wait()
