"""The machine: open files, memory and queues for so many connections."""

from __future__ import annotations

import importlib.util
import resource
from collections.abc import Iterator
from pathlib import Path

from hub.doctor.finding import Area, Finding

AREA = Area("machine")

USUAL_CONNECTIONS = 10_000
RESERVE_FILES = 200
"""What a hub opens besides its connections: listeners, Redis, providers, logs."""

BYTES_PER_CONNECTION = 16 * 1024
"""An idle one takes about 6.5 KiB in the process; the rest is for sockets in the kernel and for outboxes."""

SMALL_BACKLOG = 1024


def check_machine(expected_connections: int | None) -> Iterator[Finding]:
    """``expected_connections`` None: judged by a usual number, and more gently."""
    expected = USUAL_CONNECTIONS if expected_connections is None else expected_connections
    yield _open_files(expected, asked=expected_connections is not None)
    yield from _memory(expected)
    yield from _backlog()
    if importlib.util.find_spec("uvloop") is None:
        yield AREA.note(
            "uvloop is not installed: Python's own loop serves about half as much", "Install uvloop."
        )


def _open_files(expected: int, *, asked: bool) -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = expected + RESERVE_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return AREA.ok(f"{_count(soft)} open files, enough for {expected} connections")
    what = f"{soft} open files are enough for {max(0, soft - RESERVE_FILES)} connections, not for {expected}"
    how = (
        f"`ulimit -n {needed}`" if hard == resource.RLIM_INFINITY or hard >= needed else "the hard limit too"
    )
    advice = f"Raise it: {how}, LimitNOFILE={needed} of systemd, --ulimit nofile={needed} of a container."
    return AREA.error(what, advice) if asked else AREA.warning(what, advice)


def _count(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)


def _memory(expected: int) -> Iterator[Finding]:
    left = _available_bytes()
    needed = expected * BYTES_PER_CONNECTION
    if left is not None and left < needed:
        yield AREA.warning(
            f"{left // 2**20} MiB of memory are left; {expected} connections take about {needed // 2**20}",
            "Give it more memory, or spread the connections over more hubs.",
        )


def _available_bytes() -> int | None:
    """What this process can still get: the machine's or its control group's, whichever is less."""
    found: list[int] = []
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            found.append(int(line.split()[1]) * 1024)
    most, used = _text("/sys/fs/cgroup/memory.max"), _text("/sys/fs/cgroup/memory.current")
    if most.isdecimal() and used.isdecimal():
        found.append(int(most) - int(used))
    return min(found, default=None)


def _backlog() -> Iterator[Finding]:
    text = _text("/proc/sys/net/core/somaxconn")
    if text.isdecimal() and int(text) < SMALL_BACKLOG:
        yield AREA.note(
            f"net.core.somaxconn is {text}: more connections that come at once wait or are dropped",
            f"sysctl -w net.core.somaxconn={SMALL_BACKLOG * 4}",
        )


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
