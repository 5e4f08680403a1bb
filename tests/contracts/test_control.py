"""What every control promises: each living node is asked, and the answers come back in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hub.engine import Answer, Control, Request
from hub.errors import EngineUnavailable
from tests.contracts.engines import World
from tests.support.waiting import eventually

TIMEOUT_S = 10.0


class Handler:
    """Answers with the request; ``gate`` holds the answer back."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.answered = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def on_control(self, request: Request) -> Answer:
        """Remember it, and answer when the gate is open."""
        self.asked.append(request)
        await self.gate.wait()
        self.answered += 1
        return {"got": dict(request)}


@pytest.fixture
def handler() -> Handler:
    """The node's side."""
    return Handler()


@pytest.fixture
async def control(world: World, handler: Handler) -> AsyncIterator[Control]:
    """The control of a node that runs."""
    await world.engine.control.start(handler)
    yield world.engine.control
    await world.engine.control.stop()


class TestControl:
    """One node of which it is known that it lives: the asking one itself."""

    async def test_asks_the_asking_node_too(self, control: Control, handler: Handler) -> None:
        """What is asked and answered travels unchanged."""
        request = {"do": "x", "text": "é\u2028", "none": None, "list": [1, {"a": True}], "big": 2**53}
        assert await control.ask_all(request, timeout_s=TIMEOUT_S) == [{"got": request}]
        assert handler.asked == [request]

    async def test_answers_do_not_get_mixed_up(self, control: Control) -> None:
        """Each asker gets the answer to its own request."""
        requests = [{"do": "x", "number": number} for number in range(50)]
        answers = await asyncio.gather(*(control.ask_all(each, timeout_s=TIMEOUT_S) for each in requests))
        assert answers == [[{"got": request}] for request in requests]

    async def test_a_slow_answer_is_left_out(self, control: Control, handler: Handler) -> None:
        """The asker waits no longer than it said, and what was asked for is done all the same."""
        handler.gate.clear()
        async with asyncio.timeout(TIMEOUT_S):
            assert await control.ask_all({"do": "slow"}, timeout_s=0.05) == []
        assert handler.asked == [{"do": "slow"}]
        handler.gate.set()
        assert await control.ask_all({"do": "quick"}, timeout_s=TIMEOUT_S) == [{"got": {"do": "quick"}}]
        assert handler.answered == 2

    async def test_an_asker_that_gives_up_stops_nothing(self, control: Control, handler: Handler) -> None:
        """A request once handed on is carried out; one asker's end does not disturb the next."""
        handler.gate.clear()
        asking = asyncio.create_task(control.ask_all({"do": "slow"}, timeout_s=TIMEOUT_S))
        await eventually(lambda: len(handler.asked) == 1, TIMEOUT_S)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        handler.gate.set()
        await control.ask_all({"do": "quick"}, timeout_s=TIMEOUT_S)
        await eventually(lambda: handler.answered == 2, TIMEOUT_S)

    async def test_a_stopped_node_cannot_ask(self, world: World, handler: Handler) -> None:
        """Before the start and after the end it says so, instead of answering for nobody."""
        control = world.engine.control
        with pytest.raises(EngineUnavailable):
            await control.ask_all({"do": "x"}, timeout_s=TIMEOUT_S)
        await control.start(handler)
        await control.stop()
        with pytest.raises(EngineUnavailable):
            await control.ask_all({"do": "x"}, timeout_s=TIMEOUT_S)
        assert handler.asked == []
