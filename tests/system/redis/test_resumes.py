"""Many phones that resume the same channel at the same time, over a real Redis: it is asked a few times."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub.engine.redis.broker import RedisBroker
from hub.model import HistoryFilter, HistoryPage, HistoryPolicy
from tests.support.hub_process import Running, running_hub
from tests.support.redis_server import redis_server
from tests.support.wire_client import WireClient, connection_token, wire_client

PHONES = 60
MISSED = 5


@dataclass(slots=True)
class Reads:
    """How often the stream was read."""

    count: int = 0


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Counts what really goes to Redis."""
    reads, read = Reads(), RedisBroker.history

    async def counted(
        self: RedisBroker, channel: str, wanted: HistoryFilter, policy: HistoryPolicy
    ) -> HistoryPage:
        reads.count += 1
        return await read(self, channel, wanted, policy)

    monkeypatch.setattr(RedisBroker, "history", counted)
    return reads


@asynccontextmanager
async def hub_with_phones(folder: Path, count: int) -> AsyncIterator[tuple[Running, list[WireClient]]]:
    """A hub on a Redis, and phones that are connected, each a user of its own."""
    async with redis_server(folder) as redis, running_hub({"redis.url": redis.url}) as running:
        async with AsyncExitStack() as stack:
            phones = [await stack.enter_async_context(wire_client(running)) for _ in range(count)]
            for number, phone in enumerate(phones):
                await phone.connect(f"u{number}", token=connection_token(f"u{number}"))
            yield running, phones


def resume(phone: WireClient, offset: int, epoch: str) -> None:
    """Ask for the channel from a position, as an SDK does after a storm."""
    cursor = {"channel": "room", "recover": True, "offset": offset, "epoch": epoch}
    phone.send(phone.command(subscribe=cursor))


async def recovered(phone: WireClient) -> list[int]:
    """The offsets that the phone was given."""
    while "subscribe" not in (reply := await phone.next()):
        assert "push" in reply, reply
    result = reply["subscribe"]
    assert result["recovered"]
    return [publication["offset"] for publication in result["publications"]]


async def test_many_who_resume_one_channel_are_read_for_together(tmp_path: Path, reads: Reads) -> None:
    """Each gets exactly what it missed, and Redis is asked a small part of as many times."""
    async with hub_with_phones(tmp_path, PHONES) as (running, phones):
        assert running.hub is not None
        node = running.hub.node
        for number in range(MISSED + 5):
            await node.publish("room", b"%d" % number)
        published = await node.publish("room", b'"the last one"')
        assert published.position is not None
        top = published.position
        reads.count = 0
        for number, phone in enumerate(phones):
            resume(phone, top.offset - number % MISSED - 1, top.epoch)
        given = await asyncio.gather(*map(recovered, phones))
        for number, offsets in enumerate(given):
            assert offsets == list(range(top.offset - number % MISSED, top.offset + 1))
        assert reads.count <= PHONES / 4, reads


async def test_nothing_is_lost_between_a_shared_read_and_what_is_live(tmp_path: Path) -> None:
    """Publications that go on while everybody resumes reach everybody once, in order."""
    async with hub_with_phones(tmp_path, 30) as (running, phones):
        assert running.hub is not None
        node = running.hub.node
        published = await node.publish("room", b"0")
        assert published.position is not None
        start = published.position

        async def publish() -> None:
            for number in range(100):
                await node.publish("room", b"%d" % number)

        publishing = asyncio.create_task(publish())
        for phone in phones:
            resume(phone, start.offset, start.epoch)
            await asyncio.sleep(0)
        await publishing
        for phone in phones:
            offsets = await recovered(phone)
            while len(offsets) < 100:
                push = (await phone.next())["push"]
                if "pub" in push:
                    offsets.append(push["pub"]["offset"])
            assert offsets == list(range(start.offset + 1, start.offset + 101))
