"""Control of the embedded engine: this node is all nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from hub.engine.control import Answer, ControlHandler, Request
from hub.errors import EngineUnavailable


class MemoryControl:
    """Hands every request to the one node there is."""

    def __init__(self) -> None:
        self._handler: ControlHandler | None = None
        self._under_way: set[asyncio.Task[Answer]] = set()

    async def start(self, handler: ControlHandler) -> None:
        self._handler = handler

    async def stop(self) -> None:
        self._handler = None
        for work in self._under_way:
            work.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def ask_all(self, request: Request, *, timeout_s: float) -> list[Answer]:
        if self._handler is None:
            raise EngineUnavailable("the node is not running")
        # A task of its own, since neither an asker that gives up nor one that is out of time
        # may leave the work half done: on another node it would not either.
        work = asyncio.create_task(self._answer(self._handler, request), name="control request")
        self._under_way.add(work)
        work.add_done_callback(self._under_way.discard)
        done, _ = await asyncio.wait((work,), timeout=timeout_s)
        return [work.result()] if done else []

    @staticmethod
    async def _answer(handler: ControlHandler, request: Request) -> Answer:
        return await handler.on_control(request)


class MemoryHealth:
    """An engine inside this process answers as long as the process does."""

    @property
    def answers(self) -> bool:
        return True

    @property
    def age_s(self) -> float:
        return 0.0

    def on_latency(self, callback: Callable[[float], None]) -> None:
        """There is no way to be slow on."""

    async def probe(self) -> None:
        return


class MemoryLifecycle:
    """Nothing is shared that would have to be opened."""

    async def start(self) -> None:
        return

    async def replace_policy(self, namespaces: Mapping[str, Mapping[str, Any]]) -> None:
        """There is nobody to agree with."""

    def on_return(self, callback: Callable[[], None]) -> None:
        """It never happens: this node is the world."""

    async def stop(self) -> None:
        return
