"""Waiting for a condition that nothing announces, with a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

_LOOK_EVERY_S = 0.005


async def eventually(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Return once ``condition()`` is true.

    Raises:
        TimeoutError: when it does not become so in time.
    """
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - nothing announces it, that is the point
            await asyncio.sleep(_LOOK_EVERY_S)


async def eventually_true(
    condition: Callable[[], Awaitable[bool]], timeout_s: float = 5.0, every_s: float = 0.05
) -> None:
    """Return once ``await condition()`` is true, asking ``every_s``.

    Raises:
        TimeoutError: when it does not become so in time.
    """
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - nothing announces it, that is the point
            await asyncio.sleep(every_s)
