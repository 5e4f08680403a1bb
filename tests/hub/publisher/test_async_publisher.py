"""The publisher beside real hubs: what it publishes is what they would have published."""

from __future__ import annotations

import asyncio
import time

import pytest

from hub.engine.redis import RedisOptions
from hub.errors import (
    BAD_REQUEST,
    DATA_TOO_LARGE,
    RESERVED_CHANNEL,
    UNKNOWN_CHANNEL,
    EngineUnavailable,
    HubError,
)
from hub.publisher import NewPublication, Position, Publisher, PublishResult
from tests.hub.publisher.hubs import publication, running_on
from tests.support.hub_process import Running
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import tcp_proxy
from tests.support.wire_client import connected


async def publish_until_done(publisher: Publisher, channel: str, data: object, key: str) -> PublishResult:
    """What a backend does when it is told that the outcome is unknown."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await publisher.publish(channel, data, idempotency_key=key)
            except EngineUnavailable:
                await asyncio.sleep(0.05)


async def test_clients_get_what_was_published(any_redis: RedisOptions) -> None:
    """In order with what the hub published, at the positions that publishers were told."""
    url = any_redis.url
    async with running_on(url) as hub, connected(hub) as client, Publisher(url) as publisher:
        epoch = (await client.subscribe("chat:a"))["epoch"]
        first = await publisher.publish("chat:a", {"n": 1}, tags={"from": "backend"})
        assert hub.hub is not None
        second = await hub.hub.node.publish("chat:a", b'{"n": 2}')
        third = await publisher.publish("chat:a", b'{"n":  3}')
        heard = [await publication(client) for _ in range(3)]
    assert [first, second, third] == [PublishResult(Position(n, epoch)) for n in (1, 2, 3)]
    assert [(each["data"]["n"], each["offset"]) for each in heard] == [(1, 1), (2, 2), (3, 3)]
    assert heard[0]["tags"] == {"from": "backend"}


async def test_channels_keep_what_their_namespace_says(hub: Running, redis: RedisOptions) -> None:
    """The publisher was never told about namespaces."""
    async with connected(hub) as client, Publisher(redis.url) as publisher:
        await client.subscribe("live:a")
        await client.subscribe("chat:a")
        assert await publisher.publish("live:a", 1) == PublishResult(None)
        skipped = await publisher.publish("chat:a", 2, skip_history=True)
        assert skipped == PublishResult(None)
        heard = [await publication(client) for _ in range(2)]
        assert [("offset" in each, each["data"]) for each in heard] == [(False, 1), (False, 2)]
        kept = await publisher.publish("chat:a", 3)
        assert kept.position is not None
        assert kept.position.offset == 1


async def test_deltas_travel_where_they_are_allowed(hub: Running, redis: RedisOptions) -> None:
    """By the namespace, or by the publisher."""
    data = {"text": "x" * 500}
    async with connected(hub) as client, Publisher(redis.url) as publisher:
        for channel, delta in (("patched:a", False), ("chat:a", True)):
            await client.subscribe(channel, delta="fossil")
            for _ in range(2):
                await publisher.publish(channel, data, delta=delta)
            assert [(await publication(client)).get("delta", False) for _ in range(2)] == [False, True]


async def test_a_repeat_with_the_same_key_gets_the_first_answer(hub: Running, redis: RedisOptions) -> None:
    """Also when the first one came by the hub itself."""
    assert hub.hub is not None
    async with connected(hub) as client, Publisher(redis.url) as publisher:
        await client.subscribe("chat:a")
        first = await publisher.publish("chat:a", 1, idempotency_key="k")
        repeat = await publisher.publish("chat:a", 1, idempotency_key="k")
        by_hub = await hub.hub.node.publish("chat:a", b"1", idempotency_key="k")
        other = await publisher.publish("chat:a", 2)
        assert [(await publication(client))["data"] for _ in range(2)] == [1, 2]
    assert (repeat.position, repeat.duplicate) == (first.position, True)
    assert (by_hub.position, by_hub.duplicate) == (first.position, True)
    assert not other.duplicate


async def test_a_version_that_is_not_greater_is_not_published(hub: Running, redis: RedisOptions) -> None:
    """Within its epoch."""
    async with Publisher(redis.url) as publisher:
        outcomes = [
            (await publisher.publish("chat:a", 1, version=version, version_epoch=epoch)).duplicate
            for version, epoch in ((5, "a"), (5, "a"), (4, "a"), (4, "b"), (6, "a"))
        ]
    assert outcomes == [False, True, True, False, False]


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        ("unknown:a", UNKNOWN_CHANNEL),
        ("", BAD_REQUEST),
        ("x" * 256, BAD_REQUEST),
        ("chät", BAD_REQUEST),
        ("numbered:a", BAD_REQUEST),
        ("inbox:#42", RESERVED_CHANNEL),
    ],
)
async def test_channels_are_refused_as_by_the_hub(
    hub: Running, redis: RedisOptions, channel: str, error: object
) -> None:
    """With the same codes."""
    assert hub.hub is not None
    async with Publisher(redis.url) as publisher:
        with pytest.raises(HubError) as refusal:
            await publisher.publish(channel, 1)
        with pytest.raises(HubError) as refusal_by_hub:
            await hub.hub.node.publish(channel, b"1")
    assert refusal.value.error is error
    assert refusal_by_hub.value.error is error


async def test_a_broadcast_answers_for_each_channel(hub: Running, redis: RedisOptions) -> None:
    """A refusal of one is nobody else's."""
    async with connected(hub) as client, Publisher(redis.url, max_data_bytes=10) as publisher:
        await client.subscribe("chat:b")
        ok, refused, also_ok = await publisher.broadcast(["chat:a", "unknown:a", "chat:b"], "x")
        assert (await publication(client))["data"] == "x"
        with pytest.raises(HubError) as too_large:
            await publisher.broadcast(["chat:a"], "x" * 10)
        with pytest.raises(TypeError, match="several"):
            await publisher.broadcast("chat:a", "x")
        assert await publisher.broadcast([], "x") == []
    assert isinstance(ok, PublishResult)
    assert isinstance(also_ok, PublishResult)
    assert isinstance(refused, HubError)
    assert refused.error is UNKNOWN_CHANNEL
    assert too_large.value.error is DATA_TOO_LARGE


async def test_a_batch_of_thousands(any_redis: RedisOptions) -> None:
    """Results and refusals in the order asked, each channel in order, everything heard."""
    url = any_redis.url
    batch = [
        NewPublication(channel="chat:odd" if n % 2 else "chat:even", data=object() if n % 1000 == 7 else n)
        for n in range(2500)
    ]
    async with running_on(url) as hub, connected(hub) as client, Publisher(url) as publisher:
        await client.subscribe("chat:odd")
        outcomes = await publisher.publish_many(iter(batch))
        heard = [(await publication(client))["data"] for _ in range(1247)]
        assert await publisher.publish_many([]) == []
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, HubError)] == [7, 1007, 2007]
    assert heard == [n for n in range(1, 2500, 2) if n % 1000 != 7]
    offsets = [
        outcome.position.offset
        for n, outcome in enumerate(outcomes)
        if n % 2 == 0 and isinstance(outcome, PublishResult) and outcome.position is not None
    ]
    assert offsets == list(range(1, 1251))


async def test_large_publications_go_in_portions(hub: Running, redis: RedisOptions) -> None:
    """More than may wait for Redis at a time."""
    batch = [
        NewPublication(channel="live:a", data="x" * 1_000_000, idempotency_key=str(n)) for n in range(80)
    ]
    async with Publisher(redis.url) as publisher:
        outcomes = await publisher.publish_many(batch)
    assert outcomes == [PublishResult(None)] * 80


async def test_redis_gone_is_told_in_time_and_passes(hub: Running, shared_server: RedisServer) -> None:
    """Cut or silent; nothing has to be made anew afterwards."""
    async with tcp_proxy(shared_server.address) as link:
        url = "redis://{}:{}".format(*link.address)
        async with Publisher(url, timeout_s=0.5, connect_timeout_s=0.4) as publisher:
            for break_it in (link.cut, link.stall):
                first = await publisher.publish("chat:a", 1)
                break_it()
                began_s = time.monotonic()
                with pytest.raises(EngineUnavailable):
                    await publisher.publish("chat:a", 2, idempotency_key=break_it.__name__)
                assert time.monotonic() - began_s < 1.5
                link.restore()
                second = await publish_until_done(publisher, "chat:a", 2, break_it.__name__)
                assert first.position is not None
                assert second.position is not None
                assert second.position.offset == first.position.offset + 1


async def test_a_publisher_is_made_before_redis_is_there(hub: Running, shared_server: RedisServer) -> None:
    """Each use tries again."""
    async with tcp_proxy(shared_server.address) as link:
        link.cut()
        publisher = Publisher("redis://{}:{}".format(*link.address), timeout_s=0.5)
        with pytest.raises(EngineUnavailable):
            await publisher.publish("chat:a", 1)
        link.restore()
        assert (await publisher.publish("chat:a", 1)).position is not None
        await publisher.close()


async def test_who_waits_when_it_is_closed_is_told(hub: Running, shared_server: RedisServer) -> None:
    """As is who comes later."""
    async with tcp_proxy(shared_server.address) as link:
        publisher = Publisher("redis://{}:{}".format(*link.address))
        link.stall()
        waiting = asyncio.create_task(publisher.publish("chat:a", 1))
        await asyncio.sleep(0)
        await publisher.close()
        await publisher.close()
        with pytest.raises(EngineUnavailable):
            await waiting
        with pytest.raises(RuntimeError, match="closed"):
            await publisher.publish("chat:a", 1)


@pytest.mark.parametrize(
    "arguments",
    [{"url": "http://x"}, {"prefix": "{x}"}, {"timeout_s": 0}, {"max_data_bytes": 0}],
    ids=str,
)
def test_arguments_that_cannot_be_meant_are_refused(arguments: dict[str, object]) -> None:
    """When it is made, without a Redis."""
    with pytest.raises(ValueError, match=r"."):
        Publisher(**{"url": "redis://127.0.0.1:1", **arguments})  # type: ignore[arg-type]
