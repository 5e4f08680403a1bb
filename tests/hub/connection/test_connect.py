"""The connect command and the life of a connection, on the wire."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from hub.errors import STALE, EngineUnavailable
from tests.support.hub_process import Running, running_hub
from tests.support.raw_client import TEXT, RawClient
from tests.support.waiting import eventually
from tests.support.wire_client import WireClient, connected, connection_token, subscription_token, wire_client


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """A hub with quick pings and short deadlines."""
    overrides = {
        "ping.interval_s": 1,
        "ping.pong_timeout_s": 0.3,
        "limits.connect_timeout_s": 0.5,
        "limits.close_timeout_s": 0.3,
        "expiry.connection_grace_s": 0,
        "channels.personal.enabled": True,
        "channels.namespaces": [{"name": "plain"}],
    }
    async with running_hub(overrides) as hub:
        yield hub


async def test_a_connect_result_names_the_client_and_the_pings(running: Running) -> None:
    """Everything an SDK needs, and nothing that is empty."""
    async with wire_client(running) as client:
        result = await client.connect()
    assert set(result) == {"client", "version", "expires", "ttl", "ping", "pong", "subs"}
    assert (result["ping"], result["pong"], result["expires"]) == (1, True, True)
    assert 590 <= result["ttl"] <= 600
    assert result["version"]


async def test_the_personal_channel_comes_with_the_connect(running: Running) -> None:
    """Its own join follows the reply, never precedes it."""
    async with wire_client(running) as client:
        result = await client.connect("7")
        assert set(result["subs"]) == {"#7"}
        assert result["subs"]["#7"]["recoverable"] is True
        push = await client.push()
        assert (push["channel"], push["join"]["info"]["user"]) == ("#7", "7")


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("", 3501),
        ("nonsense", 3500),
        (connection_token("42")[:-3] + "AAA", 3500),
    ],
    ids=["none", "garbage", "bad signature"],
)
async def test_a_connect_that_can_never_work_closes(running: Running, token: str, code: int) -> None:
    """No reply, and a code that stops the SDK from coming back."""
    async with wire_client(running) as client:
        client.send(client.command(connect={"token": token} if token else {}))
        assert (await client.closed())[0] == code


async def test_an_expired_token_is_answered_so_that_the_client_gets_a_new_one(running: Running) -> None:
    """Error 109, then the connection is of no use any more."""
    async with wire_client(running) as client:
        code = await client.error(connect={"token": connection_token(lives_s=-1)})
        assert code == 109
        client.send(client.command(connect={"token": connection_token()}))
        assert (await client.closed())[0] == 3501


async def test_a_client_that_was_refused_must_leave(running: Running) -> None:
    """It is closed if it does not."""
    async with running_hub({"limits.close_timeout_s": 0.2}) as hub, wire_client(hub) as client:
        await client.error(connect={"token": connection_token(lives_s=-1)})
        assert (await client.closed())[0] == STALE.code


async def test_a_client_that_says_nothing_is_stale(running: Running) -> None:
    """The first command has a deadline."""
    async with wire_client(running) as client:
        assert (await client.closed())[0] == STALE.code


async def test_pipelined_commands_are_answered_in_order(running: Running) -> None:
    """An SDK sends connect and its subscribes in one frame, before any reply."""
    async with wire_client(running) as client:
        client.send(
            client.command(connect={"token": connection_token()}),
            client.command(subscribe={"channel": "a"}),
            client.command(unsubscribe={"channel": "a"}),
            client.command(subscribe={"channel": "a"}),
        )
        replies = [m for m in [await client.next() for _ in range(7)] if "id" in m]
    assert [(r["id"], *(set(r) - {"id"})) for r in replies] == [
        (1, "connect"),
        (2, "subscribe"),
        (3, "unsubscribe"),
        (4, "subscribe"),
    ]


async def test_a_pong_keeps_the_connection_and_silence_ends_it(running: Running) -> None:
    """The first ping is answered, the second is not."""
    async with wire_client(running) as client:
        await client.connect()
        await client.push()
        assert await client.next() == {}
        client.send_text("{}")
        assert await client.next() == {}
        assert (await client.closed())[0] == 3012


async def test_a_pong_nobody_asked_for_is_a_violation(running: Running) -> None:
    """It could hide a dead client behind an answer given in advance."""
    async with connected(running) as client:
        await client.push()
        client.send_text("{}")
        assert (await client.closed())[0] == 3501


async def test_a_connection_that_is_not_refreshed_expires(running: Running) -> None:
    """With the code that makes the SDK come back."""
    async with wire_client(running) as client:
        await client.connect(token=connection_token(lives_s=1), user="42")
        await client.push()
        opcode, payload = await client.raw.read_frame()
        while opcode == TEXT:
            client.send_text("{}")
            opcode, payload = await client.raw.read_frame()
        assert int.from_bytes(payload[:2], "big") == 3005


async def test_a_refresh_moves_the_expiry_and_keeps_the_subscriptions(running: Running) -> None:
    """The connection outlives its first token."""
    async with connected(running, token=connection_token(lives_s=1)) as client:
        await client.push()
        await client.subscribe("a")
        await client.push()
        reply = await client.ask(refresh={"token": connection_token(lives_s=100)})
        assert reply["refresh"]["expires"] is True
        assert reply["refresh"]["ttl"] > 90
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            assert await client.next() == {}
            client.send_text("{}")
        assert running.hub is not None
        assert running.hub.node.listening.counts() == {"#42": 1, "a": 1}


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: "garbage", 3500),
        (lambda: connection_token("43"), 3500),
        (lambda: connection_token(lives_s=-1), 3005),
        (lambda: connection_token(channels=["b"]), 3010),
        (lambda: "", 3501),
    ],
    ids=["garbage", "another user", "expired", "other channels", "empty"],
)
async def test_a_refresh_that_cannot_be_accepted_closes(running: Running, make: object, code: int) -> None:
    """Each with the code that makes the SDK do what helps."""
    async with connected(running) as client:
        await client.push()
        client.send(client.command(refresh={"token": make()}))  # type: ignore[operator]
        assert (await client.closed())[0] == code


async def test_channels_of_the_token_are_subscribed_with_their_options(running: Running) -> None:
    """``subs`` says more than ``channels``: data for the client, info for the others."""
    token = connection_token(channels=["a"], subs={"b": {"info": {"i": 1}, "data": {"d": 2}}})
    async with wire_client(running) as client:
        result = await client.connect(token=token)
        assert set(result["subs"]) == {"#42", "a", "b"}
        assert result["subs"]["b"]["data"] == {"d": 2}
        joins = {push["channel"]: push["join"]["info"] for push in [await client.push() for _ in range(3)]}
        assert joins["b"]["chan_info"] == {"i": 1}


@pytest.mark.parametrize(("channel", "code"), [("nope:1", 102), ("inbox:#42", 103), ("ü", 107)])
async def test_a_token_cannot_name_a_channel_that_must_not_be(
    running: Running, channel: str, code: int
) -> None:
    """The whole connect is refused, rather than silently less than the token says."""
    async with wire_client(running) as client:
        assert await client.error(connect={"token": connection_token(channels=[channel])}) == code
    assert running.hub is not None
    assert len(running.hub.node.registry) == 0
    await eventually(lambda: running.hub is not None and running.hub.node.listening.counts() == {})


async def test_more_server_side_channels_than_allowed_close(running: Running) -> None:
    """The client can do nothing about it."""
    token = connection_token(channels=[f"c{n}" for n in range(129)])
    async with wire_client(running) as client:
        client.send(client.command(connect={"token": token}))
        assert (await client.closed())[0] == 3505


async def test_server_side_channels_resume_where_the_client_was(running: Running) -> None:
    """What was published meanwhile is in the connect reply, once and in order."""
    assert running.hub is not None
    node = running.hub.node
    token = connection_token(channels=["a"])
    async with wire_client(running) as client:
        was = (await client.connect(token=token))["subs"]["a"]
    for n in range(3):
        await node.publish("a", b"%d" % n)
    async with wire_client(running) as client:
        resume = {"a": {"recover": True, "epoch": was["epoch"], "offset": was.get("offset", 0)}}
        now = (await client.connect(token=token, subs=resume))["subs"]["a"]
    assert now["recovered"] is True and now["was_recovering"] is True
    assert [p["data"] for p in now["publications"]] == [0, 1, 2]
    assert now.get("offset", 0) == was.get("offset", 0)


async def test_a_token_in_the_command_wins_over_the_header(running: Running) -> None:
    """And the header is enough by itself."""
    address = urlsplit(running.url)
    assert address.hostname and address.port
    header = {"Authorization": f"Bearer {connection_token('header')}"}
    for request, user in (({}, "header"), ({"token": connection_token("command")}, "command")):
        async with await RawClient.connect((address.hostname, address.port)) as raw:
            await raw.upgrade(headers=header)
            client = WireClient(raw)
            reply = await client.ask(connect=request)
            assert f"#{user}" in reply["connect"]["subs"]


async def test_what_was_sent_behind_a_refused_connect_is_not_looked_at(running: Running) -> None:
    """The client gets its 109, and not a close that would stop it from coming back."""
    async with wire_client(running) as client:
        client.send(
            client.command(connect={"token": connection_token(lives_s=-1)}),
            client.command(subscribe={"channel": "a"}),
        )
        assert (await client.next())["error"]["code"] == 109
        assert (await client.closed())[0] == STALE.code


async def test_a_token_within_its_leeway_has_not_expired() -> None:
    """What is accepted is not answered as expired in the same breath."""
    async with running_hub({"auth.leeway_s": 60}) as hub, wire_client(hub) as client:
        result = await client.connect(token=connection_token(lives_s=-5))
        assert 50 <= result["ttl"] <= 56
        assert "subscribe" in await client.ask(
            subscribe={"channel": "a", "token": subscription_token("a", lives_s=-5)}
        )


async def test_an_engine_that_fails_after_the_reply_makes_no_second_reply(running: Running) -> None:
    """The client is in, whether the others learn of it or not."""
    assert running.hub is not None
    broker = running.hub.node.engine.broker

    async def no_join(*args: object) -> None:
        raise EngineUnavailable

    async with connected(running) as client:
        await client.push()
        broker.publish_join = no_join  # type: ignore[method-assign]
        await client.subscribe("a")
        broker.publish_leave = no_join  # type: ignore[method-assign]
        assert (await client.ask(unsubscribe={"channel": "a"}))["unsubscribe"] == {}
