"""What the server side does to connections, seen on the wire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from hub.channels import Override
from hub.errors import Disconnect, HubError
from hub.model import Position
from hub.node import Node
from tests.support.hub_process import OPEN_CHANNEL, Running, running_hub
from tests.support.wire_client import connected, wire_client

QUIET = {**OPEN_CHANNEL, "join_leave": False, "force_push_join_leave": False}


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """A hub whose channels are quiet and closed to clients."""
    quiet = {**QUIET, "allow_subscribe_for_client": False}
    async with running_hub({"channels.without_namespace": quiet, "expiry.connection_grace_s": 0}) as hub:
        yield hub


@pytest.fixture
def node(running: Running) -> Node:
    """Its node, as the server API uses it."""
    assert running.hub is not None
    return running.hub.node


async def test_every_connection_of_the_user_is_subscribed(running: Running, node: Node) -> None:
    """And of nobody else."""
    async with (
        connected(running, "7") as one,
        connected(running, "7") as two,
        connected(running, "8") as other,
    ):
        await node.subscribe("7", "a", data=b'{"d":1}')
        for client in (one, two):
            push = await client.push()
            assert push["channel"] == "a"
            assert push["subscribe"]["data"] == {"d": 1}
            assert push["subscribe"]["recoverable"] is True
        await node.publish("a", b"1")
        assert (await one.push())["pub"]["data"] == 1
        assert (await two.push())["pub"]["data"] == 1
        assert (await other.ask(unsubscribe={"channel": "a"}))["unsubscribe"] == {}


async def test_one_connection_can_be_named(running: Running, node: Node) -> None:
    """By its client id, which must be of that user."""
    async with wire_client(running) as one, connected(running, "7") as two:
        result = await one.connect("7")
        await node.subscribe("8", "a", client=result["client"])
        await node.subscribe("7", "a", client=result["client"])
        assert "subscribe" in await one.push()
        assert (await two.ask(unsubscribe={"channel": "x"}))["unsubscribe"] == {}
        assert node.listening.counts() == {"a": 1}


async def test_a_server_side_subscription_can_start_in_the_past(running: Running, node: Node) -> None:
    """The publications follow the push that says where they begin."""
    for n in range(3):
        await node.publish("a", b"%d" % n)
    async with connected(running, "7") as client:
        await node.subscribe("7", "a", recover_since=Position(1, ""))
        assert (await client.push())["subscribe"]["offset"] == 1
        assert [(await client.push())["pub"]["offset"] for _ in range(2)] == [2, 3]


async def test_an_override_changes_one_subscription(running: Running, node: Node) -> None:
    """Here: no recovery, although the namespace forces it."""
    async with connected(running, "7") as client:
        await node.subscribe("7", "a", override=Override(force_recovery=False))
        assert "recoverable" not in (await client.push())["subscribe"]


async def test_subscribing_again_changes_nothing(running: Running, node: Node) -> None:
    """The client is not told twice."""
    async with connected(running, "7") as client:
        await node.subscribe("7", "a")
        await node.subscribe("7", "a")
        await client.push()
        assert await client.error(subscribe={"channel": "a"}) == 105


@pytest.mark.parametrize(("channel", "code"), [("nope:a", 102), ("ü", 107), ("inbox:#7", 1014)])
async def test_an_impossible_channel_is_refused(
    running: Running, node: Node, channel: str, code: int
) -> None:
    """Whether the user is connected or not."""
    with pytest.raises(HubError) as refused:
        await node.subscribe("7", channel)
    assert refused.value.error.code == code


async def test_an_unsubscribed_client_is_told(running: Running, node: Node) -> None:
    """And gets nothing more of the channel."""
    async with connected(running, "7") as client:
        await node.subscribe("7", "a")
        await client.push()
        await node.unsubscribe("7", "a")
        assert (await client.push())["unsubscribe"] == {"code": 2000, "reason": "server unsubscribe"}
        await node.publish("a", b"1")
        assert (await client.ask(unsubscribe={"channel": "a"}))["unsubscribe"] == {}


async def test_a_disconnect_spares_the_whitelist(running: Running, node: Node) -> None:
    """With the code that was asked for."""
    async with wire_client(running) as one, wire_client(running) as two:
        await one.connect("7")
        spared = (await two.connect("7"))["client"]
        await node.disconnect("7", whitelist=[spared], disconnect=Disconnect(4321, "because"))
        assert await one.closed() == (4321, "because")
        assert (await two.ask(unsubscribe={"channel": "x"}))["unsubscribe"] == {}
        assert len(node.registry) == 1


async def test_a_refresh_moves_the_expiry(running: Running, node: Node) -> None:
    """A connection that would have lived on expires, or at once."""
    async with connected(running, "7") as soon, connected(running, "8") as now:
        await node.refresh("7", expire_at_s=1)
        assert (await soon.closed())[0] == 3005
        await node.refresh("8", expired=True)
        assert (await now.closed())[0] == 3005


async def test_a_server_side_subscription_expires_with_its_connection(running: Running, node: Node) -> None:
    """The SDK has no way to refresh it alone."""
    async with running_hub({"expiry.subscription_grace_s": 0}) as hub, connected(hub, "7") as client:
        assert hub.hub is not None
        await hub.hub.node.subscribe("7", "a", expire_at_s=int(time.time()) + 1)
        while "subscribe" not in await client.push():
            pass
        opcode, payload = await client.raw.read_frame()
        while opcode != 8:
            opcode, payload = await client.raw.read_frame()
        assert int.from_bytes(payload[:2], "big") == 3006


async def test_nobody_to_act_on_is_no_error(running: Running, node: Node) -> None:
    """Users are often away."""
    await node.subscribe("7", "a")
    await node.unsubscribe("7", "a")
    await node.disconnect("7")
    await node.refresh("7")


async def test_an_emulation_session_matches_nobody(running: Running, node: Node) -> None:
    """There are none on this transport."""
    async with connected(running, "7") as client:
        await node.disconnect("7", session="s")
        assert (await client.ask(unsubscribe={"channel": "x"}))["unsubscribe"] == {}


async def test_work_for_a_connection_that_ends_meanwhile_ends_too(running: Running, node: Node) -> None:
    """Whoever waits for it is not left waiting."""
    async with connected(running, "7") as client:
        blocked = asyncio.Event()
        broker = node.engine.broker
        read = broker.history

        async def slow_history(*args: object) -> object:
            await blocked.wait()
            return await read(*args)  # type: ignore[arg-type]

        broker.history = slow_history  # type: ignore[assignment, method-assign]
        first = asyncio.create_task(node.subscribe("7", "a"))
        second = asyncio.create_task(node.subscribe("7", "b"))
        await asyncio.sleep(0)
        await node.disconnect("7")
        assert (await client.closed())[0] == 3503
        blocked.set()
        await asyncio.gather(first, second)
        broker.history = read  # type: ignore[method-assign]


async def test_descriptions_say_who_is_connected(running: Running, node: Node) -> None:
    """For operators."""
    async with wire_client(running) as client:
        result = await client.connect("7", name="js", version="5.8")
        await node.subscribe("7", "a")
        found = await node.connections("7")
        assert set(found) == {result["client"]}
        described = found[result["client"]]
        assert described["channels"] == ["a"]
        assert (described["user"], described["app_name"], described["protocol"]) == ("7", "js", "json")
        assert await node.connections(client=result["client"]) == found
        assert await node.connections("8") == {}
        assert await node.channels("a*") == {"a": 1}
        assert await node.channels("b*") == {}
        (info,) = await node.info()
        assert (info["num_clients"], info["num_users"], info["num_subs"], info["num_channels"]) == (
            1,
            1,
            1,
            1,
        )
