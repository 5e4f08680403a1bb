"""What the broker over Redis promises beyond the contract: what lies in Redis, and what restarts do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from hub.engine.redis.broker import POSITIONS_AT_ONCE
from hub.engine.redis.options import RedisOptions
from hub.errors import EngineUnavailable
from hub.model import NO_HISTORY, ClientInfo, HistoryFilter, HistoryPolicy, Position, Publication
from tests.hub.engine.redis.brokers import EVERYTHING, BrokerParts, running_broker
from tests.support.processes import free_port
from tests.support.redis_server import RedisServer, redis_sentinels, redis_server

CHANNEL = "chat:news"
KEEP = HistoryPolicy(size=10, ttl_s=300, meta_ttl_s=3600)
ANN = ClientInfo("ann", "c1", b'{"a": 1}', None)


@pytest.fixture
async def parts(redis_options: RedisOptions) -> AsyncIterator[BrokerParts]:
    """One node's broker on an empty Redis."""
    async with running_broker(redis_options) as running:
        yield running


async def publish(parts: BrokerParts, *numbers: int, policy: HistoryPolicy = KEEP) -> list[Position]:
    """Publish these numbers; where they went."""
    results = [await parts.broker.publish(CHANNEL, Publication(b"%d" % n), policy) for n in numbers]
    return [result.position for result in results if result.position is not None]


class TestAcrossNodes:
    """What one node does, the others see."""

    async def test_every_node_that_listens_is_told_the_same(
        self, parts: BrokerParts, redis_options: RedisOptions
    ) -> None:
        """Publications with their positions, joins and leaves, in one order; the publisher's node too."""
        async with running_broker(redis_options, "b") as other:
            for node in (parts, other):
                await node.broker.subscribe(CHANNEL)
            await publish(parts, 1)
            await other.broker.publish_join(CHANNEL, ANN)
            await publish(other, 2)
            await parts.broker.publish_leave(CHANNEL, ANN)
            await parts.broker.publish(CHANNEL, Publication(b"3"), NO_HISTORY)
            told = await parts.told.count(5)
            assert await other.told.count(5) == told
        assert [item[0] for item in told] == [CHANNEL, "join", CHANNEL, "leave", CHANNEL]
        assert parts.told.data == [b"1", b"2", b"3"]

    async def test_one_clock_stamps_all(self, parts: BrokerParts, redis_options: RedisOptions) -> None:
        """The times of kept publications are those of the server, whoever publishes, and never run back."""
        async with running_broker(redis_options, "b") as other:
            for number in range(5):
                await publish(parts, number)
                await publish(other, number)
            page = await other.broker.history(CHANNEL, EVERYTHING, KEEP)
        times = [publication.time_ms for publication in page.publications]
        assert times == sorted(times)
        assert len(times) == 10

    async def test_many_at_once_make_one_order(self, parts: BrokerParts, redis_options: RedisOptions) -> None:
        """Two nodes publish into one channel: no offset is given twice, and all are told in their order."""
        async with running_broker(redis_options, "b") as other:
            await parts.broker.subscribe(CHANNEL)
            positions = await asyncio.gather(
                *(publish(node, number) for number in range(50) for node in (parts, other))
            )
            told = await parts.told.count(100)
        assert sorted(position.offset for (position,) in positions) == list(range(1, 101))
        assert [publication.offset for _, publication, _ in told] == list(range(1, 101))


class TestWhatNoHubWrote:
    """Foreign bytes cost themselves and nothing else."""

    @pytest.mark.parametrize(
        "message", [b"", b"p\n", b"p\n1\ne\n1\n\xc1", b"p\nx\ne\n1\n", b"j\n\x00", b"l\n", b"hello"]
    )
    async def test_a_foreign_message_is_dropped(
        self, parts: BrokerParts, message: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """With a warning that quotes nothing of it; what comes behind it arrives."""
        await parts.broker.subscribe(CHANNEL)
        name = parts.keys.fanout(parts.keys.tag_of(CHANNEL), CHANNEL)
        with caplog.at_level(logging.WARNING, logger="hub.engine.redis.broker"):
            await parts.order(CHANNEL, parts.commands.publish_verb, name, message)
            await publish(parts, 1)
            await parts.told.count(1)
        assert parts.told.data == [b"1"]
        (record,) = caplog.records
        assert "dropped a message" in record.getMessage()

    @pytest.mark.parametrize("entry", [b"4398046511104 300\n\xc1", b"", b"then 300\n\x91\xc4\x00"])
    async def test_a_foreign_entry_is_left_out(
        self, parts: BrokerParts, entry: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It shows as a jump of offsets; the rest of the history can be read."""
        await publish(parts, 1)
        await parts.order(CHANNEL, "XADD", parts.log(CHANNEL), "2-0", "e", entry)
        await parts.order(CHANNEL, "HSET", parts.meta(CHANNEL), "offset", 2)
        await publish(parts, 3)
        page = await parts.broker.history(CHANNEL, EVERYTHING, KEEP)
        assert [publication.offset for publication in page.publications] == [1, 3]
        assert "left out entry 2" in caplog.text

    async def test_a_foreign_entry_at_the_front_is_let_go(self, parts: BrokerParts) -> None:
        """It has no age to be compared, and must not stand in the way of the others."""
        await parts.order(CHANNEL, "XADD", parts.log(CHANNEL), "0-1", "f", b"x")
        await parts.broker.positions([(CHANNEL, KEEP)])
        await parts.order(CHANNEL, "XADD", parts.log(CHANNEL), "0-2", "f", b"x")
        await publish(parts, 1)
        page = await parts.broker.history(CHANNEL, EVERYTHING, KEEP)
        assert [publication.offset for publication in page.publications] == [1]
        assert await parts.order(CHANNEL, "XLEN", parts.log(CHANNEL)) == 1


class TestWhatLiesInRedis:
    """Every key goes by itself, and none is written without need."""

    async def test_every_key_expires(self, parts: BrokerParts) -> None:
        """The log with its newest entry, the position a little after its time at the latest."""
        result = await parts.broker.publish(
            CHANNEL, Publication(b"1"), KEEP, idempotency_key="k", idempotency_ttl_s=60, version=1
        )
        assert result.position is not None
        lives_s = {
            name.partition("}:")[2].partition(":")[0]: await parts.order(CHANNEL, "TTL", name)
            for name in await parts.names()
        }
        assert lives_s == {
            "log": pytest.approx(300, abs=2),
            "meta": pytest.approx(3600, abs=60),
            "idem": pytest.approx(60, abs=2),
            "version": pytest.approx(3600, abs=2),
        }

    async def test_a_log_made_anew_expires_too(self, parts: BrokerParts) -> None:
        """Removing the history takes the expiry of its key with it."""
        await publish(parts, 1)
        await parts.broker.remove_history(CHANNEL)
        await publish(parts, 2)
        assert 0 < await parts.order(CHANNEL, "TTL", parts.log(CHANNEL)) <= 300

    async def test_a_channel_without_history_leaves_nothing(self, parts: BrokerParts) -> None:
        """Neither its publications nor who came and went."""
        await publish(parts, 1, policy=NO_HISTORY)
        await parts.broker.publish_join(CHANNEL, ANN)
        assert await parts.names() == set()

    async def test_looking_writes_nothing(self, parts: BrokerParts) -> None:
        """Nodes compare positions all the time: replicas and files must not feel it."""
        await publish(parts, 1)
        before = await parts.writes(CHANNEL)
        await parts.broker.positions([(CHANNEL, KEEP)])
        await parts.broker.history(CHANNEL, EVERYTHING, KEEP)
        assert await parts.writes(CHANNEL) == before

    async def test_keys_of_repeats_belong_to_one_channel(self, redis_options: RedisOptions) -> None:
        """Also where channel and key written one after the other read the same."""
        async with running_broker(replace(redis_options, prefix="one:", partitions=1)) as parts:
            for channel, key in (("a", "b:c"), ("a:b", "c")):
                result = await parts.broker.publish(
                    channel, Publication(b"1"), KEEP, idempotency_key=key, version=1, version_epoch=key
                )
                assert not result.duplicate

    async def test_a_lost_position_begins_another_stream(self, parts: BrokerParts) -> None:
        """A log whose position was evicted has the offsets that now come again."""
        (old,) = (await publish(parts, 1, 2, 3))[-1:]
        await parts.order(CHANNEL, "DEL", parts.meta(CHANNEL))
        (new,) = await publish(parts, 4)
        page = await parts.broker.history(CHANNEL, EVERYTHING, KEEP)
        assert (new.offset, new.epoch != old.epoch) == (1, True)
        assert [publication.data for publication in page.publications] == [b"4"]


class TestPositions:
    """Many tops at once."""

    async def test_come_in_the_order_asked(self, parts: BrokerParts) -> None:
        """More than are asked for in one go, known and new, and one of them twice."""
        (known,) = await publish(parts, 1)
        asked = [(f"c{number}", KEEP) for number in range(POSITIONS_AT_ONCE + 10)]
        tops = await parts.broker.positions([(CHANNEL, KEEP), *asked, (CHANNEL, KEEP)])
        assert (tops[0], tops[-1], len(tops)) == (known, known, len(asked) + 2)
        assert tops[1:-1] == await parts.broker.positions(asked)
        assert {top.offset for top in tops[1:-1]} == {0}

    async def test_one_that_fails_fails_all(self, parts: BrokerParts) -> None:
        """And nothing is left that would fail unheard."""
        await parts.commands.stop()
        with pytest.raises(EngineUnavailable):
            await parts.broker.positions([(CHANNEL, KEEP), ("other", KEEP)])


class TestScriptsForgotten:
    """A server forgets its scripts by order, by restart and by failover."""

    async def test_they_are_loaded_again(self, parts: BrokerParts) -> None:
        """Nobody notices, and nothing is published twice."""
        await parts.broker.subscribe(CHANNEL)
        await publish(parts, 1)
        for tag in parts.keys.partition_tags:
            await parts.commands.call(tag, "SCRIPT", "FLUSH")
        await asyncio.gather(
            publish(parts, 2), publish(parts, 3), parts.broker.history(CHANNEL, EVERYTHING, KEEP)
        )
        await parts.told.count(3)
        assert sorted(parts.told.data) == [b"1", b"2", b"3"]
        assert (await parts.broker.history(CHANNEL, EVERYTHING, KEEP)).top.offset == 3


def broker_on(server: RedisServer) -> AbstractAsyncContextManager[BrokerParts]:
    """A broker on a server that the test may stop."""
    return running_broker(RedisOptions(server.url, partitions=4))


class TestRestart:
    """What a restart means for positions (delivery, "Epochs")."""

    @pytest.mark.parametrize("crash", [False, True], ids=["in order", "crash"])
    async def test_emptied_streams_begin_anew(self, tmp_path: Path, crash: bool) -> None:
        """Another birth: nobody can take the new stream for the old one."""
        async with redis_server(tmp_path / "redis") as server, broker_on(server) as parts:
            old = (await publish(parts, 1, 2))[-1]
            await server.restart(crash=crash)
            page = await parts.page_once_back(CHANNEL, KEEP)
            assert (page.publications, page.top.offset) == ((), 0)
            assert page.top.epoch.rpartition("-")[0] != old.epoch.rpartition("-")[0]

    @pytest.mark.parametrize("read_first", [True, False], ids=["read first", "append first"])
    async def test_kept_streams_leap(self, tmp_path: Path, read_first: bool) -> None:
        """The same birth in a new term, and no offset that may have been used before."""
        async with redis_server(tmp_path / "redis", keeps_data=True) as server, broker_on(server) as parts:
            old = (await publish(parts, 1, 2))[-1]
            await server.restart(crash=True)
            await parts.page_once_back("another", KEEP)
            birth, _, term = old.epoch.rpartition("-")
            key = parts.keys.term(parts.keys.tag_of(CHANNEL))
            new_term = (await parts.order(CHANNEL, "HGET", key, "term")).decode()
            assert int(new_term) > int(term)
            epoch = f"{birth}-{new_term}"
            if read_first:
                assert await parts.broker.positions([(CHANNEL, KEEP)]) == [Position(1_000_002, epoch)]
            assert await publish(parts, 3) == [Position(1_000_003, epoch)]
            page = await parts.broker.history(CHANNEL, HistoryFilter(-1, old), KEEP)
            assert [publication.offset for publication in page.publications] == [1_000_003]
            assert page.top.epoch != old.epoch
            backward = await parts.broker.history(
                CHANNEL, HistoryFilter(-1, Position(1_000_003, epoch), reverse=True), KEEP
            )
            assert [publication.offset for publication in backward.publications] == [2, 1]

    async def test_a_connection_lost_is_no_new_term(self, tmp_path: Path) -> None:
        """The server is the same, so nothing can be missing from its streams."""
        async with redis_server(tmp_path / "redis") as server, broker_on(server) as parts:
            old = (await publish(parts, 1))[-1]
            await server.kill_clients("normal")
            page = await parts.page_once_back(CHANNEL, KEEP)
            assert page.top == old

    async def test_the_first_answer_outlives_a_restart(self, tmp_path: Path) -> None:
        """Whoever repeats a publish is told the position of the first time, in the epoch of that time."""
        async with redis_server(tmp_path / "redis", keeps_data=True) as server, broker_on(server) as parts:
            first = await parts.broker.publish(CHANNEL, Publication(b"1"), KEEP, idempotency_key="k")
            await server.restart()
            await parts.page_once_back(CHANNEL, KEEP)
            again = await parts.broker.publish(CHANNEL, Publication(b"1"), KEEP, idempotency_key="k")
            assert again == replace(first, duplicate=True)

    async def test_a_failover_that_lost_the_newest_says_so(self, tmp_path: Path) -> None:
        """The offset of what was lost is not given again; the epoch says that something may be missing."""
        async with redis_sentinels(tmp_path / "redis") as sentinels:
            primary = await sentinels.primary()
            (replica,) = (server for server in sentinels.servers if server is not primary)
            async with running_broker(RedisOptions(sentinels.url, partitions=4)) as parts:
                await publish(parts, 1, 2)
                assert await primary.order("WAIT", 1, 5000) == 1
                await replica.order("REPLICAOF", "127.0.0.1", free_port())
                (lost,) = await publish(parts, 3)
                await primary.kill()
                await sentinels.wait_for_primary_after(primary)
                page = await parts.page_once_back(CHANNEL, KEEP)
                (new,) = await publish(parts, 4)
        assert [publication.offset for publication in page.publications] == [1, 2]
        assert (lost.offset, page.top.offset, new.offset) == (3, 1_000_002, 1_000_003)
        assert new.epoch == page.top.epoch != lost.epoch
