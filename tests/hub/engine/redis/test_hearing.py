"""Who waits to hear, and who is told of doubt."""

from __future__ import annotations

import asyncio

import pytest

from hub.engine.redis.hearing import Doubts, Subscription
from hub.errors import EngineUnavailable
from tests.hub.engine.redis.links import RecordingListener


def a_subscription(channel: str = "a", listener: RecordingListener | None = None) -> Subscription:
    return Subscription("p0", channel.encode(), channel, listener or RecordingListener())


async def test_all_who_wait_are_told_at_once() -> None:
    """And nobody waits for what is heard already."""
    subscription = a_subscription()
    waiting = [asyncio.create_task(subscription.wait_heard()) for _ in range(2)]
    await asyncio.sleep(0)
    assert subscription.awaited
    subscription.be_heard()
    await asyncio.gather(*waiting)
    await subscription.wait_heard()
    assert not subscription.awaited


async def test_one_who_gives_up_leaves_the_others_waiting() -> None:
    """Cancelling is each one's own."""
    subscription = a_subscription()
    first, second = (asyncio.create_task(subscription.wait_heard()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert subscription.awaited
    subscription.refuse(EngineUnavailable("no"))
    with pytest.raises(EngineUnavailable):
        await second


def test_doubt_needs_something_to_lose() -> None:
    """The first time there is nothing; after a loss there is, once."""
    subscription = a_subscription()
    subscription.be_unheard()
    assert not subscription.be_heard()
    subscription.be_unheard()
    assert not subscription.heard
    assert subscription.be_heard()
    assert not subscription.be_heard()


def test_doubts_are_told_once_per_listener() -> None:
    """Each hears of its own channels."""
    one, other = RecordingListener(), RecordingListener()
    doubts = Doubts()
    for subscription in (a_subscription("a", one), a_subscription("b", other), a_subscription("c", one)):
        doubts.add(subscription)
    assert doubts
    doubts.tell()
    doubts.tell()
    assert (one.doubts, other.doubts) == ([["a", "c"]], [["b"]])
    assert not doubts
