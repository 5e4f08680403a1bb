"""Commands on one real server: gathered, never doubled, and honest about what is unknown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.engine.redis.commands import CommandRefused, Commands
from hub.engine.redis.keys import Keys
from hub.errors import EngineUnavailable
from tests.hub.engine.redis.links import INCREMENT, quick, running_commands, script
from tests.support.processes import free_port
from tests.support.redis_server import RedisServer, redis_server, until
from tests.support.tcp_proxy import Side, TcpProxy, tcp_proxy
from tests.support.waiting import eventually

KEY = "hub:{p1}:n"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with redis_server(tmp_path / "server", keeps_data=True) as running:
        yield running


@contextlib.asynccontextmanager
async def through_a_proxy(server: RedisServer, **changes: float) -> AsyncIterator[tuple[Commands, TcpProxy]]:
    """Commands whose way to the server can be broken."""
    async with tcp_proxy(server.address) as proxy:
        host, port = proxy.address
        async with running_commands(quick(f"redis://{host}:{port}", **changes)) as commands:
            yield commands, proxy


async def increment(commands: Commands, *, repeatable: bool = False) -> int:
    return int(await commands.run("p1", INCREMENT, [KEY], [], repeatable=repeatable))


async def test_replies_are_those_of_redis(server: RedisServer) -> None:
    """bytes, int, list and None, for commands and scripts."""
    async with running_commands(quick(server.url)) as commands:
        assert await commands.call("ctl", "SET", "hub:{ctl}:a", "ü") == b"OK"
        assert await commands.call("ctl", "GET", "hub:{ctl}:a") == "ü".encode()
        assert await commands.call("ctl", "GET", "hub:{ctl}:b") is None
        echo = script("return {KEYS[1], ARGV[1], ARGV[2], 7}")
        assert await commands.run("p1", echo, [KEY], [b"\x00\xff", 12]) == [
            KEY.encode(),
            b"\x00\xff",
            b"12",
            7,
        ]


async def test_one_turn_is_one_write(server: RedisServer) -> None:
    """Redis reads a hundred scripts in one go, and runs them in the order of the calls."""
    async with running_commands(quick(server.url)) as commands:
        await increment(commands)
        before = int((await server.info("stats"))["total_reads_processed"])
        answers = await asyncio.gather(*(increment(commands) for _ in range(100)))
        after = int((await server.info("stats"))["total_reads_processed"])
        assert answers == list(range(2, 102))
        assert after - before <= 6  # one, and those of the two looks at it


async def test_scripts_are_loaded_again_after_a_flush(server: RedisServer) -> None:
    """Once, not once per call."""
    async with running_commands(quick(server.url)) as commands:
        await increment(commands)
        await server.order("SCRIPT", "FLUSH")
        await server.order("CONFIG", "RESETSTAT")
        answers = await asyncio.gather(*(increment(commands) for _ in range(20)))
        assert sorted(answers) == list(range(2, 22))
        assert await server.calls_of("script|load") == 1


async def test_an_error_of_the_command_itself_is_told(server: RedisServer) -> None:
    """It fails alone, and quotes no arguments."""
    async with running_commands(quick(server.url)) as commands:
        await commands.call("p1", "SET", KEY, "text")
        wrong, right, unknown = await asyncio.gather(
            commands.call("p1", "LPUSH", KEY, 1),
            commands.call("p1", "GET", KEY),
            commands.call("p1", "NONSENSE", "private"),
            return_exceptions=True,
        )
        assert isinstance(wrong, CommandRefused)
        assert wrong.code == "WRONGTYPE"
        assert right == b"text"
        assert isinstance(unknown, CommandRefused)
        assert "private" not in str(unknown)


async def test_a_write_whose_reply_is_lost_is_not_sent_again(server: RedisServer) -> None:
    """It ran once, and the caller is told that nobody knows."""
    async with through_a_proxy(server) as (commands, proxy):
        await increment(commands)
        proxy.stall(frozenset({Side.CLIENT}))
        asking = asyncio.create_task(increment(commands))
        await until(lambda: _is(server, "2"))
        proxy.cut()
        with pytest.raises(EngineUnavailable, match="unknown"):
            await asking
        proxy.restore()
        assert await increment(commands) == 3


async def test_a_read_whose_reply_is_lost_is_sent_again(server: RedisServer) -> None:
    """The caller said that twice does no harm."""
    async with through_a_proxy(server) as (commands, proxy):
        await increment(commands)
        proxy.stall(frozenset({Side.CLIENT}))
        asking = asyncio.create_task(increment(commands, repeatable=True))
        await until(lambda: _is(server, "2"))
        proxy.cut()
        proxy.restore()
        assert await asking == 3


async def _is(server: RedisServer, text: str) -> bool:
    return bool(await server.order("GET", KEY) == text)


async def test_nothing_runs_twice_and_nothing_is_claimed_that_did_not_run(server: RedisServer) -> None:
    """Many callers, a connection cut again and again: every answer is its own, the rest is unknown."""
    chance = random.Random(7)
    answers: list[int] = []
    unknown = 0
    async with through_a_proxy(server) as (commands, proxy):

        async def call_often() -> None:
            nonlocal unknown
            for _ in range(20):
                try:
                    answers.append(await increment(commands))
                except EngineUnavailable:
                    unknown += 1
                await asyncio.sleep(0.001)

        callers = [asyncio.create_task(call_often()) for _ in range(10)]
        while not all(task.done() for task in callers):
            await asyncio.sleep(chance.uniform(0.0, 0.03))
            proxy.cut()
            proxy.restore()
        await asyncio.gather(*callers)
    assert len(set(answers)) == len(answers)
    assert len(answers) <= int(await server.order("GET", KEY)) <= len(answers) + unknown
    assert unknown > 0


async def test_a_late_reply_ends_its_connection(server: RedisServer) -> None:
    """In time, for all who wait; the next one works again on a new connection."""
    async with through_a_proxy(server, command_timeout_s=0.3) as (commands, proxy):
        await increment(commands)
        proxy.stall(frozenset({Side.CLIENT}))
        began_s = time.monotonic()
        answers = await asyncio.gather(*(increment(commands) for _ in range(5)), return_exceptions=True)
        assert all(isinstance(answer, EngineUnavailable) for answer in answers)
        assert 0.25 < time.monotonic() - began_s < 1.0
        proxy.restore()
        await until(lambda: _works(commands))


async def _works(commands: Commands) -> bool:
    with contextlib.suppress(EngineUnavailable):
        return await increment(commands) > 0
    return False


async def test_what_is_asked_during_a_short_break_waits_for_its_end(server: RedisServer) -> None:
    """Nothing was sent, so nothing is unknown."""
    async with through_a_proxy(server) as (commands, proxy):
        await increment(commands)
        proxy.cut()
        await eventually(lambda: proxy.connection_count == 0)
        await asyncio.sleep(0)
        asking = [asyncio.create_task(increment(commands)) for _ in range(3)]
        await asyncio.sleep(0.1)
        proxy.restore()
        assert sorted(await asyncio.gather(*asking)) == [2, 3, 4]


async def test_a_server_that_is_gone_fails_calls_at_once(server: RedisServer) -> None:
    """After one deadline nobody waits for it any more, until it is back."""
    async with running_commands(quick(server.url, command_timeout_s=0.3)) as commands:
        await increment(commands)
        await server.kill()
        with pytest.raises(EngineUnavailable):
            await increment(commands)
        with pytest.raises(EngineUnavailable, match=r"is gone: .*refused"):
            await _fails_at_once(commands)
        await server.start()
        await until(lambda: _works(commands))


async def _fails_at_once(commands: Commands) -> None:
    """The first call that is not even queued."""
    while True:
        began_s = time.monotonic()
        try:
            await increment(commands)
        except EngineUnavailable:
            if time.monotonic() - began_s < 0.02:
                raise


async def test_a_frozen_server_is_survived(server: RedisServer) -> None:
    """Calls fail in time, and work again when it thaws."""
    async with running_commands(quick(server.url, command_timeout_s=0.3, connect_timeout_s=0.3)) as commands:
        await increment(commands)
        server.pause()
        with pytest.raises(EngineUnavailable):
            await increment(commands)
        server.resume()
        await until(lambda: _works(commands))


async def test_a_restart_raises_the_term_of_every_partition(server: RedisServer) -> None:
    """Before anything else is done there."""
    async with running_commands(quick(server.url)) as commands:
        terms = [await server.order("HGET", f"hub:{{p{n}}}:term", "term") for n in range(4)]
        assert all(int(term) > 0 for term in terms)
        await server.kill_clients("normal")
        await until(lambda: _works(commands))
        assert await server.order("HGET", "hub:{p0}:term", "term") == terms[0]
        await server.restart(crash=True)
        await until(lambda: _works(commands))
        after = [await server.order("HGET", f"hub:{{p{n}}}:term", "term") for n in range(4)]
        assert all(int(new) > int(old) for new, old in zip(after, terms, strict=True))


async def test_a_full_queue_refuses_at_once(server: RedisServer) -> None:
    """By count and by bytes."""
    async with running_commands(
        quick(server.url, max_waiting_commands=10, max_waiting_bytes=1000)
    ) as commands:
        server.pause()
        asking = [asyncio.create_task(increment(commands)) for _ in range(11)]
        await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED, timeout=1.0)
        assert [task.done() for task in asking] == [*([False] * 10), True]
        with pytest.raises(EngineUnavailable, match="too many commands"):
            await asking[-1]
        server.resume()
        assert await asyncio.gather(*asking[:-1]) == list(range(1, 11))
        server.pause()
        large = asyncio.create_task(commands.call("p1", "SET", KEY, b"x" * 2000))
        await asyncio.sleep(0)
        with pytest.raises(EngineUnavailable, match="too many commands"):
            await increment(commands)
        server.resume()
        assert await large == b"OK"


async def test_cancelling_is_safe_at_any_time(server: RedisServer) -> None:
    """Before it is sent it is dropped, after that it runs unheard; others notice nothing."""
    async with running_commands(quick(server.url)) as commands:
        await increment(commands)
        unsent = asyncio.create_task(increment(commands))
        neighbour = asyncio.create_task(increment(commands))
        asyncio.get_running_loop().call_soon(unsent.cancel)
        await asyncio.wait([unsent])
        assert await neighbour in (2, 3)
        count = await increment(commands)
        server.pause()
        sent = asyncio.create_task(increment(commands))
        await asyncio.sleep(0.05)
        sent.cancel()
        await asyncio.wait([sent])
        server.resume()
        assert await increment(commands) == count + 2


async def test_a_server_that_is_busy_or_full_is_said_to_be(server: RedisServer) -> None:
    """Full memory is not waited for; loading and the like are."""
    async with running_commands(quick(server.url)) as commands:
        await server.order("CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(EngineUnavailable, match="memory is full"):
            await commands.call("p1", "SET", KEY, "x")
        await server.order("CONFIG", "SET", "maxmemory", 0)
        assert await increment(commands) == 1


async def test_a_script_that_blocks_the_server_is_waited_for(server: RedisServer) -> None:
    """BUSY proves that nothing was run."""
    await server.order("CONFIG", "SET", "busy-reply-threshold", 20)
    async with running_commands(quick(server.url)) as commands:
        blocking = asyncio.create_task(
            server.order(
                "EVAL",
                "local t = redis.call('TIME')\nlocal e = t[1] * 1000 + t[2] / 1000 + 300\n"
                "repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 > e",
                0,
            )
        )
        await asyncio.sleep(0.1)
        assert await increment(commands) == 1
        await blocking


async def test_a_primary_that_becomes_a_replica_is_left(server: RedisServer, tmp_path: Path) -> None:
    """The write did not run there; it waits until there is a primary again."""
    async with (
        redis_server(tmp_path / "other") as other,
        running_commands(quick(server.url)) as commands,
    ):
        await increment(commands)
        await server.order("REPLICAOF", *other.address)
        asking = asyncio.create_task(increment(commands))
        await asyncio.sleep(0.1)
        await server.order("REPLICAOF", "NO", "ONE")
        assert await asking >= 1


async def test_starting_says_why_it_cannot(server: RedisServer) -> None:
    """Nobody there, or a wrong password; and nothing is left running."""
    for url, words in ((f"redis://127.0.0.1:{free_port()}", "refused"), (f"{server.url}/99", "refuses")):
        with pytest.raises(EngineUnavailable, match=words):
            async with running_commands(quick(url)):
                pass
    assert {task for task in asyncio.all_tasks() if "redis" in task.get_name()} == set()


async def test_stopping_fails_what_waits(server: RedisServer) -> None:
    """And what comes after."""
    commands = Commands(quick(server.url), Keys("hub:", 4))
    await commands.start()
    server.pause()
    asking = asyncio.create_task(increment(commands))
    await asyncio.sleep(0.01)
    await commands.stop()
    await commands.stop()
    with pytest.raises(EngineUnavailable):
        await asking
    with pytest.raises(EngineUnavailable, match="not running"):
        await increment(commands)


async def test_the_password_is_never_logged(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """Nor said in an error."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(EngineUnavailable) as caught:
        async with running_commands(quick(f"redis://:sesame@127.0.0.1:{server.port}")):
            pass
    assert "sesame" not in caplog.text + str(caught.value) + repr(caught.value)
