"""What waits for a page that watches is bounded, and what is left out is counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub.console.watching import MAX_WAITING_BYTES, Watch
from hub.fanout import Turn
from hub.node import Node
from tests.hub.console.nodes import make_node


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    """One that runs, without history."""
    node = make_node()
    await node.start()
    yield node
    await node.stop()


def told(chunk: bytes) -> list[dict[str, Any]]:
    """The lines of what a page was sent."""
    return [json.loads(line) for line in chunk.splitlines()]


async def test_a_page_that_does_not_read_holds_no_more_than_the_bound(node: Node) -> None:
    """It is told how many it did not get, and goes on from there."""
    watch = Watch("room", node.listening, Turn(asyncio.get_running_loop()))
    await watch.open()
    lines = watch.lines()
    assert [each["type"] for each in told(await anext(lines))] == ["watching"]
    count = 100
    data = json.dumps("x" * (MAX_WAITING_BYTES // 20)).encode()
    for _ in range(count):
        await node.publish("room", data)
        await asyncio.sleep(0)
    chunk = await anext(lines)
    assert len(chunk) < MAX_WAITING_BYTES + 100
    *shown, left_out = told(chunk)
    assert {each["type"] for each in shown} == {"publication"}
    assert left_out == {"type": "left_out", "count": count - len(shown)}
    await node.publish("room", b"1")
    assert [each["data"] for each in told(await anext(lines))] == [1]
    watch.close()


async def test_a_watch_that_is_closed_tells_nothing_more(node: Node) -> None:
    """And closing it again is no mistake."""
    watch = Watch("room", node.listening, Turn(asyncio.get_running_loop()))
    await watch.open()
    watch.close()
    watch.close()
    await node.publish("room", b"1")
    assert [chunk async for chunk in watch.lines()] == []
    assert node.listening.counts() == {}


async def test_a_loss_is_told(node: Node) -> None:
    """As a subscriber would be told of it."""
    watch = Watch("room", node.listening, Turn(asyncio.get_running_loop()))
    await watch.open()
    watch.on_gap("room")
    assert [each["type"] for each in told(await anext(watch.lines()))] == ["watching", "gap"]
    watch.close()
