"""``hub worker`` as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class WorkerProcess:
    """A worker that works. ``told`` is what it said when it began."""

    process: asyncio.subprocess.Process
    told: dict[str, Any]
    log: Path

    async def ends_after(self, sign: signal.Signals, timeout_s: float = 15.0) -> int:
        """Send it a signal and wait for its end; the exit code.

        Raises:
            TimeoutError: when it does not end in time.
        """
        self.process.send_signal(sign)
        async with asyncio.timeout(timeout_s):
            return await self.process.wait()


@asynccontextmanager
async def worker_process(folder: Path, name: str, *arguments: str) -> AsyncIterator[WorkerProcess]:
    """One that told that it is ready; killed when the block ends, if it still runs."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HUB_", "PORT", "REDIS"))}
    path = folder / f"{name}.log"
    with path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hub", "worker", "--json", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=clean,
            cwd=Path(__file__).parents[2],
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(20):
                line = await process.stdout.readline()
            assert line, path.read_text()
            yield WorkerProcess(process, json.loads(line), path)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
