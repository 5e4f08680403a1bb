"""Who waits to hear, and who is told of doubt."""

from __future__ import annotations

import asyncio

import pytest

from hub.engine.redis.hearing import Doubts, Patience, Subscription
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


async def test_patience_ends_for_each_in_turn() -> None:
    """Who is heard in time is not disturbed, who is not learns it, and the next one is watched as well."""
    patience = Patience(0.02)
    heard, silent, later = a_subscription("heard"), a_subscription("silent"), a_subscription("later")
    waiting = [asyncio.create_task(each.wait_heard(patience)) for each in (heard, silent)]
    await asyncio.sleep(0)
    heard.be_heard()
    await waiting[0]
    with pytest.raises(TimeoutError):
        await waiting[1]
    assert not silent.awaited
    with pytest.raises(TimeoutError):
        await later.wait_heard(patience)


async def test_patience_that_was_stopped_ends_nothing() -> None:
    """Whoever stops it tells those who wait."""
    patience = Patience(0.02)
    subscription = a_subscription()
    waiting = asyncio.create_task(subscription.wait_heard(patience))
    await asyncio.sleep(0)
    patience.stop()
    await asyncio.wait([waiting], timeout=0.1)
    assert not waiting.done()
    subscription.refuse(EngineUnavailable("stopped"))
    with pytest.raises(EngineUnavailable):
        await waiting


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
