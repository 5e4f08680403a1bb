"""How a publisher learns what the hubs agreed on, and follows them when they change it."""

from __future__ import annotations

import asyncio

import pytest

from hub.engine.redis import RedisOptions
from hub.engine.redis.keys import Keys
from hub.errors import UNKNOWN_CHANNEL, HubError
from hub.publisher import NoHub, Publisher, SchemaMismatch
from tests.hub.publisher.hubs import running_on
from tests.support.hub_process import Running
from tests.support.redis_server import RedisServer


async def test_no_hub_ever_started(redis: RedisOptions, shared_server: RedisServer) -> None:
    """Said in words, and nothing is written; once a hub has started it works."""
    publisher = Publisher(redis.url)
    with pytest.raises(NoHub, match="prefix 'hub:'"):
        await publisher.publish("chat:a", 1)
    assert await shared_server.order("KEYS", "*") == []
    async with running_on(redis.url):
        assert (await publisher.publish("chat:a", 1)).position is not None
    await publisher.close()


async def test_another_prefix_or_database(hub: Running, redis: RedisOptions) -> None:
    """There is no hub there."""
    for publisher in (Publisher(redis.url, prefix="other:"), Publisher(redis.url + "/1")):
        with pytest.raises(NoHub, match="compare the URL"):
            await publisher.publish("chat:a", 1)
        await publisher.close()


async def test_other_partitions(hub: Running, redis: RedisOptions) -> None:
    """Whoever insists on a number is told when it is another one."""
    with pytest.raises(SchemaMismatch, match="partitions 8 here, 64 there"):
        async with Publisher(redis.url, partitions=8):
            pass
    async with Publisher(redis.url, partitions=64) as publisher:
        assert (await publisher.publish("chat:a", 1)).position is not None


async def test_hubs_with_other_namespaces(redis: RedisOptions) -> None:
    """Are followed: nothing is published by options that are older than was said."""
    async with running_on(redis.url):
        publisher = Publisher(redis.url, schema_refresh_s=0.001)
        with pytest.raises(HubError) as refusal:
            await publisher.publish("sport:a", 1)
        assert refusal.value.error is UNKNOWN_CHANNEL
        changed = {"channels__namespaces": [{"name": "sport"}], "redis__replace_policy": True}
        async with running_on(redis.url, **changed):
            await asyncio.sleep(0.002)
            assert (await publisher.publish("sport:a", 1)).position is None
            with pytest.raises(HubError) as refusal:
                await publisher.publish("chat:a", 1)
            assert refusal.value.error is UNKNOWN_CHANNEL
        await publisher.close()


async def test_hubs_that_came_back_with_other_partitions(
    redis: RedisOptions, shared_server: RedisServer
) -> None:
    """Are followed too: what was published lies where they look for it."""
    publisher = Publisher(redis.url, schema_refresh_s=0.001)
    async with running_on(redis.url):
        await publisher.publish("chat:a", 1)
    async with running_on(redis.url, partitions=3) as hub:
        await asyncio.sleep(0.002)
        await publisher.publish("chat:b", 2)
        keys = Keys("hub:", 3)
        assert await shared_server.order("XLEN", keys.log(keys.tag_of("chat:b"), "chat:b")) == 1
        assert hub.hub is not None
    await publisher.close()


async def test_an_emptied_redis(hub: Running, redis: RedisOptions, shared_server: RedisServer) -> None:
    """Until the hubs have written the schema again, the last one holds."""
    async with Publisher(redis.url, schema_refresh_s=0.001) as publisher:
        before = (await publisher.publish("chat:a", 1)).position
        await shared_server.order("FLUSHALL")
        await asyncio.sleep(0.002)
        after = (await publisher.publish("chat:a", 2)).position
    assert before is not None
    assert after is not None
    assert after.epoch != before.epoch


async def test_it_belongs_to_one_event_loop(hub: Running, redis: RedisOptions) -> None:
    """Used on another one, it says so instead of hanging."""
    async with Publisher(redis.url) as publisher:

        def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="another event loop"):
                asyncio.run(publisher.publish("chat:a", 1))

        await asyncio.to_thread(elsewhere)


async def test_the_schema_is_read_once_in_a_while(
    hub: Running, redis: RedisOptions, shared_server: RedisServer
) -> None:
    """Not each time, and once for all who wait for it."""
    for refresh_s, expected in ((60.0, 0), (0.001, 1)):
        async with Publisher(redis.url, schema_refresh_s=refresh_s) as publisher:
            await asyncio.sleep(0.002)
            await shared_server.order("CONFIG", "RESETSTAT")
            await asyncio.gather(*(publisher.publish("live:a", n) for n in range(100)))
            assert await shared_server.calls_of("hmget") == expected
