"""Hub processes with the same settings, each on a port it keeps, to be killed, frozen and replaced."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx

from tests.support.hub_process import Running, hub_process
from tests.support.waiting import eventually_true

_LOG_TAIL_BYTES = 3000


class HubSlot:
    """A place where a hub runs: one process after the other on one port."""

    def __init__(self, name: str, folder: Path, env: Mapping[str, str]) -> None:
        self.name = name
        self._folder = folder
        self._env = env
        self._port = 0
        self._starts = 0
        self._running: Running | None = None
        self._stack = contextlib.AsyncExitStack()

    @property
    def running(self) -> Running:
        """The hub that runs here now."""
        assert self._running is not None, f"{self.name} does not run"
        return self._running

    @property
    def is_running(self) -> bool:
        """Whether a hub runs here."""
        return self._running is not None

    @property
    def port(self) -> int:
        """Where it listens, and its successors after it."""
        return self._port

    def log(self) -> str:
        """The end of what the hub that was started last has logged."""
        log = (self._folder / f"{self.name}-{self._starts}" / "hub.log").read_bytes()
        return log[-_LOG_TAIL_BYTES:].decode(errors="replace")

    async def start(self) -> None:
        """Start a hub; returns when it listens."""
        assert self._running is None, f"{self.name} runs already"
        self._starts += 1
        folder = self._folder / f"{self.name}-{self._starts}"
        folder.mkdir()
        env = {**self._env, "HUB_NODE__NAME": f"{self.name}-{self._starts}"}
        process = hub_process(folder, "--port", str(self._port), env=env)
        self._running = await self._stack.enter_async_context(process)
        self._port = int(self._running.url.rpartition(":")[2])

    async def kill(self) -> None:
        """End it without a chance to say goodbye."""
        running, self._running = self.running, None
        assert running.process is not None
        running.process.send_signal(signal.SIGKILL)
        await self._stack.aclose()

    async def stop(self) -> None:
        """End it in order, as a deployment does."""
        running, self._running = self.running, None
        assert await running.terminate() == 0, self.log()
        await self._stack.aclose()

    def freeze(self) -> None:
        """Stop it in its tracks; its sockets stay open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        process = self.running.process
        assert process is not None
        process.send_signal(number)

    async def is_ready(self) -> bool:
        """Whether it says that it can be given work."""
        async with httpx.AsyncClient(trust_env=False, timeout=2.0) as http:
            try:
                return (await http.get(f"{self.running.url}/health/ready")).status_code == 200
            except httpx.HTTPError:
                return False

    async def becomes_ready(self, ready: bool = True, timeout_s: float = 10.0) -> None:
        """Return once it says so.

        Raises:
            TimeoutError: when it does not in time.
        """

        async def as_wanted() -> bool:
            return await self.is_ready() is ready

        await eventually_true(as_wanted, timeout_s)

    async def end(self) -> None:
        """Kill it if it runs."""
        if self._running is not None:
            await self.kill()


class Hubs(tuple[HubSlot, ...]):
    """All of them. :func:`hubs` starts and ends them."""

    async def become_ready(self, ready: bool = True, timeout_s: float = 10.0) -> None:
        """Return once all of them say that they can be given work (or cannot)."""
        await asyncio.gather(*(slot.becomes_ready(ready, timeout_s) for slot in self))


@contextlib.asynccontextmanager
async def hubs(count: int, folder: Path, env: Mapping[str, str]) -> AsyncIterator[Hubs]:
    """``count`` hubs for the length of the block, each with its log in a folder of its own."""
    made = Hubs(HubSlot(f"hub{number}", folder, env) for number in range(count))
    try:
        async with asyncio.TaskGroup() as tasks:
            for slot in made:
                tasks.create_task(slot.start())
        yield made
    finally:
        for slot in made:
            await slot.end()
