"""The parent of several hub processes on one port: starts them, replaces those that die, ends with them.

It reserves the ports and serves nothing itself; the kernel spreads connections over the children that
listen. Knows processes, signals and one line of JSON, and nothing of what a child does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess

from hub.ops.signals import Wishes
from hub.transport.listening import open_listeners

log = logging.getLogger(__name__)

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Variable that tells the metrics library where the processes add up what they count. Each does so as
the number of its place, so that a successor counts on, and no crash leaves files of its own."""

Command = Callable[[int, int], Sequence[str]]
"""Program and arguments of a child, by its number (from 1) and the descriptor of its lifeline."""


@dataclass(frozen=True, slots=True)
class SupervisorOptions:
    """How many children, and how patiently they are replaced.

    A child that is not ready ``ready_within_s`` after its start is killed: it hangs, and would be waited
    for forever. One that was ready for ``settled_after_s`` counts as one that works. Others are replaced
    with growing delays, and given up, all together, after ``max_quick_deaths`` in a row while no
    child works. ``end_within_s`` bounds the orderly end, after which children are killed.
    """

    processes: int
    restart_min_s: float = 0.2
    restart_max_s: float = 30.0
    ready_within_s: float = 60.0
    settled_after_s: float = 10.0
    max_quick_deaths: int = 5
    end_within_s: float = 40.0


class ChildFailed(Exception):
    """A child could not start, or none stays alive. The text says why; ``exit_code`` is the child's."""

    def __init__(self, message: str, exit_code: int, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.details = dict(details or {})


@contextlib.asynccontextmanager
async def reserved_port(host: str, port: int) -> AsyncIterator[int]:
    """Keep ``port`` of ``host`` for children that share it, without listening; 0 takes a free one.

    Raises:
        OSError: when somebody listens there, or the address cannot be had.
    """
    if port:
        # Sharing is by user, not by family: without this look, a second start would share with the first.
        for listener in await open_listeners(host, port):
            listener.close()
    listeners: list[socket.socket] = await open_listeners(host, port, reuse_port=True)
    try:
        yield int(listeners[0].getsockname()[1])
    finally:
        for listener in listeners:
            listener.close()


@contextlib.contextmanager
def metrics_folder() -> Iterator[Path]:
    """A folder for what the children count, gone with the block."""
    folder = Path(tempfile.mkdtemp(prefix="hub-metrics-", dir=os.environ.get(METRICS_FOLDER) or None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Child:
    """One process, from its start to its end."""

    def __init__(self, number: int, process: Process) -> None:
        self.number = number
        self.process = process
        self.ready_at_s: float | None = None
        self.reload_when_ready = False

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def first_word(self) -> Mapping[str, Any]:
        """The line that it prints when it is ready, or when it cannot be; empty when it died without one."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        try:
            said = json.loads(line or b"{}")
        except ValueError:
            return {}
        return said if isinstance(said, dict) else {}


class Supervisor:
    """Runs the children until a signal ends them. One use."""

    def __init__(
        self,
        command: Command,
        options: SupervisorOptions,
        *,
        on_ready: Callable[[list[str]], None],
        on_reload: Callable[[], bool],
    ) -> None:
        """``on_reload`` is asked at SIGHUP, and says whether the children should be told."""
        self._command = command
        self._options = options
        self.end_within_s = options.end_within_s
        """As in the options; whoever reads settings again may say another one."""
        self._on_ready = on_ready
        self._on_reload = on_reload
        self._children: dict[int, _Child] = {}
        self._ending = asyncio.Event()
        self._announced = False
        self._failed_to_end = False
        self._env: dict[str, str] = {}
        self._metrics_folder = Path()
        self._lifeline_fd = -1

    async def run(self) -> int:
        """Serve until told to end; the exit code.

        Raises:
            ChildFailed: a child could not start, or none stays alive.
        """
        # Its writing end is open in this process alone, and closes with it, however it ends.
        self._lifeline_fd, own_end = os.pipe()
        try:
            with metrics_folder() as self._metrics_folder, Wishes(self._end_at_once) as wishes:
                self._env = {**os.environ, METRICS_FOLDER: str(self._metrics_folder)}
                return await self._supervise(wishes)
        finally:
            os.close(own_end)
            os.close(self._lifeline_fd)

    async def _supervise(self, wishes: Wishes) -> int:
        numbers = range(1, self._options.processes + 1)
        keepers = [asyncio.create_task(self._keep(number), name=f"process {number}") for number in numbers]
        fulfilling = asyncio.create_task(self._fulfil(wishes), name="wishes")
        try:
            done, _ = await asyncio.wait([*keepers, fulfilling], return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        except BaseException:
            await self._end(signal.SIGTERM)
            raise
        finally:
            for task in (*keepers, fulfilling):
                task.cancel()
            await asyncio.gather(*keepers, fulfilling, return_exceptions=True)
            self._kill()
        return 1 if self._failed_to_end else 0

    async def _fulfil(self, wishes: Wishes) -> None:
        while await wishes.next() == "reload":
            if self._on_reload():
                for child in self._children.values():
                    self._reload(child)
        await self._end(wishes.ended_by or signal.SIGTERM)

    def _reload(self, child: _Child) -> None:
        # Until it is ready the signal would kill it, and it may have read the old settings already.
        if child.ready_at_s is None:
            child.reload_when_ready = True
        else:
            child.send(signal.SIGHUP)

    async def _end(self, number: signal.Signals) -> None:
        """Have all children end in order; those that do not are killed."""
        self._ending.set()
        children = list(self._children.values())
        for child in children:
            child.send(number)
        ends = [asyncio.create_task(child.process.wait()) for child in children]
        if ends:
            _, late = await asyncio.wait(ends, timeout=self.end_within_s)
            if late:
                log.error("! %d processes did not end in time and are killed", len(late))
                self._failed_to_end = True
                self._kill()
                await asyncio.wait(late)

    def _kill(self) -> None:
        for child in self._children.values():
            if child.process.returncode is None:
                child.send(signal.SIGKILL)

    def _end_at_once(self) -> None:
        self._kill()
        shutil.rmtree(self._metrics_folder, ignore_errors=True)
        os._exit(1)

    # One place of a child.

    async def _keep(self, number: int) -> None:
        """Keep a child at this place, until all end."""
        quick_deaths = 0
        while not self._ending.is_set():
            child = await self._start(number)
            said = await self._ready_or_dead(child)
            code = await child.process.wait()
            worked = self._works(child)
            del self._children[number]
            # What it held is gone; what it counted stays, and its successor goes on with it.
            multiprocess.mark_process_dead(number, str(self._metrics_folder))  # type: ignore[no-untyped-call]
            if self._ending.is_set():
                self._failed_to_end |= code not in (0, -signal.SIGTERM, -signal.SIGINT)
                return
            quick_deaths = 0 if worked else quick_deaths + 1
            failed = _failure(child, code, said)
            if not self._announced:
                raise failed
            if self._is_hopeless(quick_deaths):
                raise ChildFailed(f"no process stays alive; {failed}", 1, failed.details)
            longer = 2 ** min(max(0, quick_deaths - 1), 16)
            delay_s = min(self._options.restart_min_s * longer, self._options.restart_max_s)
            log.error("! %s; another one takes its place in %g s", failed, delay_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._ending.wait()

    async def _ready_or_dead(self, child: _Child) -> Mapping[str, Any]:
        """What it said when it was ready, or at its end; one that is neither in time is killed."""
        said: Mapping[str, Any] = {}
        try:
            async with asyncio.timeout(self._options.ready_within_s):
                said = await child.first_word()
                if "urls" in said:
                    self._became_ready(child, said["urls"])
                else:
                    await child.process.wait()
        except TimeoutError:
            child.send(signal.SIGKILL)
            if not said:
                said = {"error": {"message": f"was not ready within {self._options.ready_within_s:g} s"}}
        return said

    async def _start(self, number: int) -> _Child:
        process = await asyncio.create_subprocess_exec(
            *self._command(number, self._lifeline_fd),
            stdin=DEVNULL,
            stdout=PIPE,
            env=self._env,
            pass_fds=(self._lifeline_fd,),
            # A group of its own: what is typed at a terminal comes by us, and once.
            process_group=0,
        )
        child = self._children[number] = _Child(number, process)
        if self._ending.is_set():
            child.send(signal.SIGTERM)
        return child

    def _became_ready(self, child: _Child, urls: list[str]) -> None:
        child.ready_at_s = asyncio.get_running_loop().time()
        if child.reload_when_ready:
            child.send(signal.SIGHUP)
        if self._announced:
            log.info("= process %d is ready (pid %d)", child.number, child.process.pid)
            return
        ready = [each for each in self._children.values() if each.ready_at_s is not None]
        if len(ready) == self._options.processes and not self._ending.is_set():
            self._announced = True
            self._on_ready(urls)

    def _works(self, child: _Child) -> bool:
        if child.ready_at_s is None:
            return False
        return asyncio.get_running_loop().time() - child.ready_at_s >= self._options.settled_after_s

    def _is_hopeless(self, quick_deaths: int) -> bool:
        """Children that die of what all have in common: as long as one works, it serves on instead."""
        if quick_deaths < self._options.max_quick_deaths:
            return False
        return not any(self._works(child) for child in self._children.values())


def _failure(child: _Child, code: int, said: Mapping[str, Any]) -> ChildFailed:
    error = said.get("error")
    details: dict[str, Any] = dict(error) if isinstance(error, dict) else {}
    reason = details.pop("message", "")
    if not reason:
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        reason = f"ended with {how}"
    text = f"process {child.number} (pid {child.process.pid}): {reason}"
    return ChildFailed(text, code if code > 0 else 1, details)
