"""A device on two hubs over one Redis: one of its connections counts, and what it proves outlives trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hub.errors import REPLACED
from tests.support.hub_process import Running, running_hub
from tests.support.inboxes import WITH_INBOX, Inbox, answer_ping, hub_data, numbers
from tests.support.redis_server import RedisServer, redis_server
from tests.support.wire_client import WireClient, connected, wire_client

LEASE_S = 1.0


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A Redis of the test's own."""
    async with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
async def pair(redis: RedisServer) -> AsyncIterator[tuple[Running, Running]]:
    """Two hubs on it that never ping by themselves, with leases that end soon."""
    settings = {
        **WITH_INBOX,
        "ping.interval_s": 300,
        "redis.url": redis.url,
        "redis.lease_s": LEASE_S,
        "redis.lease_renew_s": 0.2,
        "redis.command_timeout_s": 1.0,
        "redis.probe_interval_s": 0.2,
        "redis.probe_timeout_s": 0.2,
    }
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(running_hub(settings)) for _ in range(2)]
        yield first, second


async def proven(client: WireClient, inbox: Inbox, number: int) -> None:
    """A notification that reaches the client and is proven."""
    offset = await inbox.notify(number)
    assert await numbers(client, 1) == [number]
    await answer_ping(client)
    await inbox.becomes_proven(offset)


async def test_a_device_that_moves_to_another_hub(pair: tuple[Running, Running]) -> None:
    """The former connection ends with 4500; its late goodbye changes nothing."""
    near, far = pair
    inbox = Inbox(near.hub)
    await inbox.register()
    async with connected(near, data=hub_data()) as old:
        await proven(old, inbox, 1)
        await inbox.notify(2)
        assert await numbers(old, 1) == [2]
        async with wire_client(far) as new:
            told = (await new.connect(data=hub_data()))["subs"]["inbox:#42"]
            assert (told["recovered"], told["offset"]) == (True, 1)
            assert await old.next() == {}
            assert await old.closed() == (REPLACED.code, REPLACED.reason)
            await answer_ping(new)
            await inbox.becomes_proven(2)
            await proven(new, inbox, 3)
            assert (await inbox.view()).state == "foreground"
    await inbox.becomes("offline")


async def test_a_device_that_registers_at_another_hub(pair: tuple[Running, Running]) -> None:
    """By HTTP, while it is connected here: its connection counts."""
    near, far = pair
    inbox = Inbox(near.hub)
    assert far.hub is not None
    async with connected(near, data=hub_data()) as client:
        await inbox.register()
        await far.hub.node.tell_device("42", inbox.device)
        await inbox.becomes("foreground")
        await proven(client, inbox, 1)


async def test_a_proof_outlives_an_engine_that_is_away(
    pair: tuple[Running, Running], redis: RedisServer
) -> None:
    """The pong came while Redis did not answer: the debt is closed once it does."""
    inbox = Inbox(pair[0].hub)
    await inbox.register()
    async with connected(pair[0], data=hub_data()) as client:
        await inbox.notify(1)
        assert await numbers(client, 1) == [1]
        assert await client.next() == {}
        redis.pause()
        client.send_text("{}")
        # Longer than a command may take: it was given up and is told again.
        await asyncio.sleep(1.5)
        redis.resume()
        await inbox.becomes_proven(1)


async def test_a_hub_whose_lease_was_lost_tells_of_its_devices_again(
    pair: tuple[Running, Running], redis: RedisServer
) -> None:
    """They count as connected again, by the same generation, and go on proving."""
    inbox = Inbox(pair[0].hub)
    await inbox.register()
    async with connected(pair[0], data=hub_data()) as client:
        await proven(client, inbox, 1)
        ledger = inbox.engine.ledger
        hello, told = ledger.hello, asyncio.Event()

        async def noted(*args: object) -> object:
            welcome = await hello(*args)  # type: ignore[arg-type]
            told.set()
            return welcome

        ledger.hello = noted  # type: ignore[assignment, method-assign]
        # As one that was frozen for longer than its lease.
        await redis.order("ZREMRANGEBYRANK", "hub:{ctl}:nodes", 0, -1)
        async with asyncio.timeout(10):
            await told.wait()
        await proven(client, inbox, 2)


async def test_an_emptied_redis_sends_clients_back(pair: tuple[Running, Running], redis: RedisServer) -> None:
    """Their positions mean nothing any more: they come again, and learn that they must register."""
    inbox = Inbox(pair[0].hub)
    await inbox.register()
    async with connected(pair[0], data=hub_data()) as client:
        await proven(client, inbox, 1)
        await redis.order("FLUSHALL")
        await inbox.notify(2)
        opcode, payload = await client.raw.read_frame()
        assert (opcode, int.from_bytes(payload[:2], "big")) == (8, 3010)
    async with wire_client(pair[0]) as client:
        result = await client.connect(data=hub_data())
        assert result["data"]["hub"]["device"]["registered"] is False
