"""An event loop in a thread of its own, for programs that have none. Knows nothing of what runs on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_END_WITHIN_S = 5.0


class LoopThread:
    """Begins at once. A daemon: it does not keep a program from ending.

    ``farewell`` runs on the loop as the last thing, when :meth:`end` is called.
    """

    def __init__(self, name: str, farewell: Callable[[], Awaitable[None]]) -> None:
        self._loop = asyncio.new_event_loop()
        self._farewell = farewell
        self._lock = threading.Lock()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run ``work()`` on the loop and wait for what comes of it. From any thread but this one.

        Raises:
            RuntimeError: once it has ended.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("this would wait for itself")
        with self._lock:
            if self._ending:
                raise RuntimeError("this publisher was closed")
            future = asyncio.run_coroutine_threadsafe(work(), self._loop)
        try:
            return future.result()
        except BaseException:
            # An interrupted caller is gone; nobody waits for the rest.
            future.cancel()
            raise

    def end(self) -> None:
        """Say farewell, stop the loop, and wait for the thread, within seconds. Idempotent."""
        with self._lock:
            if self._ending:
                return
            self._ending = True
            self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(_END_WITHIN_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._farewell())
            self._loop.run_until_complete(self._finish_tasks())
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()

    async def _finish_tasks(self) -> None:
        """Whoever still waits for an answer gets one: that it was cancelled."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
