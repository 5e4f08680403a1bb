"""Every method as the published Python client, cent, calls it: blocking and async."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import cent
import pytest
from cent.dto import (
    BatchRequest,
    BoolValue,
    BroadcastRequest,
    CentRequest,
    ChannelOptionsOverride,
    ChannelsRequest,
    ConnectionsRequest,
    Disconnect,
    DisconnectRequest,
    HistoryRemoveRequest,
    HistoryRequest,
    InfoRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    RefreshRequest,
    StreamPosition,
    SubscribeRequest,
    UnsubscribeRequest,
)

from hub.channels import Override
from hub.model import ClientInfo, Position
from tests.support.recording_node import RecordingNode

EVERY: dict[str, CentRequest[Any]] = {
    "publish": PublishRequest(channel="chat:a", data={"a": None, "b": 1}),
    "publish, all fields": PublishRequest(
        channel="chat:a", data="", b64data="AP8=", skip_history=True, tags={"k": "v"}, idempotency_key="k"
    ),
    "broadcast": BroadcastRequest(channels=["chat:a", "chat:b"], data={"a": 1}),
    "subscribe": SubscribeRequest(user="42", channel="chat:a"),
    "subscribe, all fields": SubscribeRequest(
        user="42",
        channel="chat:a",
        info={"a": 1},
        b64info="AA==",
        client="c1",
        session="s1",
        data={"a": 1},
        b64data="AA==",
        recover_since=StreamPosition(offset=1, epoch="e"),
        override=ChannelOptionsOverride(
            presence=BoolValue(value=True), force_recovery=BoolValue(value=False)
        ),
    ),
    "unsubscribe": UnsubscribeRequest(user="42", channel="chat:a", client="c1", session="s1"),
    "disconnect": DisconnectRequest(user="42"),
    "disconnect, all fields": DisconnectRequest(
        user="42", client="c1", session="s1", whitelist=["c2"], disconnect=Disconnect(code=4000, reason="bye")
    ),
    "refresh": RefreshRequest(user="42", client="c1", session="s1", expired=True, expire_at=1_900_000_000),
    "presence": PresenceRequest(channel="chat:a"),
    "presence_stats": PresenceStatsRequest(channel="chat:a"),
    "history": HistoryRequest(channel="chat:a", limit=10, since=StreamPosition(), reverse=False),
    "history_remove": HistoryRemoveRequest(channel="chat:a"),
    "channels": ChannelsRequest(pattern="chat:*"),
    "connections": ConnectionsRequest(user="42", expression=""),
    "info": InfoRequest(),
}


@pytest.fixture
async def client(base_url: str) -> AsyncIterator[cent.AsyncClient]:
    """The async client."""
    async with cent.AsyncClient(f"{base_url}/api", "all-of-it") as client:
        yield client


@pytest.mark.parametrize("request_", EVERY.values(), ids=EVERY)
async def test_async_client_calls_every_method(
    client: cent.AsyncClient, node: RecordingNode, request_: CentRequest[Any]
) -> None:
    """Its requests are accepted and its models read the answers."""
    result = await getattr(client, request_.__api_method__)(request_)
    assert isinstance(result, request_.__returning__)
    assert node.calls


@pytest.mark.parametrize("request_", EVERY.values(), ids=EVERY)
async def test_blocking_client_calls_every_method(
    base_url: str, node: RecordingNode, request_: CentRequest[Any]
) -> None:
    """The blocking client likewise."""

    def call() -> object:
        with cent.Client(f"{base_url}/api", "all-of-it") as client:
            return getattr(client, request_.__api_method__)(request_)

    assert isinstance(await asyncio.to_thread(call), request_.__returning__)
    assert node.calls


async def test_reads_what_was_published(client: cent.AsyncClient) -> None:
    """Positions, payloads and tags come back as they went in."""
    first = await client.publish(PublishRequest(channel="chat:a", data={"n": 1}, tags={"k": "v"}))
    await client.publish(PublishRequest(channel="chat:a", data="", b64data="AP8="))
    page = await client.history(HistoryRequest(channel="chat:a", limit=10))
    assert (first.offset, first.epoch) == (1, "ep0c")
    assert (page.offset, page.epoch) == (2, "ep0c")
    assert (page.publications[0].data, page.publications[0].tags) == ({"n": 1}, {"k": "v"})
    assert page.publications[1].data is None


async def test_reads_presence_and_connections(client: cent.AsyncClient, node: RecordingNode) -> None:
    """Its models find users, infos and channels where they look for them."""
    node.members["c1"] = ClientInfo("42", "c1", conn_info=b'{"a":1}')
    node.live["c1"] = {"user": "42", "transport": "websocket", "protocol": "json", "channels": ["chat:a"]}
    members = await client.presence(PresenceRequest(channel="chat:a"))
    live = await client.connections(ConnectionsRequest(user="42", expression=""))
    state = live.connections["c1"].state
    assert (members.presence["c1"].user, members.presence["c1"].conn_info) == ("42", {"a": 1})
    assert state is not None
    assert list(state.channels or {}) == ["chat:a"]


async def test_reads_a_batch(client: cent.AsyncClient) -> None:
    """Replies come in order under their methods' names, a broadcast among them."""
    batch = await client.batch(
        BatchRequest(
            requests=[
                PublishRequest(channel="chat:a", data=1),
                BroadcastRequest(channels=["chat:b", "undefined:c"], data=1),
                PresenceRequest(channel="chat:a"),
                InfoRequest(),
            ],
            parallel=True,
        )
    )
    published, broadcast, presence, info = batch.replies
    assert published.offset == 1
    assert [item.error and item.error.code for item in broadcast.responses] == [None, 102]
    assert presence.presence == {}
    assert info.nodes[0].uid == "n1"


async def test_override_and_position_reach_the_node(client: cent.AsyncClient, node: RecordingNode) -> None:
    """Nested objects mean what cent's models say."""
    await client.subscribe(EVERY["subscribe, all fields"])
    assert node.last[1]["override"] == Override(presence=True, force_recovery=False)
    assert node.last[1]["recover_since"] == Position(1, "e")


async def test_raises_the_hubs_error(client: cent.AsyncClient) -> None:
    """Code and message as the pycent suite expects them (client protocol, section 18.5)."""
    with pytest.raises(cent.CentApiResponseError) as refusal:
        await client.publish(PublishRequest(channel="undefined:a", data={}))
    assert (refusal.value.code, refusal.value.message) == (102, "unknown channel")


async def test_raises_unauthorized(base_url: str) -> None:
    """A wrong key is told apart from every other failure."""
    async with cent.AsyncClient(f"{base_url}/api", "wrong") as client:
        with pytest.raises(cent.CentUnauthorizedError):
            await client.info(InfoRequest())
