"""The publisher for programs without an event loop: threads, forks, ends."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hub.engine.redis import RedisOptions
from hub.publisher import EngineUnavailable, HubError, NewPublication, NoHub, PublishResult, SyncPublisher
from tests.hub.publisher.hubs import publication
from tests.support.hub_process import Running
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import tcp_proxy
from tests.support.wire_client import connected

ROOT = Path(__file__).parents[3]


def threads() -> set[str]:
    """Names of the threads that run now."""
    return {thread.name for thread in threading.enumerate()}


async def test_clients_get_what_was_published(hub: Running, redis: RedisOptions) -> None:
    """By each of the calls."""

    def publish() -> list[PublishResult | HubError]:
        with SyncPublisher(redis.url) as publisher:
            return [
                publisher.publish("chat:a", {"n": 1}, tags={"a": "b"}),
                *publisher.broadcast(["chat:a", "unknown:a"], {"n": 2}),
                *publisher.publish_many(NewPublication(channel="chat:a", data={"n": n}) for n in (3, 4)),
            ]

    async with connected(hub) as client:
        await client.subscribe("chat:a")
        outcomes = await asyncio.to_thread(publish)
        heard = [await publication(client) for _ in range(4)]
    assert [each["data"]["n"] for each in heard] == [1, 2, 3, 4]
    assert isinstance(outcomes[2], HubError)
    offsets = [each.position.offset for each in outcomes if isinstance(each, PublishResult) and each.position]
    assert offsets == [1, 2, 3, 4]


async def test_many_threads_share_one(hub: Running, redis: RedisOptions, shared_server: RedisServer) -> None:
    """And few connections: each thread's own publications keep their order."""

    def publish(publisher: SyncPublisher, thread: int) -> list[int]:
        found = []
        for n in range(20):
            result = publisher.publish(f"chat:{thread}", n, idempotency_key=f"{thread}-{n}")
            assert result.position is not None
            found.append(result.position.offset)
        return found

    def publish_in_threads() -> list[list[int]]:
        with SyncPublisher(redis.url) as publisher, ThreadPoolExecutor(16) as pool:
            return list(pool.map(lambda n: publish(publisher, n), range(16)))

    before = len((await shared_server.order("CLIENT", "LIST")).splitlines())
    offsets = asyncio.create_task(asyncio.to_thread(publish_in_threads))
    most = 0
    while not offsets.done():
        most = max(most, len((await shared_server.order("CLIENT", "LIST")).splitlines()))
        await asyncio.sleep(0.005)
    assert await offsets == [list(range(1, 21))] * 16
    assert most <= before + 2


async def test_it_ends_with_its_thread(hub: Running, redis: RedisOptions) -> None:
    """By close, by the end of the block, or because nobody has it any more; closed, it says so."""

    def use() -> None:
        publisher = SyncPublisher(redis.url)
        assert "hub publisher" not in threads()
        publisher.publish("chat:a", 1)
        assert "hub publisher" in threads()
        publisher.close()
        publisher.close()
        assert "hub publisher" not in threads()
        with pytest.raises(RuntimeError, match="closed"):
            publisher.publish("chat:a", 1)
        SyncPublisher(redis.url).publish("chat:a", 1)
        gc.collect()
        assert "hub publisher" not in threads()

    await asyncio.to_thread(use)


async def test_errors_come_through(redis: RedisOptions) -> None:
    """As themselves, and it can be used on."""

    def use() -> None:
        with pytest.raises(ValueError, match="Redis URL"):
            SyncPublisher("http://x")
        publisher = SyncPublisher(redis.url)
        for _ in range(2):
            with pytest.raises(NoHub):
                publisher.publish("chat:a", 1)
        publisher.close()

    await asyncio.to_thread(use)


async def test_who_waits_when_it_is_closed_is_told(hub: Running, shared_server: RedisServer) -> None:
    """By the other thread that closed it."""
    async with tcp_proxy(shared_server.address) as link:
        publisher = SyncPublisher("redis://{}:{}".format(*link.address))
        await asyncio.to_thread(publisher.open)
        link.stall()
        waiting = [asyncio.create_task(asyncio.to_thread(publisher.publish, "chat:a", n)) for n in range(3)]
        await asyncio.sleep(0.1)
        await asyncio.to_thread(publisher.close)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [EngineUnavailable] * 3


FORKING = """
import os, sys, threading, time
from hub.publisher import SyncPublisher

publisher = SyncPublisher(sys.argv[1])
offsets = lambda count: [publisher.publish("chat:a", 1).position.offset for _ in range(count)]
assert offsets(2) == [1, 2]

stop = threading.Event()
def keep_busy():
    while not stop.is_set():
        publisher.publish("live:a", 1)
busy = [threading.Thread(target=keep_busy) for _ in range(4)]
for thread in busy: thread.start()
children = []
for _ in range(5):
    if (pid := os.fork()) == 0:
        publisher.publish("chat:b", "child")
        sys.exit(0)
    children.append(pid)
assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 5
stop.set()
for thread in busy: thread.join()
assert offsets(2) == [3, 4]
print(publisher.publish("chat:b", "parent").position.offset)
"""


async def test_a_forked_process_has_connections_of_its_own(hub: Running, redis: RedisOptions) -> None:
    """Forked in the midst of it; parent and children go on, and end without a word."""

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, redis.url],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=40,
        )

    done = await asyncio.to_thread(run)
    assert (done.returncode, done.stdout, done.stderr) == (0, "6\n", "")


async def test_a_program_that_closes_nothing_ends(hub: Running, redis: RedisOptions) -> None:
    """Without waiting, and without a word."""
    program = "import sys; from hub.publisher import SyncPublisher; p = SyncPublisher(sys.argv[1]); p.open()"

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-X", "dev", "-c", program, redis.url],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=20,
        )

    done = await asyncio.to_thread(run)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
