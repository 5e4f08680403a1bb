"""Subscribing, resuming and leaving, on the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub.errors import INSUFFICIENT_STATE_UNSUBSCRIBE, EngineUnavailable
from hub.model import HistoryFilter, HistoryPage, HistoryPolicy
from hub.node import Node
from hub.protocol import apply_delta
from tests.support.hub_process import OPEN_CHANNEL, Running, running_hub
from tests.support.waiting import eventually
from tests.support.wire_client import Json, connected, subscription_token, wire_client

QUIET = {**OPEN_CHANNEL, "join_leave": False, "force_push_join_leave": False}
NAMESPACES: list[dict[str, Any]] = [
    {**QUIET, "name": "quiet"},
    {**QUIET, "name": "small", "history_size": 2},
    {**QUIET, "name": "cache", "force_recovery_mode": "cache"},
    {**QUIET, "name": "asking", "force_recovery": False, "allow_recovery": True, "allow_positioning": True},
    {**QUIET, "name": "delta", "delta_publish": True},
    {"name": "closed"},
    {"name": "passing", "allow_subscribe_for_client": True},
    {**OPEN_CHANNEL, "name": "joins", "force_push_join_leave": False},
]


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """A hub with a namespace for each habit."""
    async with running_hub(
        {"channels.namespaces": NAMESPACES, "limits.max_channels": 4, "expiry.subscription_grace_s": 0}
    ) as hub:
        yield hub


@pytest.fixture
def node(running: Running) -> Node:
    """Its node, to publish with."""
    assert running.hub is not None
    return running.hub.node


async def publish_unseen(node: Node, channel: str, data: bytes) -> None:
    """Publish so that the stream has it and the node hears nothing of it, as a broken link would."""
    broker: Any = node.engine.broker
    events, broker._events = broker._events, None
    try:
        await node.publish(channel, data)
    finally:
        broker._events = events


def resume(result: Json) -> Json:
    """What a client asks for that comes back to where ``result`` left it."""
    publications = result.get("publications", [])
    offset = publications[-1]["offset"] if publications else result.get("offset", 0)
    return {"recover": True, "epoch": result["epoch"], "offset": offset}


async def test_a_first_subscribe_tells_where_the_stream_stands(running: Running, node: Node) -> None:
    """The epoch is there before anything was published, and is the same for everybody."""
    async with connected(running) as client, connected(running) as other:
        first = await client.subscribe("quiet:a")
        assert set(first) == {"recoverable", "positioned", "epoch"}
        await node.publish("quiet:a", b"1")
        assert (await client.push())["pub"]["offset"] == 1
        second = await other.subscribe("quiet:a")
        assert (second["epoch"], second["offset"]) == (first["epoch"], 1)
        assert "recovered" not in second


async def test_the_own_join_follows_the_reply_and_others_see_the_leave(running: Running) -> None:
    """The leaver itself sees nothing of it."""
    async with connected(running, "7") as watcher, connected(running, "8") as client:
        await watcher.subscribe("a")
        assert (await watcher.push())["join"]["info"]["user"] == "7"
        await client.subscribe("a")
        assert (await client.push())["join"]["info"]["user"] == "8"
        assert (await watcher.push())["join"]["info"]["user"] == "8"
        assert "unsubscribe" in await client.ask(unsubscribe={"channel": "a"})
        assert (await watcher.push())["leave"]["info"]["user"] == "8"
        assert "presence_stats" in await client.ask(presence_stats={"channel": "a"})


async def test_join_and_leave_are_pushed_on_request_where_they_are_not_forced(running: Running) -> None:
    """Only to who asked."""
    async with connected(running, "7") as asking, connected(running, "8") as silent:
        await asking.subscribe("joins:a", join_leave=True)
        assert "join" in await asking.push()
        await silent.subscribe("joins:a")
        assert (await asking.push())["join"]["info"]["user"] == "8"
        assert "presence" in await silent.ask(presence={"channel": "joins:a"})


async def test_a_closed_connection_leaves_presence_at_once(running: Running, node: Node) -> None:
    """And the others are told."""
    async with connected(running, "7") as watcher:
        await watcher.subscribe("a")
        await watcher.push()
        async with connected(running, "8") as client:
            await client.subscribe("a")
            await watcher.push()
            assert (await node.presence_stats("a")).num_clients == 2
        assert (await watcher.push())["leave"]["info"]["user"] == "8"
        assert (await node.presence_stats("a")).num_clients == 1


@pytest.mark.parametrize(
    ("channel", "code"),
    [
        ("closed:a", 103),
        ("nope:a", 102),
        ("inbox:#42", 103),
        ("$quiet:a", 103),
        ("quiet:a#43", 103),
        ("ü", 107),
    ],
)
async def test_a_refused_subscribe_leaves_the_connection_be(
    running: Running, channel: str, code: int
) -> None:
    """With the code that says why."""
    async with connected(running) as client:
        assert await client.error(subscribe={"channel": channel}) == code
        assert "subscribe" in await client.ask(subscribe={"channel": "quiet:a"})


async def test_subscribing_twice_and_too_often_is_refused(running: Running) -> None:
    """105, and 106 at the limit of channels."""
    async with connected(running) as client:
        await client.subscribe("quiet:0")
        assert await client.error(subscribe={"channel": "quiet:0"}) == 105
        for n in range(1, 4):
            await client.subscribe(f"quiet:{n}")
        assert await client.error(subscribe={"channel": "quiet:4"}) == 106


async def test_a_subscription_token_opens_what_is_closed(running: Running) -> None:
    """With its own info, data and expiry."""
    token = subscription_token("closed:a", extra_claims={"info": {"i": 1}, "data": {"d": 2}})
    async with connected(running) as client:
        result = await client.subscribe("closed:a", token=token)
        assert result["data"] == {"d": 2}
        assert result["expires"] is True and result["ttl"] > 500


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("garbage", 103),
        (subscription_token("closed:a", lives_s=-1), 109),
        (subscription_token("inbox:#42"), None),
    ],
    ids=["garbage", "expired", "another channel"],
)
async def test_a_bad_subscription_token_is_an_error_and_a_foreign_one_the_end(
    running: Running, token: str, code: int | None
) -> None:
    """Only a token that is somebody's, but not for this, closes."""
    async with connected(running) as client:
        client.send(client.command(subscribe={"channel": "closed:a", "token": token}))
        if code is None:
            assert (await client.closed())[0] == 3500
        else:
            assert (await client.next())["error"]["code"] == code


async def test_no_token_opens_an_inbox(running: Running) -> None:
    """Only the hub itself attaches a user to theirs."""
    async with connected(running) as client:
        token = subscription_token("inbox:#42")
        assert await client.error(subscribe={"channel": "inbox:#42", "token": token}) == 103


async def test_a_subscription_that_is_not_refreshed_ends(running: Running) -> None:
    """With the code that makes the SDK subscribe again."""
    async with connected(running) as client:
        await client.subscribe("closed:a", token=subscription_token("closed:a", lives_s=1))
        assert (await client.push())["unsubscribe"] == {"code": 2501, "reason": "subscription expired"}


@pytest.mark.parametrize("names_channel", [True, False])
async def test_a_subscription_is_refreshed_in_place(running: Running, names_channel: bool) -> None:
    """An empty channel is taken from the token: centrifuge-python sends none."""
    async with connected(running) as client:
        await client.subscribe("closed:a", token=subscription_token("closed:a", lives_s=1))
        request = {"token": subscription_token("closed:a", lives_s=900)}
        if names_channel:
            request["channel"] = "closed:a"
        reply = await client.ask(sub_refresh=request)
        assert reply["sub_refresh"]["expires"] is True
        assert reply["sub_refresh"]["ttl"] > 800


async def test_a_client_that_comes_back_gets_what_it_missed(running: Running, node: Node) -> None:
    """Once, in order, and its position is the one it asked from."""
    async with connected(running) as client:
        was = await client.subscribe("quiet:a")
    for n in range(5):
        await node.publish("quiet:a", b"%d" % n)
    async with connected(running) as client:
        now = await client.subscribe("quiet:a", **resume(was))
        assert now["recovered"] is True and now["was_recovering"] is True
        assert [(p["offset"], p["data"]) for p in now["publications"]] == [(n + 1, n) for n in range(5)]
        assert now.get("offset", 0) == 0
        await node.publish("quiet:a", b"5")
        assert (await client.push())["pub"]["offset"] == 6


async def test_nothing_missed_is_recovered_too(running: Running, node: Node) -> None:
    """With the requested offset and no publications."""
    await node.publish("quiet:a", b"1")
    async with connected(running) as client:
        was = await client.subscribe("quiet:a")
        await client.ask(unsubscribe={"channel": "quiet:a"})
        now = await client.subscribe("quiet:a", **resume(was))
    assert (now["recovered"], now["offset"], now.get("publications")) == (True, 1, None)


@pytest.mark.parametrize(
    "cursor",
    [{"epoch": "other", "offset": 3}, {"offset": 99}, {"offset": 1}],
    ids=["another epoch", "from the future", "too old"],
)
async def test_a_cursor_that_cannot_be_served_says_so(running: Running, node: Node, cursor: Json) -> None:
    """Not recovered, at the top, and 112 for who wants that."""
    for n in range(5):
        await node.publish("small:a", b"%d" % n)
    async with connected(running) as client:
        top = await client.subscribe("small:a")
        await client.ask(unsubscribe={"channel": "small:a"})
        request = {"recover": True, "epoch": top["epoch"], **cursor}
        assert await client.error(subscribe={"channel": "small:a", "flag": 2, **request}) == 112
        now = await client.subscribe("small:a", **request)
    assert (now.get("recovered", False), now["was_recovering"]) == (False, True)
    assert (now["offset"], now["epoch"]) == (5, top["epoch"])
    assert "publications" not in now


async def test_cache_recovery_gives_the_newest_value_and_no_other(running: Running, node: Node) -> None:
    """At every subscribe, unless the client has it."""
    async with connected(running) as client:
        empty = await client.subscribe("cache:a")
        assert "publications" not in empty and "recovered" not in empty
        await client.ask(unsubscribe={"channel": "cache:a"})
        for n in range(3):
            await node.publish("cache:a", b"%d" % n)
        fresh = await client.subscribe("cache:a")
        assert fresh["recovered"] is True
        assert [p["data"] for p in fresh["publications"]] == [2]
        await client.ask(unsubscribe={"channel": "cache:a"})
        again = await client.subscribe("cache:a", **resume(fresh))
        assert again["recovered"] is True and "publications" not in again


async def test_recovery_and_positions_are_given_on_request_where_they_are_not_forced(
    running: Running,
) -> None:
    """And not otherwise."""
    async with connected(running) as client:
        for request, expected in (
            ({}, set()),
            ({"positioned": True}, {"positioned", "epoch"}),
            ({"recoverable": True}, {"positioned", "recoverable", "epoch"}),
        ):
            result = await client.subscribe("asking:a", **request)
            assert set(result) == expected
            await client.ask(unsubscribe={"channel": "asking:a"})


async def test_a_channel_without_history_gives_no_positions(running: Running, node: Node) -> None:
    """A resume in it says that it was one, and nothing else."""
    async with connected(running) as client:
        result = await client.subscribe("passing:a", recover=True, epoch="x", offset=3)
        assert result == {"was_recovering": True}
        await node.publish("passing:a", b"{}")
        assert set((await client.push())["pub"]) == {"data", "time"}


async def test_publications_while_the_history_is_read_come_once(running: Running, node: Node) -> None:
    """Neither lost nor doubled, however they fall around the reply."""
    async with connected(running) as client:
        was = await client.subscribe("quiet:a")
        await client.ask(unsubscribe={"channel": "quiet:a"})
        broker = node.engine.broker
        read = broker.history

        async def slow_history(*args: Any) -> Any:
            await node.publish("quiet:a", b"1")
            page = await read(*args)
            await node.publish("quiet:a", b"2")
            await asyncio.sleep(0)
            return page

        broker.history = slow_history  # type: ignore[method-assign]
        now = await client.subscribe("quiet:a", **resume(was))
        assert [p["offset"] for p in now["publications"]] == [1]
        assert (await client.push())["pub"]["offset"] == 2
        await node.publish("quiet:a", b"3")
        assert (await client.push())["pub"]["offset"] == 3


async def test_a_stream_is_read_once_by_the_first_who_misses_nothing(running: Running, node: Node) -> None:
    """Where listening begins, its top is known: only missing publications are worth another read."""
    asked: list[HistoryFilter] = []
    read = node.engine.broker.history

    async def watched(channel: str, wanted: HistoryFilter, policy: HistoryPolicy) -> HistoryPage:
        asked.append(wanted)
        return await read(channel, wanted, policy)

    node.engine.broker.history = watched  # type: ignore[method-assign]
    await node.publish("quiet:a", b"1")
    async with connected(running) as first, connected(running) as second:
        was = await first.subscribe("quiet:a")
        assert was["offset"] == 1 and not asked
        await second.subscribe("quiet:a")
        assert [wanted.limit for wanted in asked] == [0]
        await node.publish("quiet:a", b"2")
        assert (await first.push())["pub"]["offset"] == 2


async def test_a_failing_engine_refuses_the_subscribe_and_leaves_nothing(
    running: Running, node: Node
) -> None:
    """A temporary error, so that the SDK tries again; the connection goes on."""

    async def no_history(*args: Any) -> Any:
        raise EngineUnavailable

    async with connected(running) as client:
        await node.publish("quiet:a", b"1")
        read, node.engine.broker.history = node.engine.broker.history, no_history  # type: ignore[method-assign]
        reply = await client.ask(subscribe={"channel": "quiet:a", "recover": True})
        assert (reply["error"]["code"], reply["error"]["temporary"]) == (100, True)
        assert (await node.presence_stats("quiet:a")).num_clients == 0
        assert node.listening.counts() == {}
        node.engine.broker.history = read  # type: ignore[method-assign]
        await client.subscribe("quiet:a")


async def test_a_publication_that_is_lost_on_the_way_is_made_good(running: Running, node: Node) -> None:
    """From the stream, in order, before any client notices."""
    async with connected(running) as client:
        await client.subscribe("quiet:a")
        await node.publish("quiet:a", b"1")
        await publish_unseen(node, "quiet:a", b"2")
        await node.publish("quiet:a", b"3")
        assert [(await client.push())["pub"]["data"] for _ in range(3)] == [1, 2, 3]


async def test_a_publication_that_is_lost_for_good_is_told_to_who_keeps_positions(
    running: Running, node: Node
) -> None:
    """They subscribe again and learn that it was not all; the others just go on."""
    async with connected(running) as client, connected(running) as careless:
        was = await client.subscribe("asking:a", recoverable=True)
        await careless.subscribe("asking:a")
        await publish_unseen(node, "asking:a", b"1")
        await node.engine.broker.remove_history("asking:a")
        await node.publish("asking:a", b"2")
        told = (await client.push())["unsubscribe"]
        assert told["code"] == INSUFFICIENT_STATE_UNSUBSCRIBE.code
        now = await client.subscribe("asking:a", recoverable=True, **resume(was))
        assert now["was_recovering"] is True and "recovered" not in now
        await node.publish("asking:a", b"3")
        assert [(await careless.push())["pub"]["data"] for _ in range(2)] == [2, 3]


async def test_delta_sends_the_first_whole_and_then_patches(running: Running, node: Node) -> None:
    """As JSON strings of the exact bytes, each patch against the publication before."""
    documents = [json.dumps({"n": n, "text": "x" * 300}) for n in range(4)]
    async with connected(running) as client, connected(running) as plain:
        assert (await client.subscribe("delta:a", delta="fossil"))["delta"] is True
        await plain.subscribe("delta:a")
        for document in documents[:3]:
            await node.publish("delta:a", document.encode())
        pushed = [(await client.push())["pub"] for _ in range(3)]
        assert [p.get("delta", False) for p in pushed] == [False, True, True]
        text = pushed[0]["data"].encode()
        for each, document in zip(pushed[1:], documents[1:3], strict=True):
            assert len(each["data"]) < 60
            text = apply_delta(text, each["data"].encode())
            assert text == document.encode()
        assert [(await plain.push())["pub"]["data"] for _ in range(3)] == [
            json.loads(d) for d in documents[:3]
        ]


async def test_a_recovered_delta_chain_continues_live(running: Running, node: Node) -> None:
    """First whole, then patches, and the next live one starts from the last recovered."""
    documents = [json.dumps({"n": n, "text": "y" * 300}).encode() for n in range(4)]
    async with connected(running) as keeper, connected(running) as client:
        await keeper.subscribe("delta:a")
        was = await client.subscribe("delta:a", delta="fossil")
        await client.ask(unsubscribe={"channel": "delta:a"})
        for document in documents[:3]:
            await node.publish("delta:a", document)
        now = await client.subscribe("delta:a", delta="fossil", **resume(was))
        chain = now["publications"]
        assert [p.get("delta", False) for p in chain] == [False, True, True]
        text = chain[0]["data"].encode()
        for each in chain[1:]:
            text = apply_delta(text, each["data"].encode())
        assert text == documents[2]
        await node.publish("delta:a", documents[3])
        live = (await client.push())["pub"]
        assert live["delta"] is True
        assert apply_delta(text, live["data"].encode()) == documents[3]


async def test_an_unsubscribe_from_anything_succeeds(running: Running) -> None:
    """SDKs take an error for a broken connection."""
    async with connected(running) as client:
        assert (await client.ask(unsubscribe={"channel": "never"}))["unsubscribe"] == {}


async def test_a_payload_that_is_not_json_ends_a_json_client(running: Running, node: Node) -> None:
    """There is no way to say it in its codec; the others are not touched."""
    async with connected(running) as client, connected(running) as other:
        await client.subscribe("quiet:a")
        await other.subscribe("quiet:b")
        await node.publish("quiet:a", b"\xff\x00")
        assert (await client.closed())[0] == 3506
        await node.publish("quiet:b", b"1")
        assert (await other.push())["pub"]["data"] == 1


async def test_an_empty_channel_is_let_go(running: Running, node: Node) -> None:
    """Some time after the last subscriber left, and a new one starts it again."""
    async with wire_client(running) as client:
        await client.connect()
        await client.subscribe("quiet:a")
        await client.ask(unsubscribe={"channel": "quiet:a"})
        await eventually(lambda: node.listening.feed("quiet:a") is None)
        await client.subscribe("quiet:a")
        await node.publish("quiet:a", b"1")
        assert (await client.push())["pub"]["data"] == 1
