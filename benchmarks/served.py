"""Servers that say where they listen, ``hub serve`` among them, for benchmarks that come over the network."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.support import cores, cpu_s

API_KEY = "benchmark-key"
SECRET = "benchmark-secret-of-at-least-32-bytes"

_STOP_WITHIN_S = 10.0

SETTINGS = f"""\
engine = "memory"

[http]
host = "127.0.0.1"

[log]
level = "warning"

[auth]
secret = "{SECRET}"

[[api.keys]]
name = "benchmark"
key = "{API_KEY}"
scopes = ["admin"]

[limits]
connects_per_s = 0
commands_per_s = 0
user_commands_per_s = 0
connections_per_user = 0

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
    """A server that runs."""

    url: str
    pid: int

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])

    @property
    def cpu_s(self) -> float:
        """CPU seconds that it used so far."""
        return cpu_s(self.pid)


@contextlib.contextmanager
def server(command: Sequence[str]) -> Iterator[ServerProcess]:
    """Run ``command`` for the length of the block.

    It must print one line of JSON with its ``urls`` once it listens, and has a core of its own.

    Raises:
        RuntimeError: when it ends without saying where it listens.
    """
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None, "asked for above"
    try:
        os.sched_setaffinity(process.pid, cores()[0])
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
        process.stdout.close()


@contextlib.contextmanager
def hub_server(more_settings: str = "", *, redis_url: str = "") -> Iterator[ServerProcess]:
    """Run ``hub serve`` with ``SETTINGS`` and ``more_settings`` (TOML) for the length of the block.

    On Redis where there is a ``redis_url``, else on the embedded engine.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "hub.toml"
        config.write_text((_on_redis(redis_url) if redis_url else SETTINGS) + more_settings)
        command = ["-m", "hub", "serve", "--json", "--port", "0", "--config", str(config)]
        with server([sys.executable, *command]) as running:
            yield running


def _on_redis(url: str) -> str:
    chosen = SETTINGS.replace('engine = "memory"', 'engine = "redis"')
    return f'{chosen}\n[redis]\nurl = "{url}"\n'


def client(module: str, *arguments: str) -> Any:
    """Run ``python -m module arguments`` as a client, off the server's core, and return the JSON it prints.

    Raises:
        subprocess.CalledProcessError: when it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores()[1]),
    )
    return json.loads(done.stdout)
