"""Control of the embedded engine: this node is all nodes."""

from __future__ import annotations

from hub.engine.control import Answer, ControlHandler, Request
from hub.errors import EngineUnavailable


class MemoryControl:
    """Hands every request to the one node there is."""

    def __init__(self) -> None:
        self._handler: ControlHandler | None = None

    async def start(self, handler: ControlHandler) -> None:
        self._handler = handler

    async def stop(self) -> None:
        self._handler = None

    async def ask_all(self, request: Request, *, timeout_s: float) -> list[Answer]:
        if self._handler is None:
            raise EngineUnavailable("the node is not running")
        return [await self._handler.on_control(request)]


class MemoryHealth:
    """An engine inside this process answers as long as the process does."""

    @property
    def answers(self) -> bool:
        return True

    @property
    def age_s(self) -> float:
        return 0.0

    async def probe(self) -> None:
        return


class MemoryLifecycle:
    """Nothing is shared that would have to be opened."""

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        return
