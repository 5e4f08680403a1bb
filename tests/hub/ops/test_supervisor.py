"""Several processes on one port: each a node, replaced when it dies, and ended together."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub.ops.exposition import Exposition
from hub.ops.supervisor import METRICS_FOLDER, ChildFailed, Supervisor, SupervisorOptions, reserved_port
from tests.support.command_line import run_hub
from tests.support.hub_process import API_KEY, Running, hub_process, settings_env
from tests.support.processes import free_port
from tests.support.prometheus import parse, scrape
from tests.support.redis_server import RedisServer, redis_server
from tests.support.waiting import eventually, eventually_true
from tests.support.wire_client import connected


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A Redis of the test's own."""
    (tmp_path / "redis").mkdir()
    async with redis_server(tmp_path / "redis") as server:
        yield server


@contextlib.asynccontextmanager
async def pair(redis: RedisServer, folder: Path, *arguments: str, **settings: Any) -> AsyncIterator[Running]:
    """Two processes under one parent; whatever the test left of them is killed at the end."""
    env = settings_env(redis__url=redis.url, redis__lease_s=2, redis__lease_renew_s=0.5, **settings)
    children: list[int] = []
    async with hub_process(folder, "--processes", "2", *arguments, env=env) as running:
        try:
            yield running
        finally:
            children += children_of(running.pid)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    """The processes that it started and that live."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def lives(pid: int) -> bool:
    """Whether there is such a process, and it is not only waiting to be buried."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def metrics_folder_of(pid: int) -> Path:
    """Where a process counts."""
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    (found,) = [each for each in variables if each.startswith(METRICS_FOLDER.encode() + b"=")]
    return Path(found.partition(b"=")[2].decode())


async def call(running: Running, method: str, **request: Any) -> Any:
    """One call of the server API, on a connection of its own."""
    async with httpx.AsyncClient(trust_env=False, headers={"X-API-Key": API_KEY}) as http:
        answer = await http.post(f"{running.api_url}/{method}", json=request)
        return answer.json()["result"]


async def nodes(running: Running) -> list[dict[str, Any]]:
    """The nodes as any of them sees them."""
    found: list[dict[str, Any]] = (await call(running, "info"))["nodes"]
    return found


async def test_each_process_is_a_node_and_all_hear_of_a_publication(
    redis: RedisServer, tmp_path: Path
) -> None:
    """Whichever of them the kernel gives a client to."""
    async with pair(redis, tmp_path, node__name="inner") as running, contextlib.AsyncExitStack() as stack:
        assert len(children_of(running.pid)) == 2
        assert sorted(node["name"] for node in await nodes(running)) == ["inner-1", "inner-2"]
        clients = [await stack.enter_async_context(connected(running, f"u{n}")) for n in range(12)]
        for client in clients:
            await client.subscribe("news")
        spread = [node["num_clients"] for node in await nodes(running)]
        assert sum(spread) == 12
        await call(running, "publish", channel="news", data={"n": 1})
        for client in clients:
            while (push := await client.push()).get("pub") is None:
                pass
            assert push["pub"]["data"] == {"n": 1}


async def test_one_that_crashed_is_replaced_and_the_other_serves_on(
    redis: RedisServer, tmp_path: Path
) -> None:
    """The clients of the other one notice nothing; what it held is shown no longer, what it counted is."""
    async with pair(redis, tmp_path) as running, contextlib.AsyncExitStack() as clients:
        first, second = children_of(running.pid)
        folder = metrics_folder_of(first)
        for number in range(12):
            await clients.enter_async_context(connected(running, f"u{number}"))

        async def all_count() -> bool:
            return (await scrape(running.url)).sum("hub_connections") == 12

        await eventually_true(all_count)
        held = {node["name"].rpartition("_")[2]: node["num_clients"] for node in await nodes(running)}
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: len(set(children_of(running.pid)) - {first}) == 2)
        replaced = set(children_of(running.pid)) - {first, second}
        assert second in children_of(running.pid)
        assert replaced

        async def two_nodes() -> bool:
            return len(await nodes(running)) == 2

        await eventually_true(two_nodes, 10)

        async def tells_of_the_living() -> bool:
            return (await scrape(running.url)).sum("hub_connections") == held[str(second)]

        await eventually_true(tells_of_the_living)
        assert (await scrape(running.url)).sum("hub_connections_opened_total") == 12
        assert {path.stem.rpartition("_")[2] for path in folder.iterdir()} == {"1", "2"}
        log = (tmp_path / "hub.log").read_text()
        assert f"(pid {first}): ended with signal SIGKILL; another one takes its place" in log
        assert await running.terminate() == 0
        assert not folder.exists()


_CHILD = """
import asyncio, json, os, sys, time
from hub.ops.exposition import Exposition, count_as

def note(name, text):
    with open(name, "a+") as file:
        file.write(text + "\\n")
        file.seek(0)
        return len(file.readlines())

async def main():
    count_as(int(sys.argv[1]))
    exposition = Exposition()
    exposition.counter("t_starts", "Starts.").inc()
    exposition.gauge("t_alive", "Alive.").set(1)
    exposition.histogram("t_seconds", "Seconds.", [1]).observe(0.5)
    note("ready", f"{os.getpid()} {os.environ['PROMETHEUS_MULTIPROC_DIR']}")
    print(json.dumps({"urls": ["http://here"]}), flush=True)
    await asyncio.sleep(60)

if note("starts", str(os.getpid())) in json.loads(sys.argv[2]):
    time.sleep(60)
asyncio.run(main())
"""


class SmallChildren:
    """One place, kept by a supervisor in this process. Children note that they started and got ready."""

    def __init__(self, folder: Path, hanging: list[int], **options: Any) -> None:
        """Of the starts, those numbered in ``hanging`` never get ready."""
        self._folder = folder
        self._program = f"import os\nos.chdir({str(folder)!r})\n{_CHILD}"
        self._hanging = json.dumps(hanging)
        quickly = SupervisorOptions(1, restart_min_s=0.01, restart_max_s=0.05, end_within_s=5, **options)
        supervisor = Supervisor(self._command, quickly, on_ready=lambda urls: None, on_reload=lambda: False)
        self.running = asyncio.create_task(supervisor.run())

    def _command(self, number: int, lifeline_fd: int) -> list[str]:
        return [sys.executable, "-c", self._program, str(number), self._hanging]

    def _lines(self, name: str) -> list[str]:
        path = self._folder / name
        return path.read_text().splitlines() if path.exists() else []

    @property
    def started(self) -> list[int]:
        """Process ids, in their order."""
        return [int(line) for line in self._lines("starts")]

    async def ready(self, count: int) -> int:
        """The process that got ready as the ``count``-th."""
        await eventually(lambda: len(self._lines("ready")) >= count, 10)
        return int(self._lines("ready")[count - 1].split()[0])

    @property
    def metrics_folder(self) -> Path:
        """Where they count."""
        return Path(self._lines("ready")[0].split()[1])

    @property
    def metrics_files(self) -> dict[str, int]:
        """What is in there, with its size in bytes."""
        return {path.name: path.stat().st_size for path in self.metrics_folder.iterdir()}

    async def __aenter__(self) -> SmallChildren:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


async def test_one_that_never_gets_ready_is_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It would be waited for forever, and its place would stay empty."""
    async with SmallChildren(tmp_path, [2, 3], ready_within_s=2, settled_after_s=0) as children:
        os.kill(await children.ready(1), signal.SIGKILL)
        second_ready = await children.ready(2)
        assert children.started[3:] == [second_ready]
        assert caplog.text.count("was not ready within 2 s; another one takes its place") == 2
        assert not any(lives(pid) for pid in children.started[:3])
        assert lives(second_ready) and not children.running.done()


async def test_one_that_hangs_at_the_first_start_is_told_of(tmp_path: Path) -> None:
    """As whatever else keeps one from starting in the first place."""
    async with SmallChildren(tmp_path, [1], ready_within_s=1) as children:
        with pytest.raises(ChildFailed, match="was not ready within 1 s"):
            await children.running
        assert not any(lives(pid) for pid in children.started)


async def test_crashes_leave_no_files_and_no_count_goes_back(tmp_path: Path) -> None:
    """Whoever takes the place of another counts on in its files; what is held now is that of the living."""
    async with SmallChildren(tmp_path, [], settled_after_s=0) as children:
        child = await children.ready(1)
        files = children.metrics_files
        assert len(files) == 3
        for crash in range(1, 9):
            os.kill(child, signal.SIGKILL)
            child = await children.ready(crash + 1)
            page = parse(Exposition(str(children.metrics_folder)).page())
            assert page.sum("t_starts_total") == page.sum("t_seconds_count") == crash + 1
            assert page.sum("t_alive") == 1
        assert children.metrics_files == files


async def test_sigterm_ends_all_of_them_in_order(redis: RedisServer, tmp_path: Path) -> None:
    """Everybody is sent away with 3001, the exit code is 0, and the port is free."""
    async with pair(redis, tmp_path) as running, contextlib.AsyncExitStack() as stack:
        children = children_of(running.pid)
        clients = [await stack.enter_async_context(connected(running, f"u{n}")) for n in range(6)]
        ending = asyncio.create_task(running.terminate())
        for client in clients:
            assert await client.closed() == (3001, "shutdown")
        for client in clients:
            client.raw.reset()
        assert await ending == 0
        assert not any(lives(child) for child in children)
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", int(running.url.rpartition(":")[2])))


async def test_a_second_signal_ends_all_at_once(redis: RedisServer, tmp_path: Path) -> None:
    """However long they meant to take."""
    async with pair(redis, tmp_path, shutdown__ready_wait_s=60) as running:
        assert running.process is not None
        children = children_of(running.pid)
        running.process.terminate()
        log = tmp_path / "hub.log"
        await eventually(lambda: log.read_text().count("waiting 60 s for load balancers") == 2)
        assert await running.terminate() == 1
        await eventually(lambda: not any(lives(child) for child in children))


async def test_a_signal_to_the_whole_group_is_one_signal(redis: RedisServer, tmp_path: Path) -> None:
    """As some supervisors send it: to the parent, which forwards it, and to each child besides."""
    async with pair(redis, tmp_path) as running:
        assert running.process is not None
        async with connected(running) as client:
            for child in children_of(running.pid):
                os.kill(child, signal.SIGTERM)
            ending = asyncio.create_task(running.terminate())
            assert await client.closed() == (3001, "shutdown")
            client.raw.reset()
            assert await ending == 0


async def test_the_processes_end_with_their_parent(redis: RedisServer, tmp_path: Path) -> None:
    """Even when it was given no time to tell them."""
    async with pair(redis, tmp_path) as running:
        children = children_of(running.pid)
        os.kill(running.pid, signal.SIGKILL)
        await eventually(lambda: not any(lives(child) for child in children), 10)
        assert "the process that started this one is gone" in (tmp_path / "hub.log").read_text()


async def test_processes_that_cannot_live_are_given_up_with_the_reason(
    redis: RedisServer, tmp_path: Path
) -> None:
    """Once none is left that works; the mistake is that of the child."""
    config = tmp_path / "hub.toml"
    config.write_text("[limits]\nmax_channels = 5\n")
    async with pair(redis, tmp_path, "--config", str(config)) as running:
        assert running.process is not None
        config.write_text("[limits]\nmax_channels = 0\n")
        for child in children_of(running.pid):
            os.kill(child, signal.SIGKILL)
        async with asyncio.timeout(30):
            assert await running.process.wait() == 1
            assert running.process.stdout is not None
            said = (await running.process.stdout.read()).decode()
        assert "no process stays alive" in said
        assert "max_channels" in said


async def test_sighup_reaches_every_process(redis: RedisServer, tmp_path: Path) -> None:
    """Whichever answers then, the new key is good; what is wrong is told once, and changes nothing."""
    config = tmp_path / "hub.toml"
    config.write_text("")
    log = tmp_path / "hub.log"
    async with pair(redis, tmp_path, "--config", str(config)) as running:
        config.write_text("[limits]\nmax_channels = 0\n")
        os.kill(running.pid, signal.SIGHUP)
        await eventually(lambda: "limits.max_channels" in log.read_text())
        assert log.read_text().count("nothing was changed") == 1
        config.write_text("[limits]\nmax_channels = 1\n[ping]\ninterval_s = 60\n")
        os.kill(running.pid, signal.SIGHUP)
        await eventually(lambda: log.read_text().count("in force from now on: limits.max_channels") == 2)
        assert "need a restart: ping.interval_s" in log.read_text()
        for _ in range(8):
            async with connected(running) as client:
                await client.subscribe("one")
                refused = await client.ask_past_pushes(subscribe={"channel": "two"})
                assert refused["error"]["code"] == 106


async def test_a_port_that_somebody_listens_on_is_not_shared(tmp_path: Path) -> None:
    """Another start with the same settings would take half of the clients, unseen."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError, match="cannot listen"):
            async with reserved_port("127.0.0.1", other.getsockname()[1]):
                pass


def test_what_keeps_a_process_from_starting_is_told_by_the_parent(tmp_path: Path) -> None:
    """In the words of a single hub, and with its exit code."""
    env = {"HUB_AUTH__SECRET": "a-secret-that-is-long-enough-for-any-hmac"}
    env |= {"HUB_REDIS__URL": f"redis://127.0.0.1:{free_port()}", "PORT": "0"}
    done = run_hub("serve", "--processes", "2", cwd=tmp_path, env=env)
    assert done.code == 1
    assert "cannot start without Redis" in done.err
