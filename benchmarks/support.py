"""What a benchmark needs: child processes that obey one-line orders, their CPU and memory, a table.

The process that measures is the parent and does nothing meanwhile: servers and clients are
children of it, each pinned to a core.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import platform
import resource
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[1]

Order = Mapping[str, Any]
Answer = dict[str, Any]

MAX_FILES = 20_000
"""As many sockets as a process may open; servers hold 10 000, clients below 5 000 each."""

_STOP_TIMEOUT_S = 5.0
_SETTLE_S = 0.2
_IDLE_SHARE = 0.02
"""Of a core: what a server with nothing to do stays below."""


def cores() -> tuple[set[int], set[int]]:
    """The core for servers and those for clients; both the same on a machine with one."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        return set(usable), set(usable)
    return {usable[-1]}, set(usable[:-1])


def cpu_s(pid: int) -> float:
    """CPU seconds of a whole process so far, user and system, to the nanosecond."""
    # The clock id of another process, as clock_getcpuclockid(3) computes it.
    return time.clock_gettime((~pid << 3) | 2)


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def raise_file_limit() -> None:
    """Let this process open as many files as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_FILES if hard == resource.RLIM_INFINITY else min(MAX_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Child:
    """A process of ours that takes orders on its input and answers each with one line."""

    def __init__(self, module: str, *arguments: str, pinned_to: set[int]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        os.sched_setaffinity(self._process.pid, pinned_to)
        self._received = b""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def cpu_s(self) -> float:
        """CPU seconds that it used so far."""
        return cpu_s(self.pid)

    def settled_cpu_s(self) -> float:
        """CPU seconds once it has nothing to do: all that it was sent is done, farewells included."""
        last_s = self.cpu_s
        while True:
            time.sleep(_SETTLE_S)
            now_s = self.cpu_s
            if now_s - last_s < _SETTLE_S * _IDLE_SHARE:
                return now_s
            last_s = now_s

    def tell(self, do: str, **what: Any) -> None:
        """Give an order and do not wait."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **what}).encode() + b"\n")
        self._process.stdin.flush()

    def hear(self, timeout_s: float = 120.0) -> Answer:
        """The answer to the oldest order that is not answered yet.

        Raises:
            RuntimeError: when the child ended or failed.
            TimeoutError: when it does not answer.
        """
        assert self._process.stdout is not None
        ends_at_s = time.monotonic() + timeout_s
        while b"\n" not in self._received:
            left_s = ends_at_s - time.monotonic()
            if left_s <= 0 or not select.select([self._process.stdout], [], [], left_s)[0]:
                raise TimeoutError("a child does not answer")
            chunk = os.read(self._process.stdout.fileno(), 1 << 20)
            if not chunk:
                raise RuntimeError("a child ended early")
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        answer: Answer = json.loads(line)
        if "failed" in answer:
            raise RuntimeError(answer["failed"])
        return answer

    def ask(self, do: str, **what: Any) -> Answer:
        """Give an order and wait for its answer. Raises as :meth:`hear`."""
        self.tell(do, **what)
        return self.hear()

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


async def obey(handlers: Mapping[str, Callable[[Order], Awaitable[Answer] | Answer]]) -> None:
    """In a child: carry out orders, one after the other, until the parent hangs up."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order = json.loads(line)
        try:
            answer = handlers[order["do"]](order)
            if not isinstance(answer, dict):
                answer = await answer
        except Exception as exc:
            answer = {"failed": f"{order['do']}: {exc!r}"}
        reply(answer)


def reply(answer: Answer) -> None:
    """In a child: answer the oldest order."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def machine() -> str:
    """What the figures were taken on, in one line."""
    packages = ("uvloop", "websockets", "orjson", "msgspec", "starlette")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    server, clients = cores()
    return (
        f"{os.cpu_count()} cores (server on {sorted(server)}, clients on {sorted(clients)}), "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, loop uvloop; "
        f"{versions}"
    )


def median(values: Iterable[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """The middle, the least and the most, for a cell of a table."""
    return f"{median(values):{form}} ({min(values):{form}} - {max(values):{form}})"


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def print_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], parameters: object) -> None:
    """The result, its parameters and the machine."""
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    print(f"\n{title}")
    for row in (heads, ["-" * width for width in widths], *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"parameters: {parameters}")
    print(f"machine: {machine()}", flush=True)


def verdict(ratio: float, most: float) -> str:
    """Whether a bar holds."""
    return "holds" if ratio <= most else "MISSED"
