"""How clients are sent away: in waves, no faster than said, and gone in time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from hub.errors import SHUTDOWN, Disconnect
from hub.metrics import NopMetrics
from hub.ops.drain import Connections, Drain, DrainOptions, Leaving
from tests.support.hub_process import API_KEY, Running, hub_process, running_hub, settings_env
from tests.support.inboxes import DEVICE, WITH_INBOX, Inbox, answer_ping, hub_data, numbers
from tests.support.processes import free_port
from tests.support.raw_client import CLOSE, RawClient, upgrade_request
from tests.support.redis_server import RedisServer, redis_server
from tests.support.waiting import eventually_true
from tests.support.wire_client import connected


class Crowd(Connections):
    """Connections that note when they were ended."""

    def __init__(self, count: int) -> None:
        self.here: set[Leaver] = set()
        self.ended_at_s: list[float] = []
        for _ in range(count):
            self.come()

    def come(self) -> None:
        """Somebody connects."""
        self.here.add(Leaver(self))

    def __len__(self) -> int:
        return len(self.here)

    def __iter__(self) -> Iterator[Leaver]:
        return iter(set(self.here))

    def most_within(self, window_s: float) -> int:
        """Most of them that ended within so many seconds."""
        return max(
            sum(start <= at_s < start + window_s for at_s in self.ended_at_s) for start in self.ended_at_s
        )


class Leaver(Leaving):
    """One of a crowd."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd

    def disconnect(self, why: Disconnect) -> None:
        """Leave for good."""
        assert why is SHUTDOWN
        self._crowd.here.remove(self)
        self._crowd.ended_at_s.append(asyncio.get_running_loop().time())


class Gauge(NopMetrics):
    """What was told of the drain."""

    def __init__(self) -> None:
        self.left: list[int] = []

    def draining(self, connections_left: int) -> None:
        """Note it."""
        self.left.append(connections_left)


async def test_connections_leave_in_waves_no_faster_than_said() -> None:
    """In no half second more than half of what a second may see."""
    crowd, gauge = Crowd(60), Gauge()
    await Drain(DrainOptions(connections_per_s=100), crowd, gauge).send_everybody_away()
    assert len(crowd.ended_at_s) == 60
    assert crowd.most_within(0.499) <= 50
    assert crowd.ended_at_s[-1] - crowd.ended_at_s[0] >= 0.49
    assert gauge.left[0] == 60
    assert gauge.left[-1] == 0
    assert gauge.left == sorted(gauge.left, reverse=True)


async def test_without_a_pace_all_leave_at_once() -> None:
    """More of them than one turn of the loop takes."""
    crowd = Crowd(1200)
    async with asyncio.timeout(1):
        await Drain(DrainOptions(connections_per_s=0), crowd, NopMetrics()).send_everybody_away()
    assert not crowd.here


async def test_a_pace_below_one_wave_is_kept() -> None:
    """One by one."""
    crowd = Crowd(3)
    await Drain(DrainOptions(connections_per_s=5), crowd, NopMetrics()).send_everybody_away()
    first, second, third = crowd.ended_at_s
    assert second - first > 0.15
    assert third - second > 0.15


async def test_a_pace_that_would_miss_the_deadline_is_raised_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Cutting the rest at the end would be the very storm that waves are for."""
    crowd = Crowd(200)
    drain = Drain(DrainOptions(connections_per_s=10, deadline_s=1.0), crowd, NopMetrics())
    await drain.send_everybody_away()
    assert not crowd.here
    assert drain.remaining_s > 0
    assert "would not be gone within 1 s" in caplog.text
    assert "shutdown.deadline_s" in caplog.text


async def test_who_comes_meanwhile_leaves_too() -> None:
    """Their upgrade was answered before the sockets were closed."""
    crowd = Crowd(20)
    draining = asyncio.create_task(
        Drain(DrainOptions(connections_per_s=50), crowd, NopMetrics()).send_everybody_away()
    )
    await asyncio.sleep(0)
    crowd.come()
    await draining
    assert not crowd.here
    assert len(crowd.ended_at_s) == 21


async def test_progress_is_told_at_most_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    """However many waves there are."""
    caplog.set_level(logging.INFO)
    await Drain(DrainOptions(connections_per_s=40), Crowd(55), NopMetrics()).send_everybody_away()
    told = [record.getMessage() for record in caplog.records if "left" in record.getMessage()]
    assert len(told) == 1


async def is_ready(running: Running) -> bool:
    """Whether the hub wants to be given work."""
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.get(f"{running.url}/health/ready")).status_code == 200


async def test_balancers_are_given_time_before_anybody_is_turned_away(tmp_path: Path) -> None:
    """Not ready, and yet serving: who is sent here still gets in, and is sent away with 3001 only later."""
    env = settings_env(shutdown__ready_wait_s=1.5)
    async with hub_process(tmp_path, env=env) as running:
        async with connected(running) as old:
            ending = asyncio.create_task(running.terminate())

            async def says_no() -> bool:
                return not await is_ready(running)

            await eventually_true(says_no)
            async with connected(running, "43") as new:
                assert await old.closed() == (3001, "shutdown")
                assert await new.closed() == (3001, "shutdown")
        assert await ending == 0


async def test_the_drain_can_be_watched_on_the_internal_port(tmp_path: Path) -> None:
    """Which stays open to the end, and says how many are left."""
    port = free_port()
    env = settings_env(shutdown__connections_per_s=2, internal__port=port)
    async with hub_process(tmp_path, env=env) as running, httpx.AsyncClient(trust_env=False) as http:
        async with connected(running, "1"), connected(running, "2"), connected(running, "3") as last:
            ending = asyncio.create_task(running.terminate())
            seen: list[str] = []

            async def says_one() -> bool:
                page = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
                seen.extend(line for line in page.splitlines() if line.startswith("hub_drain_"))
                return "hub_drain_connections_left 1.0" in seen

            await eventually_true(says_one, every_s=0.02)
            assert (await http.get(f"http://127.0.0.1:{port}/health/ready")).json()["reasons"] == ["draining"]
            assert await last.closed() == (3001, "shutdown")
        assert await ending == 0


async def test_at_a_keyboard_nobody_waits_for_balancers(tmp_path: Path) -> None:
    """SIGINT goes straight on."""
    async with hub_process(tmp_path, env=settings_env(shutdown__ready_wait_s=60)) as running:
        assert running.process is not None
        async with connected(running) as client:
            running.process.send_signal(signal.SIGINT)
            assert await client.closed() == (3001, "shutdown")
        async with asyncio.timeout(10):
            assert await running.process.wait() == 0


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """In the middle of the drain, with everybody still there."""
    async with hub_process(tmp_path, env=settings_env(shutdown__ready_wait_s=60)) as running:
        assert running.process is not None
        async with connected(running):
            running.process.terminate()

            async def says_no() -> bool:
                return not await is_ready(running)

            await eventually_true(says_no)
            assert await running.terminate() == 1


async def test_an_upgrade_that_comes_during_the_drain_is_sent_on(tmp_path: Path) -> None:
    """On a connection that was there before the sockets were closed: 503, and when to come again."""
    env = settings_env(shutdown__connections_per_s=1)
    async with hub_process(tmp_path, env=env) as running, connected(running), connected(running) as last:
        port = int(running.url.rpartition(":")[2])
        async with await RawClient.connect(("127.0.0.1", port)) as waiting:
            ending = asyncio.create_task(running.terminate())
            async with asyncio.timeout(5):
                await asyncio.to_thread(_wait_until_closed, port)
            waiting.send(upgrade_request())
            response = await waiting.read_response()
            assert response.status == 503
            assert response.headers["retry-after"] == "1"
        assert await last.closed() == (3001, "shutdown")
        assert await ending == 0


async def test_a_phone_that_answers_no_close_cuts_no_backend_off(tmp_path: Path) -> None:
    """It is waited for until the deadline; a call of the server API under way then is still answered."""
    internal = free_port()
    env = settings_env(internal__port=internal, shutdown__deadline_s=1)
    body = b'{"channel": "news", "data": 1}'
    head = f"POST /api/publish HTTP/1.1\r\nhost: localhost\r\nx-api-key: {API_KEY}\r\n"
    async with hub_process(tmp_path, env=env) as running:
        port = int(running.url.rpartition(":")[2])
        async with (
            await RawClient.connect(("127.0.0.1", port)) as phone,
            await RawClient.connect(("127.0.0.1", internal)) as backend,
        ):
            phone.send(upgrade_request())
            assert (await phone.read_response()).status == 101
            backend.send(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body[:10])
            ending = asyncio.create_task(running.terminate())
            with contextlib.suppress(ConnectionError):
                await phone.read_to_end()
            backend.send(body[10:])
            assert (await backend.read_response()).status == 200
        assert await ending == 0


def _wait_until_closed(port: int) -> None:
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A Redis of the test's own."""
    async with redis_server(tmp_path) as server:
        yield server


async def test_devices_are_told_of_before_the_engine_is_let_go(redis: RedisServer) -> None:
    """What a phone proved just before the end is noted, and that it is not connected any more."""
    settings = {**WITH_INBOX, "redis.url": redis.url, "ping.interval_s": 300}
    async with running_hub(settings) as watching:
        inbox = Inbox(watching.hub)
        await inbox.register()
        async with running_hub(settings) as ending, connected(ending, data=hub_data()) as phone:
            offset = await inbox.notify(1)
            assert await numbers(phone, 1) == [1]
            await answer_ping(phone)
            # Its answer says that the pong before it was taken.
            await phone.ask(rpc={"method": "no.such.method"})
            assert ending.hub is not None
            stopping = asyncio.create_task(ending.hub.stop())
            assert await phone.closed() == (3001, "shutdown")
            await stopping
        await inbox.becomes_proven(offset)
        view = await inbox.view(DEVICE)
        assert (view.state, view.owed) == ("offline", 0)


async def test_the_end_does_not_wait_for_an_engine_that_is_away(redis: RedisServer, tmp_path: Path) -> None:
    """Departures that cannot be told are given up with the deadline: leases and debts end by themselves."""
    env = settings_env(redis__url=redis.url, shutdown__deadline_s=2, inbox__enabled=True)
    async with hub_process(tmp_path, env=env) as running, connected(running, data=hub_data()) as client:
        await client.subscribe("news")
        await redis.stop()
        # Two seconds, one for last words, and what a busy machine takes to end a process.
        ending = asyncio.create_task(running.terminate(timeout_s=7))
        while (await client.raw.read_frame())[0] != CLOSE:
            pass
        client.raw.reset()
        assert await ending == 0
