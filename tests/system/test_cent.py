"""The server API of a real hub, called by cent, seen by a client on its socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import cent
import httpx
import pytest
from cent.dto import (
    BatchRequest,
    BoolValue,
    BroadcastRequest,
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

from hub.errors import CONNECTION_EXPIRED, FORCE_DISCONNECT
from tests.support.hub_process import API_KEY, Running, running_hub
from tests.support.wire_client import connected


@pytest.fixture
async def hub() -> AsyncIterator[Running]:
    """A hub of one's own."""
    async with running_hub() as running:
        yield running


@pytest.fixture
async def api(hub: Running) -> AsyncIterator[cent.AsyncClient]:
    """The hub's API."""
    async with cent.AsyncClient(hub.api_url, API_KEY) as client:
        yield client


async def test_publishes_to_subscribers(hub: Running, api: cent.AsyncClient) -> None:
    """What cent publishes arrives with its tags, at the position that cent was told."""
    async with connected(hub) as client:
        await client.subscribe("news")
        await client.push()  # the own join
        published = await api.publish(PublishRequest(channel="news", data={"n": 1}, tags={"k": "v"}))
        push = await client.push()
    assert push["pub"]["data"] == {"n": 1}
    assert push["pub"]["tags"] == {"k": "v"}
    assert push["pub"]["offset"] == published.offset == 1


async def test_keeps_payloads_byte_for_byte(hub: Running, api: cent.AsyncClient) -> None:
    """From the publisher through history to the answer, nothing is written anew."""
    await api.publish(PublishRequest(channel="news", data="", b64data="eyJuIjogMS4wLCAiYSI6IDFlMn0="))
    async with httpx.AsyncClient(trust_env=False, headers={"X-API-Key": API_KEY}) as http:
        told = await http.post(f"{hub.api_url}/history", json={"channel": "news", "limit": 1})
    assert b'"data":{"n": 1.0, "a": 1e2}' in told.content


async def test_an_idempotency_key_publishes_once(api: cent.AsyncClient) -> None:
    """A repeat answers the first position, and an unrelated one goes on (client protocol, P25)."""
    request = PublishRequest(channel="news", data=1, idempotency_key="once")
    first, repeat = await api.publish(request), await api.publish(request)
    other = await api.publish(PublishRequest(channel="news", data=1))
    assert (first.offset, first.epoch) == (repeat.offset, repeat.epoch)
    assert other.offset == first.offset + 1


async def test_history_goes_both_ways(api: cent.AsyncClient) -> None:
    """Oldest first, newest first, after a position; and gone when removed, with its position kept."""
    for number in range(10):
        await api.publish(PublishRequest(channel="news", data=number))
    oldest = await api.history(HistoryRequest(channel="news", limit=3))
    newest = await api.history(HistoryRequest(channel="news", limit=3, reverse=True))
    since = StreamPosition(offset=8, epoch=oldest.epoch)
    later = await api.history(HistoryRequest(channel="news", limit=-1, since=since))
    await api.history_remove(HistoryRemoveRequest(channel="news"))
    removed = await api.history(HistoryRequest(channel="news", limit=-1))
    assert [item.data for item in oldest.publications] == [0, 1, 2]
    assert [item.data for item in newest.publications] == [9, 8, 7]
    assert [item.data for item in later.publications] == [8, 9]
    assert (removed.publications, removed.offset, removed.epoch) == ([], 10, oldest.epoch)


async def test_an_old_epoch_is_unrecoverable(api: cent.AsyncClient) -> None:
    """112, as SDKs and backends expect it."""
    with pytest.raises(cent.CentApiResponseError) as refusal:
        await api.history(
            HistoryRequest(channel="news", limit=1, since=StreamPosition(offset=1, epoch="old"))
        )
    assert refusal.value.code == 112


async def test_an_unpublished_channel_has_one_epoch(hub: Running, api: cent.AsyncClient) -> None:
    """The API and a subscriber are told the same one (client protocol, P16)."""
    told = await api.history(HistoryRequest(channel="quiet"))
    async with connected(hub) as client:
        subscribed = await client.subscribe("quiet")
    assert told.epoch == subscribed["epoch"] != ""


async def test_sees_who_is_there(hub: Running, api: cent.AsyncClient) -> None:
    """Presence, its counts, channels, connections and nodes agree with the sockets."""
    async with connected(hub, "42") as client, connected(hub, "43") as other:
        await client.subscribe("room")
        await other.subscribe("room")
        members = await api.presence(PresenceRequest(channel="room"))
        stats = await api.presence_stats(PresenceStatsRequest(channel="room"))
        channels = await api.channels(ChannelsRequest(pattern="ro*"))
        live = await api.connections(ConnectionsRequest(user="42", expression=""))
        info = await api.info(InfoRequest())
    assert sorted(member.user for member in members.presence.values()) == ["42", "43"]
    assert (stats.num_clients, stats.num_users) == (2, 2)
    assert channels.channels["room"].num_clients == 2
    [connection] = live.connections.values()
    assert (connection.user, connection.transport, connection.protocol) == ("42", "websocket", "json")
    assert connection.state is not None
    assert list(connection.state.channels or {}) == ["room"]
    [node] = info.nodes
    assert (node.num_clients, node.num_users, node.num_subs, node.num_channels) == (2, 2, 2, 1)
    assert node.uid and node.name


async def test_subscribes_and_unsubscribes_a_user(hub: Running, api: cent.AsyncClient) -> None:
    """A server-side subscription comes as pushes, with its data, and ends likewise."""
    override = ChannelOptionsOverride(join_leave=BoolValue(value=False))
    async with connected(hub) as client:
        await api.subscribe(SubscribeRequest(user="42", channel="side", data={"hi": 1}, override=override))
        begun = await client.push()
        await api.publish(PublishRequest(channel="side", data="x"))
        published = await client.push()
        await api.unsubscribe(UnsubscribeRequest(user="42", channel="side"))
        ended = await client.push()
    assert (begun["channel"], begun["subscribe"]["data"]) == ("side", {"hi": 1})
    assert published["pub"]["data"] == "x"
    assert ended["unsubscribe"]["code"] == 2000


async def test_disconnects_a_user(hub: Running, api: cent.AsyncClient) -> None:
    """With force disconnect, or with what the backend says; nobody else is touched."""
    async with connected(hub, "42") as first, connected(hub, "43") as second:
        await api.disconnect(DisconnectRequest(user="42"))
        assert await first.closed() == (FORCE_DISCONNECT.code, FORCE_DISCONNECT.reason)
        await api.disconnect(DisconnectRequest(user="43", disconnect=Disconnect(code=4001, reason="bye")))
        assert await second.closed() == (4001, "bye")


async def test_expires_a_connection(hub: Running, api: cent.AsyncClient) -> None:
    """``expired`` ends it with the code that makes the SDK come back with a new token."""
    async with connected(hub, "42") as client:
        await api.refresh(RefreshRequest(user="42", expired=True))
        assert await client.closed() == (CONNECTION_EXPIRED.code, CONNECTION_EXPIRED.reason)


async def test_targets_that_nobody_matches_are_no_error(api: cent.AsyncClient) -> None:
    """The user may just have gone (client protocol, section 17.2)."""
    await api.subscribe(SubscribeRequest(user="nobody", channel="a"))
    await api.unsubscribe(UnsubscribeRequest(user="nobody", channel="a"))
    await api.disconnect(DisconnectRequest(user="nobody"))
    await api.refresh(RefreshRequest(user="nobody"))


async def test_a_batch_answers_in_order(api: cent.AsyncClient) -> None:
    """As the pycent suite sends it, with a broadcast inside."""
    batch = await api.batch(
        BatchRequest(
            requests=[
                PublishRequest(channel="b1", data={}),
                PublishRequest(channel="b2", data={}),
                BroadcastRequest(channels=["b3", "undefined:x"], data={}),
                PresenceRequest(channel="b4"),
            ]
        )
    )
    first, second, broadcast, presence = batch.replies
    assert (first.offset, second.offset, presence.presence) == (1, 1, {})
    assert broadcast.responses[0].result.offset == 1
    assert broadcast.responses[1].error.code == 102


@pytest.mark.parametrize(("channel", "code"), [("undefined:x", 102), ("inbox:#42", 1014), ("", 107)])
async def test_refuses_channels_that_cannot_be_published_to(
    api: cent.AsyncClient, channel: str, code: int
) -> None:
    """Unknown namespace, reserved namespace, no name at all."""
    with pytest.raises(cent.CentApiResponseError) as refusal:
        await api.publish(PublishRequest(channel=channel, data={}))
    assert refusal.value.code == code
