"""What signals ask of a process: to read its settings again, to end in order, or to end at once.

Knows no hub; whoever waits for the wishes fulfils them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

log = logging.getLogger(__name__)

Wish = Literal["reload", "end"]


class Wishes:
    """Takes SIGINT, SIGTERM and SIGHUP while it is entered.

    Args:
        hurry: called at the second signal to end, after which there should be no third; None ignores it.
    """

    def __init__(self, hurry: Callable[[], None] | None) -> None:
        self._hurry = hurry
        self._loop = asyncio.get_running_loop()
        self._told = asyncio.Event()
        self._lifeline_fd: int | None = None
        self.ended_by: signal.Signals | None = None
        """The signal that asked for the end; None before it, and where the lifeline broke."""
        self._ending = False

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._end, number)
        self._loop.add_signal_handler(signal.SIGHUP, self._wish_reload)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._loop.remove_signal_handler(number)
        self._cut_lifeline()

    def end_with(self, lifeline_fd: int) -> None:
        """Wish for the end once the other side of this pipe is gone, however it went. Takes the pipe over."""
        self._lifeline_fd = lifeline_fd
        self._loop.add_reader(lifeline_fd, self._lifeline_ended)

    async def next(self) -> Wish:
        """What is wished for next; after ``"end"`` nothing else is. Reloads not taken up are one."""
        await self._told.wait()
        if self._ending:
            return "end"
        self._told.clear()
        return "reload"

    def _wish_reload(self) -> None:
        if self._ending:
            log.info("! SIGHUP: too late, this process ends")
            return
        self._told.set()

    def _end(self, number: signal.Signals) -> None:
        if self._ending:
            if self._hurry is not None:
                log.warning("! %s again: ending at once", number.name)
                self._hurry()
            return
        log.info("x %s: ending%s", number.name, "; once more ends at once" if self._hurry else "")
        self.ended_by = number
        self._ending = True
        self._told.set()

    def _lifeline_ended(self) -> None:
        self._cut_lifeline()
        if not self._ending:
            log.warning("x the process that started this one is gone: ending")
            self._ending = True
            self._told.set()

    def _cut_lifeline(self) -> None:
        fd, self._lifeline_fd = self._lifeline_fd, None
        if fd is not None:
            self._loop.remove_reader(fd)
            with contextlib.suppress(OSError):
                os.close(fd)
