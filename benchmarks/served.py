"""What every benchmark needs: servers as processes of their own, and what they cost in CPU and memory.

Process CPU seconds, not wall time: the figures mean the same on a busy machine. Reads
``/proc``, so benchmarks run on Linux.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

API_KEY = "benchmark-key"
SECRET = "benchmark-secret-of-at-least-32-bytes"

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STOP_WITHIN_S = 10.0

SETTINGS = f"""\
engine = "memory"

[http]
host = "127.0.0.1"

[auth]
secret = "{SECRET}"

[[api.keys]]
name = "benchmark"
key = "{API_KEY}"
scopes = ["admin"]

[channels.without_namespace]
history_size = 100
history_ttl = "300s"
allow_recovery = true
force_recovery = true
allow_subscribe_for_client = true
"""
"""What a hub under measurement is told; a benchmark may append to it."""


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that runs, and what it has used so far. Its child processes count too."""

    url: str
    pid: int

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])

    def cpu_s(self) -> float:
        """CPU seconds used since it started, user and system."""
        return sum(_cpu_ticks(pid) for pid in _family(self.pid)) / _TICKS_PER_S

    def rss_bytes(self) -> int:
        """Memory that is resident now."""
        return sum(
            int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES for pid in _family(self.pid)
        )


@contextlib.contextmanager
def server(command: Sequence[str], *, core: int | None = 0) -> Iterator[ServerProcess]:
    """Run ``command`` for the length of the block.

    It must print one line of JSON with its ``urls`` once it listens. ``core`` pins it to
    one core, so that clients on the others do not compete with it.

    Raises:
        RuntimeError: when it ends without saying where it listens.
    """
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        if core is not None:
            pin(process.pid, [core])
        assert process.stdout is not None, "asked for above"
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(command)} ended with {process.wait()} before it listened")
        yield ServerProcess(json.loads(line)["urls"][0], process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def hub_server(more_settings: str = "", *, core: int | None = 0) -> Iterator[ServerProcess]:
    """Run a hub with ``SETTINGS`` and ``more_settings`` (TOML) on a free port for the length of the block."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "hub.toml"
        config.write_text(SETTINGS + more_settings)
        command = ["-m", "hub", "serve", "--json", "--port", "0", "--config", str(config)]
        with server([sys.executable, *command], core=core) as running:
            yield running


def client(module: str, *arguments: str) -> Any:
    """Run ``python -m module arguments`` as a client, off the server's core, and return the JSON it prints.

    Raises:
        subprocess.CalledProcessError: when it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=leave_first_core,
    )
    return json.loads(done.stdout)


def pin(pid: int, cores: Sequence[int]) -> None:
    """Keep a process on these cores, where the machine has more than one."""
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(pid, cores)


def leave_first_core() -> None:
    """Keep this process off the core of the server, where there is another."""
    others = sorted(os.sched_getaffinity(0))[1:]
    if others:
        os.sched_setaffinity(0, others)


def machine() -> str:
    """What this was measured on, in one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{os.cpu_count()} cores, {model or platform.machine()}, Python {platform.python_version()}"


def _family(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += _family(int(child))
    return found


def _cpu_ticks(pid: int) -> int:
    # The name before the parenthesis may hold spaces; utime and stime are the 12th and 13th after it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
