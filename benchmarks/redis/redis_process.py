"""A redis-server of the benchmark's own: on a free port, in a folder that goes with it.

It runs on the cores of the clients, so that the hub has its core to itself.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from benchmarks.support import cores, cpu_s

HUB_USER = "hub"
HUB_PASSWORD = "hub"

_START_TIMEOUT_S = 10.0
_LOOK_EVERY_S = 0.002


class RedisProcess:
    """One server. Port and folder stay the same over restarts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.admin = Redis(port=self.port, socket_timeout=60)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For those who are never locked out."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def hub_url(self) -> str:
        """For the hub, which :meth:`lock_out` concerns."""
        return f"redis://{HUB_USER}:{HUB_PASSWORD}@127.0.0.1:{self.port}"

    @property
    def version(self) -> str:
        """As it says itself."""
        return str(self.admin.info("server")["redis_version"])

    @property
    def cpu_s(self) -> float:
        """CPU seconds that it used since its last start."""
        assert self._process is not None, "it does not run"
        return cpu_s(self._process.pid)

    def start(self) -> None:
        """Run it; returns once it answers."""
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
        command += ["--dir", str(self._folder), "--logfile", str(self._folder / "server.log")]
        # In the configuration, because a user made by an order is gone after a restart.
        command += ["--user", HUB_USER, "on", f">{HUB_PASSWORD}", "~*", "&*", "+@all"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        os.sched_setaffinity(self._process.pid, cores()[1])
        ends_at_s = time.monotonic() + _START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > ends_at_s:
                raise RuntimeError(f"redis-server does not start: see {self._folder}/server.log")
            time.sleep(_LOOK_EVERY_S)

    def _answers(self) -> bool:
        try:
            return bool(self.admin.ping())
        except RedisError:
            return False

    def stop(self, *, keep: bool = False) -> None:
        """End it; with ``keep`` all it holds is there again after :meth:`start`."""
        if self._process is None:
            return
        with contextlib.suppress(RedisError):
            self.admin.shutdown(save=keep, nosave=not keep)
        self._process.wait()
        self._process = None
        if not keep:
            (self._folder / "dump.rdb").unlink(missing_ok=True)

    def lock_out(self) -> None:
        """Cut the hub off: its connections are closed, and new ones refused."""
        self.admin.acl_setuser(HUB_USER, enabled=False)
        self.admin.client_kill_filter(user=HUB_USER)

    def let_in(self) -> None:
        """Let the hub connect again."""
        self.admin.acl_setuser(HUB_USER, enabled=True)


@contextlib.contextmanager
def redis_process() -> Iterator[RedisProcess]:
    """A server for the length of the block."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisProcess(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()
            server.admin.close()
