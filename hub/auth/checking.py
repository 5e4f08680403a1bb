"""Signatures of public keys, which take their time: a few in their turn of the loop, many in threads.

One costs the loop from 60 microseconds (RSA) to a millisecond (P-521), and after a storm there are
thousands. So each turn of the loop has a budget; what waits beyond it is checked in bundles by a
few threads, while the loop serves everybody else. Knows no claims and remembers nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from hub.auth.jws import Found, find_signed
from hub.auth.keys import VerificationKey

INLINE_BUDGET_S = 0.000_5
"""How long one turn of the loop may compute signatures itself."""

BUNDLE_COUNT = 16
"""So many are handed to a thread at once: to hand one over costs nearly as much as to check it."""


class _Job(NamedTuple):
    token: str
    keys: Sequence[VerificationKey]
    found: asyncio.Future[Found]


class SignatureChecks:
    """Checks on the loop while there are few, and in ``threads`` threads beyond. 0: always on the loop."""

    def __init__(self, threads: int, inline_budget_s: float = INLINE_BUDGET_S) -> None:
        self._threads = threads
        self._inline_budget_s = inline_budget_s
        self._left_s = inline_budget_s
        self._in_turn = False
        self._waiting: list[_Job] = []
        self._pool: ThreadPoolExecutor | None = None
        self.aside_count = 0
        """Tokens checked in threads since the start."""

    async def find_signed(self, token: str, keys: Sequence[VerificationKey]) -> Found:
        """As the function of that name; other work of the loop may run before this returns.

        Raises:
            InvalidToken: when the token is not in compact form.
        """
        loop = asyncio.get_running_loop()
        if not self._in_turn:
            self._in_turn = True
            loop.call_soon(self._end_turn)
        if self._left_s > 0 or not self._threads:
            began_s = time.perf_counter()
            try:
                return find_signed(token, keys)
            finally:
                self._left_s -= time.perf_counter() - began_s
        found: asyncio.Future[Found] = loop.create_future()
        self._waiting.append(_Job(token, keys, found))
        return await found

    def close(self) -> None:
        """End the threads. Nobody may be waiting any more. Idempotent."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def _end_turn(self) -> None:
        self._in_turn = False
        self._left_s = self._inline_budget_s
        jobs, self._waiting = self._waiting, []
        if not jobs:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="signatures")
        loop = asyncio.get_running_loop()
        self.aside_count += len(jobs)
        # Few are spread over all threads, many go in whole bundles.
        size = min(BUNDLE_COUNT, -(-len(jobs) // self._threads))
        for start in range(0, len(jobs), size):
            self._pool.submit(_check_all, loop, jobs[start : start + size])


def _check_all(loop: asyncio.AbstractEventLoop, jobs: Sequence[_Job]) -> None:
    outcomes: list[Found | Exception] = []
    for job in jobs:
        try:
            outcomes.append(find_signed(job.token, job.keys))
        except Exception as error:
            outcomes.append(error)
    loop.call_soon_threadsafe(_settle, jobs, outcomes)


def _settle(jobs: Sequence[_Job], outcomes: Sequence[Found | Exception]) -> None:
    for job, outcome in zip(jobs, outcomes, strict=True):
        if job.found.done():
            continue  # whoever waited is gone
        if isinstance(outcome, Exception):
            job.found.set_exception(outcome)
        else:
            job.found.set_result(outcome)
