"""Publish, history, presence, rpc and send, on the wire."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from msgspec import Raw

from hub.errors import PERMISSION_DENIED, HubError
from hub.node import Node
from hub.protocol import Command, ProtobufCodec
from hub.protocol import messages as m
from tests.support.hub_process import OPEN_CHANNEL, Running, running_hub
from tests.support.raw_client import BINARY, RawClient, client_frame
from tests.support.wire_client import Json, connected, connection_token

NAMESPACES = [
    {"name": "closed"},
    {
        **OPEN_CHANNEL,
        "name": "members",
        "allow_publish_for_client": False,
        "allow_publish_for_subscriber": True,
    },
]


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """A hub where most is allowed."""
    overrides = {"channels.namespaces": NAMESPACES, "limits.history_max_limit": 4}
    async with running_hub(overrides) as hub:
        yield hub


@pytest.fixture
def node(running: Running) -> Node:
    """Its node, to publish with."""
    assert running.hub is not None
    return running.hub.node


async def test_a_publisher_is_named_to_the_subscribers(running: Running) -> None:
    """And receives its own publication, byte for byte, when subscribed."""
    async with connected(running, "7") as client:
        await client.subscribe("a")
        await client.push()
        client.send_text('{"id":9,"publish":{"channel":"a","data":{"n": 1.0,  "b":"\\u00fc"}}}')
        opcode, payload = await client.raw.read_frame()
        assert opcode == 1
        assert b'"data":{"n": 1.0,  "b":"\\u00fc"}' in payload
        assert b'"user":"7"' in payload
        assert await client.next() == {"id": 9, "publish": {}}


@pytest.mark.parametrize(
    ("channel", "code"),
    [("closed:a", 103), ("nope:a", 102), ("inbox:#42", 103), ("members:a", 103), ("ü", 107)],
)
async def test_a_publish_may_be_refused(running: Running, channel: str, code: int) -> None:
    """With the code that says why."""
    async with connected(running) as client:
        assert await client.error(publish={"channel": channel, "data": 1}) == code


async def test_members_may_publish_where_others_may_not(running: Running) -> None:
    """Subscribing is what makes the difference."""
    async with connected(running) as client:
        await client.subscribe("members:a")
        await client.push()
        client.send(client.command(publish={"channel": "members:a", "data": 1}))
        kinds = {next(iter(set(m) & {"push", "publish"})) for m in [await client.next(), await client.next()]}
        assert kinds == {"push", "publish"}


@pytest.mark.parametrize(
    ("request_", "offsets"),
    [
        ({}, []),
        ({"limit": 2}, [1, 2]),
        ({"limit": 2, "reverse": True}, [6, 5]),
        ({"limit": -1}, [1, 2, 3, 4]),
        ({"limit": 100}, [1, 2, 3, 4]),
        ({"limit": 2, "since": {"offset": 3}}, [4, 5]),
        ({"limit": 2, "since": {"offset": 3}, "reverse": True}, [2, 1]),
    ],
    ids=str,
)
async def test_history_is_read_by_pages(
    running: Running, node: Node, request_: Json, offsets: list[int]
) -> None:
    """No limit asks for the position alone; the hub's own limit caps every page."""
    for n in range(1, 7):
        await node.publish("a", b"%d" % n)
    async with connected(running) as client:
        history = (await client.ask(history={"channel": "a", **request_}))["history"]
        assert [p["offset"] for p in history["publications"]] == offsets
        assert history["offset"] == 6
        assert history["epoch"]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"channel": "a", "since": {"offset": 1, "epoch": "another"}}, 112),
        ({"channel": "a", "limit": 1, "since": {"offset": 0}, "reverse": True}, 107),
        ({"channel": "a", "limit": -2}, 107),
        ({"channel": "closed:a"}, 108),
        ({"channel": "inbox:#43"}, 103),
    ],
    ids=str,
)
async def test_a_history_call_may_be_refused(running: Running, request_: Json, code: int) -> None:
    """With the code that says why."""
    async with connected(running) as client:
        assert await client.error(history=request_) == code


async def test_presence_lists_and_counts(running: Running) -> None:
    """Two connections of one user are two clients and one user."""
    async with connected(running, "7") as one, connected(running, "7") as two:
        await one.subscribe("a")
        await one.push()
        await two.subscribe("a")
        await two.push()
        presence = (await two.ask(presence={"channel": "a"}))["presence"]["presence"]
        assert {info["user"] for info in presence.values()} == {"7"}
        assert all(info["client"] == client for client, info in presence.items())
        stats = (await two.ask(presence_stats={"channel": "a"}))["presence_stats"]
        assert stats == {"num_clients": 2, "num_users": 1}
        assert await two.error(presence={"channel": "closed:a"}) == 108


async def test_without_methods_every_rpc_is_not_available(running: Running) -> None:
    """And the connection goes on."""
    async with connected(running) as client:
        assert await client.error(rpc={"method": "x", "data": 1}) == 108


async def test_rpc_methods_answer_or_refuse(running: Running) -> None:
    """Unknown ones are told apart from refused ones."""
    assert running.hub is not None
    methods = running.hub.rpc_methods

    async def double(connection: object, data: bytes) -> bytes:
        return data + data

    async def never(connection: object, data: bytes) -> bytes:
        raise HubError(PERMISSION_DENIED)

    async def broken(connection: object, data: bytes) -> bytes:
        raise ZeroDivisionError

    methods.update({"double": double, "never": never, "broken": broken})
    async with connected(running) as client:
        assert (await client.ask(rpc={"method": "double", "data": 4}))["rpc"] == {"data": 44}
        assert await client.error(rpc={"method": "never"}) == 103
        assert await client.error(rpc={"method": "unknown"}) == 104
        reply = await client.ask(rpc={"method": "broken"})
        assert (reply["error"]["code"], reply["error"]["temporary"]) == (100, True)


async def test_a_one_way_message_has_no_taker(running: Running) -> None:
    """It has no reply to say so, hence the close."""
    async with connected(running) as client:
        client.send({"send": {"data": 1}})
        assert (await client.closed())[0] == 3508


async def test_many_commands_of_one_client_do_not_hold_up_the_others(running: Running, node: Node) -> None:
    """However fast the engine is, the loop gets its turn."""
    for _ in range(4):
        # Escapes are what takes longest to check.
        await node.publish("a", b'"' + b"\\n" * 10_000 + b'"')
    async with connected(running, "7") as greedy, connected(running, "8") as patient:
        greedy.send(*[greedy.command(history={"channel": "a", "limit": -1}) for _ in range(900)])
        assert (await patient.ask(unsubscribe={"channel": "x"}))["unsubscribe"] == {}
        served = 0
        while greedy_has_more(running):
            served += 1
            await asyncio.sleep(0)
        assert served > 0, "everything was served before anybody else"


def greedy_has_more(running: Running) -> bool:
    """Whether the greedy client's commands are still being served."""
    assert running.hub is not None
    return any(getattr(c, "_pending", None) for c in running.hub.node.registry.matching("7"))


async def test_data_that_is_not_json_is_refused_inside_protobuf_too(running: Running, node: Node) -> None:
    """Else one client could throw every JSON subscriber out."""
    address = urlsplit(running.url)
    assert address.hostname and address.port
    codec = ProtobufCodec()
    async with (
        connected(running, "7") as reader,
        await RawClient.connect((address.hostname, address.port)) as raw,
    ):
        await reader.subscribe("a")
        await reader.push()
        await raw.upgrade(headers={"Sec-WebSocket-Protocol": codec.subprotocol})
        commands = [
            Command(id=1, connect=m.ConnectRequest(token=connection_token("8"))),
            Command(id=2, publish=m.PublishRequest("a", Raw(b"\xff\xfe{"))),
            Command(id=3, publish=m.PublishRequest("a", Raw(b"[1]"))),
        ]
        raw.send(client_frame(BINARY, b"".join(codec.encode_command(command) for command in commands)))
        replies = []
        while len(replies) < 3:
            replies += codec.decode_replies((await raw.read_frame())[1])
        assert replies[1].error is not None and replies[1].error.code == 107
        assert replies[2].publish is not None
        assert (await reader.push())["pub"]["data"] == [1]


async def test_info_that_is_not_json_is_left_out_of_presence(running: Running) -> None:
    """It may be of use to Protobuf clients; a JSON client is shown who is there all the same."""
    token = connection_token("8", extra_claims={"b64info": base64.b64encode(b"\xff").decode()})
    async with connected(running, "7") as reader, connected(running, "8", token=token) as odd:
        await odd.subscribe("a")
        presence = (await reader.ask(presence={"channel": "a"}))["presence"]["presence"]
        (info,) = presence.values()
        assert set(info) == {"user", "client"}
