"""Notifications asked for by a backend's own process: what the workers find, and what is refused."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from hub.delivery.notification import unpack
from hub.engine.redis import RedisOptions
from hub.errors import HubError
from hub.publisher import NotifyAnswer, Publisher, SyncPublisher
from tests.hub.publisher.hubs import running_on
from tests.support.hub_process import Running


async def test_workers_find_what_was_asked_for(any_redis: RedisOptions) -> None:
    """Every user, in order, and the body; the same again is the first answer."""
    async with running_on(any_redis.url) as hub, Publisher(any_redis.url) as publisher:
        asked: dict[str, Any] = {
            "notification": {"title": "Hi"},
            "id": "n1",
            "ttl_s": 60,
            "priority": "normal",
        }
        first = await publisher.notify(["7", "8", "7"], {"chat": 1}, **asked)
        again = await publisher.notify(["7", "8"], {"chat": 1}, **asked)
        assert hub.hub is not None
        step = await hub.hub.node.engine.jobs.claim_step(30.0)
        other = await hub.hub.node.engine.jobs.claim_step(30.0)
    assert first == NotifyAnswer("n1", 2, duplicate=False, job="n1")
    assert again == NotifyAnswer("n1", 2, duplicate=True, job="n1")
    assert step is not None
    assert other is None
    assert step.users == ("7", "8")
    wanted = unpack(step.body)
    assert (wanted.id, wanted.data, wanted.shown, wanted.ttl_s) == ("n1", b'{"chat":1}', {"title": "Hi"}, 60)


@pytest.mark.parametrize(
    ("users", "fields", "code"),
    [
        ([], {"data": 1}, 107),
        (["7", ""], {"data": 1}, 107),
        (["7"], {}, 107),
        (["7"], {"data": 1, "ttl_s": 0}, 107),
        (["7"], {"data": 1, "notification": {"titel": "x"}}, 107),
        (["7"], {"data": "x" * 16_384}, 1006),
        ([str(number) for number in range(100_001)], {"data": 1}, 1007),
        ([7], {"data": 1}, 107),
        ([["7"]], {"data": 1}, 107),
        (["7"], {"data": 1, "id": 7}, 107),
        (["7"], {"notification": "hello"}, 107),
        (["7"], {"data": 1, "overrides": {"apns": {"a": {1}}}}, 107),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_refuses_before_anything_is_sent(
    redis: RedisOptions, users: list[Any], fields: dict[str, Any], code: int
) -> None:
    """With the codes of the server API; not even a connection is made."""
    publisher = Publisher("redis://127.0.0.1:1")
    with pytest.raises(HubError) as refused:
        await publisher.notify(users, **fields)
    await publisher.close()
    assert refused.value.error.code == code


async def test_one_id_is_one_notification(hub: Running, redis: RedisOptions) -> None:
    """Another body or other users under the same id are refused; a text is no list of users."""
    async with Publisher(redis.url) as publisher:
        await publisher.notify(["7"], 1, id="n1")
        for users, data in ((["7"], 2), (["8"], 1)):
            with pytest.raises(HubError, match="1005"):
                await publisher.notify(users, data, id="n1")
        with pytest.raises(TypeError, match="several"):
            await publisher.notify("7", 1)


def test_without_an_event_loop(request: pytest.FixtureRequest) -> None:
    """The same from a thread; here no hub ever started, which is said, and no thread is left behind."""
    options: RedisOptions = request.getfixturevalue("redis")
    with pytest.raises(HubError, match="no hub has started"), SyncPublisher(options.url) as publisher:
        publisher.notify(["7"], 1)
    assert "hub publisher" not in {thread.name for thread in threading.enumerate()}
