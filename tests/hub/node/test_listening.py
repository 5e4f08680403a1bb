"""Which channels a node listens to, with an engine that takes its time and sometimes fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from hub.engine import Broker
from hub.errors import EngineUnavailable
from hub.fanout import Subscriber
from hub.metrics import NopMetrics
from hub.model import NO_HISTORY, Position, Publication
from hub.node import Listening
from tests.support.waiting import eventually


class SlowBroker:
    """Listens and stops listening only when the test lets it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.listened: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = False

    async def subscribe(self, channel: str) -> None:
        """Begin to listen."""
        self.calls.append("subscribe")
        await self.gate.wait()
        if self.fails:
            raise EngineUnavailable
        self.listened.add(channel)

    async def unsubscribe(self, channel: str) -> None:
        """End to listen."""
        self.calls.append("unsubscribe")
        await self.gate.wait()
        if self.fails:
            raise EngineUnavailable
        self.listened.discard(channel)


class Gone:
    """A reader that only counts gaps."""

    def __init__(self) -> None:
        self.gaps = 0

    def on_gap(self, channel: str) -> None:
        """Lost."""
        self.gaps += 1


def subscriber() -> Subscriber:
    """A subscriber that gathers."""
    return Subscriber(cast(Any, Gone()), join_leave=False, delta=False)


@pytest.fixture
async def broker() -> SlowBroker:
    """The engine."""
    return SlowBroker()


@pytest.fixture
async def listening(broker: SlowBroker) -> AsyncIterator[Listening]:
    """What is tested."""
    listening = Listening(cast(Broker, broker), NopMetrics(), lambda channel: NO_HISTORY)
    await listening.start()
    yield listening
    await listening.stop()


async def test_two_first_subscribers_at_once_ask_the_engine_once(
    listening: Listening, broker: SlowBroker
) -> None:
    """And both get what arrives."""
    broker.gate.clear()
    one, two = subscriber(), subscriber()
    tasks = [asyncio.create_task(listening.attach("a", s)) for s in (one, two)]
    await asyncio.sleep(0)
    broker.gate.set()
    await asyncio.gather(*tasks)
    assert broker.calls == ["subscribe"]
    listening.on_publication("a", Publication(b"1"), None)
    assert len(one.gathered or ()) == len(two.gathered or ()) == 1


async def test_a_failed_subscribe_leaves_nothing_and_can_be_tried_again(
    listening: Listening, broker: SlowBroker
) -> None:
    """The error goes to the one subscription, not to the node."""
    broker.fails = True
    with pytest.raises(EngineUnavailable):
        await listening.attach("a", subscriber())
    assert listening.counts() == {}
    broker.fails = False
    await listening.attach("a", subscriber())
    assert listening.counts() == {"a": 1}


async def test_one_that_leaves_while_the_engine_is_asked_is_gone(
    listening: Listening, broker: SlowBroker
) -> None:
    """The channel is let go in the end, and not forgotten in the engine."""
    broker.gate.clear()
    leaver = subscriber()
    task = asyncio.create_task(listening.attach("a", leaver))
    await asyncio.sleep(0)
    listening.detach("a", leaver)
    broker.gate.set()
    await task
    await eventually(lambda: broker.calls[-1] == "unsubscribe" and not broker.listened)
    assert listening.feed("a") is None


async def test_one_that_comes_while_the_channel_is_let_go_is_served(
    listening: Listening, broker: SlowBroker
) -> None:
    """The engine is asked anew, after it was told to stop."""
    first = subscriber()
    await listening.attach("a", first)
    listening.detach("a", first)
    broker.gate.clear()
    await eventually(lambda: "unsubscribe" in broker.calls)
    task = asyncio.create_task(listening.attach("a", subscriber()))
    await asyncio.sleep(0)
    broker.gate.set()
    await task
    assert broker.calls == ["subscribe", "unsubscribe", "subscribe"]
    assert broker.listened == {"a"}
    assert listening.counts() == {"a": 1}


async def test_an_engine_that_cannot_stop_listening_is_asked_again(
    listening: Listening, broker: SlowBroker
) -> None:
    """Nothing is lost meanwhile: a newcomer is still served."""
    first = subscriber()
    await listening.attach("a", first)
    broker.fails = True
    listening.detach("a", first)
    await eventually(lambda: broker.calls.count("unsubscribe") == 1)
    broker.fails = False
    await eventually(lambda: not broker.listened)


async def test_a_repetition_is_dropped(listening: Listening) -> None:
    """A link that was replaced may bring what the old one brought."""
    one = subscriber()
    await listening.attach("a", one)
    for offset in (1, 2, 2, 1, 3):
        listening.on_publication("a", Publication(b"x", offset=offset), Position(offset, "e"))
    assert [p.offset for p in one.gathered or ()] == [1, 2, 3]
