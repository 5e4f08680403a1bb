"""Whatever a client sends: the documented code, nobody else is touched, nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from hub.node import Node
from tests.support.hub_process import OPEN_CHANNEL, Running, running_hub
from tests.support.raw_client import BINARY, CLOSE, TEXT, RawClient, client_frame
from tests.support.waiting import eventually
from tests.support.wire_client import connected, connection_token, wire_client

QUIET = {**OPEN_CHANNEL, "join_leave": False, "force_push_join_leave": False}


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """A hub with a witness in it that must not notice anything, and nothing in it afterwards."""
    overrides = {
        "channels.without_namespace": QUIET,
        "limits.max_message_bytes": 4096,
        "limits.max_commands_per_frame": 20,
        "limits.max_pending_commands": 50,
        "limits.max_outbox_bytes": 65_536,
        "limits.close_timeout_s": 0.5,
    }
    async with running_hub(overrides) as hub:
        assert hub.hub is not None
        node = hub.hub.node
        async with connected(hub, "witness") as witness:
            await witness.subscribe("watched")
            yield hub
            await eventually(lambda: len(node.registry) == 1)
            await eventually(lambda: node.listening.counts() == {"watched": 1})
            await node.publish("watched", b'"still here"')
            assert (await witness.push())["pub"]["data"] == "still here"
            assert (await node.presence_stats("watched")).num_clients == 1


@pytest.fixture
def node(running: Running) -> Node:
    """Its node."""
    assert running.hub is not None
    return running.hub.node


MALFORMED = {
    "garbage": b"\x00\x01garbage",
    "half a command": b'{"id":2,"subscribe":{"channel":"a"',
    "an array": b"[]",
    "a number": b"17",
    "an empty frame": b"",
    "a blank line": b'{"id":2,"rpc":{}}\n\n{"id":3,"rpc":{}}',
    "invalid UTF-8": b'{"id":2,"rpc":{"data":"\xff"}}',
    "a text as id": b'{"id":"2","rpc":{}}',
    "a negative id": b'{"id":-2,"rpc":{}}',
    "a channel of the wrong type": b'{"id":2,"subscribe":{"channel":7}}',
    "deep JSON": b'{"id":2,"rpc":{"data":' + b"[" * 1500 + b"]" * 1500 + b"}}",
    "deeper still": b"[" * 4000,
    "too many commands": b"\n".join(b'{"id":%d,"rpc":{}}' % n for n in range(2, 30)),
    "no request": b'{"id":2}',
    "an unknown request": b'{"id":2,"fly":{}}',
    "a client's ping": b'{"id":2,"ping":{}}',
    "a second connect": b'{"id":2,"connect":{}}',
    "a missing channel": b'{"id":2,"history":{}}',
}


@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
async def test_a_frame_that_is_no_command_closes(running: Running, payload: bytes, opcode: int) -> None:
    """With 3501, which tells the SDK not to come back with the same."""
    async with connected(running) as client:
        client.raw.send(client_frame(opcode, payload))
        assert (await client.closed())[0] == 3501


@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED.keys())
async def test_the_same_before_anybody_connected(running: Running, payload: bytes) -> None:
    """No state is safer than another."""
    async with wire_client(running) as client:
        if payload == MALFORMED["a second connect"]:
            payload = b'{"id":1,"rpc":{}}'
        client.raw.send(client_frame(TEXT, payload))
        assert (await client.closed())[0] == 3501


@pytest.mark.parametrize("payload", [b"\xff" * 40, b"\x05\x08\x01\x22", b"\x80" * 12, b""])
async def test_protobuf_garbage_closes_too(running: Running, payload: bytes) -> None:
    """Truncated, overlong, or empty."""
    address = urlsplit(running.url)
    assert address.hostname and address.port
    async with await RawClient.connect((address.hostname, address.port)) as raw:
        await raw.upgrade(headers={"Sec-WebSocket-Protocol": "centrifuge-protobuf"})
        raw.send(client_frame(BINARY, payload))
        assert (await raw.read_close())[0] == 3501


async def test_a_message_over_the_limit_closes_with_1009(running: Running) -> None:
    """Which SDKs take for final."""
    async with connected(running) as client:
        client.raw.send(client_frame(TEXT, b"x" * 5000))
        assert (await client.closed())[0] == 1009


async def test_fragments_of_one_byte_are_one_message(running: Running) -> None:
    """However the network or a strange client cuts it."""
    async with wire_client(running) as client:
        command = b'{"id":1,"connect":{"token":"' + connection_token().encode() + b'"}}'
        await client.raw.send_one_by_one(client_frame(TEXT, command))
        assert "connect" in await client.next()
        command = b'{"id":2,"rpc":{}}'
        last = len(command) - 1
        for index in range(len(command)):
            opcode = TEXT if index == 0 else 0
            client.raw.send(client_frame(opcode, command[index : index + 1], fin=index == last))
        assert (await client.next())["error"]["code"] == 108


@pytest.mark.parametrize("cut_at", [1, 3, 9])
async def test_a_reset_in_the_middle_of_a_frame_leaves_nothing(
    running: Running, node: Node, cut_at: int
) -> None:
    """The rest will never come."""
    async with connected(running, "7") as client:
        await client.subscribe("a")
        client.raw.send(client_frame(TEXT, b'{"id":9,"rpc":{}}')[:cut_at])
        client.raw.reset()
        await eventually(lambda: node.registry.matching("7") == [])
    assert (await node.presence_stats("a")).num_clients == 0


async def test_a_client_that_stops_reading_is_cut_off(running: Running, node: Node) -> None:
    """Its outbox is bounded; the others get everything meanwhile."""
    async with (
        connected(running, "7") as reader,
        wire_client(running, receive_buffer_bytes=4096) as sleeper,
    ):
        await sleeper.connect("8")
        await sleeper.subscribe("a")
        await reader.subscribe("a")
        sleeper.raw.pause()
        payload = b'"' + b"x" * 8000 + b'"'
        sent = 0
        while node.registry.matching("8"):
            await node.publish("a", payload)
            sent += 1
            assert len((await reader.push())["pub"]["data"]) == 8000
            assert sent < 5000, "the sleeper was never cut off"
        assert (await node.presence_stats("a")).num_clients == 1


async def test_a_flood_of_commands_is_read_no_faster_than_served(running: Running, node: Node) -> None:
    """Waiting commands are bounded, and all are answered in the end."""
    async with connected(running) as client:
        gate = asyncio.Event()
        seen: list[int] = []

        async def slow(connection: object, data: bytes) -> bytes:
            await gate.wait()
            seen.append(len(connection._pending or ()))  # type: ignore[attr-defined]
            return data

        assert running.hub is not None
        running.hub.rpc_methods["slow"] = slow
        total = 400
        for first in range(0, total, 10):
            client.send(
                *[client.command(rpc={"method": "slow", "data": 1}) for _ in range(first, first + 10)]
            )
        gate.set()
        replies = [await client.next() for _ in range(total)]
        assert [r["id"] for r in replies] == list(range(2, total + 2))
        assert max(seen) <= 50 + 20


async def test_a_client_that_half_closes_is_gone(running: Running, node: Node) -> None:
    """Without a close frame, as a crashed app does it."""
    async with connected(running, "7") as client:
        client.raw.half_close()
        await eventually(lambda: node.registry.matching("7") == [])


async def test_a_close_frame_is_answered(running: Running) -> None:
    """The closing handshake is the client's to start as well (RFC 6455, 5.5.1)."""
    async with connected(running) as client:
        client.raw.send(client_frame(CLOSE, b"\x03\xe8"))
        assert (await client.closed())[0] == 1000


async def test_closing_while_a_subscribe_is_under_way(running: Running, node: Node) -> None:
    """The connection ends in the middle of a subscribe, and presence does not keep a ghost."""
    gate, entered = asyncio.Event(), asyncio.Event()
    add = node.engine.presence.add

    async def slow_add(*args: Any) -> None:
        entered.set()
        await gate.wait()
        await add(*args)

    node.engine.presence.add = slow_add  # type: ignore[method-assign]
    async with connected(running, "7") as client:
        client.send(client.command(subscribe={"channel": "a"}))
        await asyncio.wait_for(entered.wait(), 5)
    await eventually(lambda: node.registry.matching("7") == [])
    node.engine.presence.add = add  # type: ignore[method-assign]
    gate.set()
    await eventually(lambda: node.listening.counts() == {"watched": 1})
    await eventually(lambda: not node._detached)
    assert (await node.presence_stats("a")).num_clients == 0


async def test_many_bad_clients_at_once_hurt_nobody(running: Running) -> None:
    """Each gets its own code."""

    async def misbehave(payload: bytes) -> int:
        async with connected(running) as client:
            client.raw.send(client_frame(TEXT, payload))
            return (await client.closed())[0]

    codes = await asyncio.gather(*(misbehave(payload) for payload in MALFORMED.values() for _ in range(5)))
    assert set(codes) == {3501}
