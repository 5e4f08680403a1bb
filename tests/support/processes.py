"""Real processes in tests: started, waited for, and stopped for certain, with their log when they fail."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

_LOOK_EVERY_S = 0.01
_LOG_TAIL_BYTES = 4000


class ProcessFailed(RuntimeError):
    """A process ended early or never listened; the text holds the end of its log."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on right now, for programs that cannot choose one themselves."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class RunningProcess:
    """A process in a group of its own, so that its children end with it."""

    def __init__(self, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self._process = process
        self.log_path = log_path

    @property
    def pid(self) -> int:
        return self._process.pid

    def log(self) -> str:
        """The end of what it wrote so far."""
        return self.log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")

    async def wait_for_port(self, port: int, host: str = "127.0.0.1", timeout_s: float = 10.0) -> None:
        """Return once something accepts connections there.

        Raises:
            ProcessFailed: when the process ends first, or the time is over.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + timeout_s
        while not _accepts(host, port):
            if self._process.poll() is not None:
                raise ProcessFailed(
                    f"ended with {self._process.returncode} before it listened:\n{self.log()}"
                )
            if loop.time() > ends_at:
                raise ProcessFailed(f"nothing listens on port {port} after {timeout_s} s:\n{self.log()}")
            await asyncio.sleep(_LOOK_EVERY_S)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process itself, not to its group."""
        self._process.send_signal(number)

    async def wait(self, timeout_s: float = 10.0) -> int:
        """Its exit code, once it has ended.

        Raises:
            TimeoutError: when it does not end in time; it still runs then.
        """
        async with asyncio.timeout(timeout_s):
            while (code := self._process.poll()) is None:  # noqa: ASYNC110 - the kernel tells nobody else
                await asyncio.sleep(_LOOK_EVERY_S)
            return code

    async def stop(self, timeout_s: float = 5.0) -> int:
        """Ask it to end, then kill it and all its children. Returns its exit code. Idempotent."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        with contextlib.suppress(TimeoutError):
            await self.wait(timeout_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return await self.wait(timeout_s)


@contextlib.asynccontextmanager
async def running(
    command: Sequence[str],
    *,
    log_path: Path,
    port: int | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> AsyncIterator[RunningProcess]:
    """Run ``command`` for the length of the block.

    Args:
        command: program with its arguments.
        log_path: file that gets its output and its errors.
        port: when given, the block starts once something accepts connections there.
        env: variables added to those of this process.
        cwd: its working directory.

    Raises:
        ProcessFailed: when it does not come to listen.
    """
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - asyncio's own would tie it to one loop
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
    started = RunningProcess(process, log_path)
    try:
        if port is not None:
            await started.wait_for_port(port)
        yield started
    finally:
        await started.stop()


def _accepts(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0
