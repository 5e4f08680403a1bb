"""The server API as ``cent`` calls it, blocking and async, and what a published SDK sees of it."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import cent
import httpx
import pytest
import pytest_asyncio

from hub.errors import CONNECTION_EXPIRED, FORCE_DISCONNECT
from tests.support.hub_process import API_KEY, Running
from tests.support.python_client import python_client
from tests.support.sdk import SdkClient
from tests.support.sdk_clients import Clients, in_s, publications, subscribed
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

Call: TypeAlias = Callable[[cent.CentRequest[Any]], Awaitable[Any]]
"""Calls the method that a request is for."""


@pytest_asyncio.fixture(loop_scope="module", params=["async", "blocking"])
async def call(request: pytest.FixtureRequest, hub: Running) -> AsyncIterator[Call]:
    """Each of the two clients."""
    if request.param == "async":
        async with cent.AsyncClient(hub.api_url, API_KEY) as client:
            yield lambda wanted: getattr(client, wanted.__api_method__)(wanted)
    else:
        with cent.Client(hub.api_url, API_KEY) as blocking:
            yield lambda wanted: asyncio.to_thread(getattr(blocking, wanted.__api_method__), wanted)


@pytest_asyncio.fixture(loop_scope="module")
async def clients(hub: Running) -> AsyncIterator[Clients]:
    """Those who see what the backend does."""
    async with Clients(python_client, "json") as made:
        yield made


async def _listening(clients: Clients, hub: Running, *channels: str, **options: Any) -> SdkClient:
    client = await clients.connected(hub.ws_url)
    for channel in channels:
        await subscribed(client, channel, **options)
    return client


async def test_publish(hub: Running, call: Call, clients: Clients) -> None:
    """The subscriber gets what was published, where cent was told that it is."""
    client = await _listening(clients, hub, "news")
    published = await call(cent.PublishRequest(channel="news", data={"n": 1}, tags={"k": "v"}))
    heard = await client.events.next("publication")
    assert (heard["data"], heard["tags"], heard["offset"]) == ({"n": 1}, {"k": "v"}, published.offset)
    assert published.offset == 1
    assert published.epoch == (await client.history("news"))["epoch"]


async def test_publish_byte_for_byte(hub: Running, call: Call) -> None:
    """From the publisher through history to the answer, nothing is written anew."""
    text = b'{"n": 1.0, "a": 1e2}'
    await call(cent.PublishRequest(channel="news", data="", b64data=b64encode(text).decode()))
    async with httpx.AsyncClient(trust_env=False, headers={"X-API-Key": API_KEY}) as http:
        told = await http.post(f"{hub.api_url}/history", json={"channel": "news", "limit": 1})
    assert b'"data":' + text in told.content


async def test_publish_without_keeping(hub: Running, call: Call, clients: Clients) -> None:
    """``skip_history``: heard now, found nowhere later."""
    client = await _listening(clients, hub, "news")
    published = await call(cent.PublishRequest(channel="news", data=1, skip_history=True))
    assert (published.offset, published.epoch) == (0, "")
    assert (await client.events.next("publication"))["offset"] == 0
    assert (await client.history("news", limit=10))["publications"] == []


async def test_publish_once(hub: Running, call: Call, clients: Clients) -> None:
    """A repeated idempotency key is answered as the first time and heard once; per channel."""
    client = await _listening(clients, hub, "news", "other")
    first = await call(cent.PublishRequest(channel="news", data=1, idempotency_key="k"))
    again = await call(cent.PublishRequest(channel="news", data=2, idempotency_key="k"))
    await call(cent.PublishRequest(channel="other", data=3, idempotency_key="k"))
    unrelated = await call(cent.PublishRequest(channel="news", data=4))
    assert again == first
    assert unrelated.offset == first.offset + 1
    await publications(client, "other", 1)
    assert [each["data"] for each in await publications(client, "news", 2)] == [1, 4]


async def test_publish_by_version(hub: Running, call: Call, clients: Clients) -> None:
    """What is not newer than the last one is not published; another version epoch starts anew."""
    client = await _listening(clients, hub, "news")
    for version, epoch in ((2, "a"), (1, "a"), (2, "a"), (3, "a"), (1, "b")):
        data = [version, epoch]
        await call(cent.PublishRequest(channel="news", data=data, version=version, version_epoch=epoch))
    await call(cent.PublishRequest(channel="news", data="end"))
    heard = [each["data"] for each in await publications(client, "news", 4)]
    assert heard == [[2, "a"], [3, "a"], [1, "b"], "end"]


async def test_publish_as_patch(hub: Running, call: Call, clients: Clients) -> None:
    """``delta`` lets publications of a channel travel as patches that does not do so by itself."""
    client = await _listening(clients, hub, "news", delta="fossil")
    documents = [{"n": number, "text": "mostly the same " * 10} for number in range(4)]
    for document in documents[:3]:
        await call(cent.PublishRequest(channel="news", data=document, delta=True))
    await call(cent.PublishRequest(channel="news", data=documents[3]))
    assert [each["data"] for each in await publications(client, "news", 4)] == documents
    assert await client.patches("news") == 2


async def test_broadcast(hub: Running, call: Call, clients: Clients) -> None:
    """Each channel has its own answer, in order, and those that cannot be do not stop the others."""
    client = await _listening(clients, hub, "news", "other")
    result = await call(cent.BroadcastRequest(channels=["news", "nowhere:x", "other"], data={"n": 1}))
    assert [each.error.code if each.error else each.result.offset for each in result.responses] == [1, 102, 1]
    for channel in ("news", "other"):
        assert (await publications(client, channel, 1))[0]["data"] == {"n": 1}


@pytest.mark.parametrize("parallel", [False, True])
async def test_batch(hub: Running, call: Call, clients: Clients, parallel: bool) -> None:
    """Answers come in the order of the commands, and all of them took effect."""
    client = await _listening(clients, hub, "news", "other")
    requests = [
        cent.PublishRequest(channel="news", data=1),
        cent.BroadcastRequest(channels=["other", "nowhere:x"], data=2),
        cent.PresenceStatsRequest(channel="news"),
        cent.ChannelsRequest(pattern="oth*"),
        cent.PresenceRequest(channel="quiet"),
    ]
    published, broadcast, stats, channels, presence = (
        await call(cent.BatchRequest(requests=requests, parallel=parallel))
    ).replies
    assert (published.offset, broadcast.responses[0].result.offset) == (1, 1)
    assert (broadcast.responses[1].error.code, presence.presence) == (102, {})
    assert (stats.num_clients, list(channels.channels)) == (1, ["other"])
    assert [(await publications(client, name, 1))[0]["data"] for name in ("news", "other")] == [1, 2]


async def test_subscribe(hub: Running, call: Call, clients: Clients) -> None:
    """With info, data and another set of options; only the connection that was named."""
    one, other = await _listening(clients, hub), await _listening(clients, hub)
    assert hub.hub is not None
    named = hub.hub.node.registry.matching("ann")[0].client
    hidden = cent.ChannelOptionsOverride(presence=cent.BoolValue(value=False))
    await call(
        cent.SubscribeRequest(
            user="ann", channel="closed:x", client=named, info={"role": "guest"}, data={"why": "invited"}
        )
    )
    told = await one.events.next("server_subscribed", channel="closed:x")
    assert told["data"] == {"why": "invited"}
    (info,) = (await call(cent.PresenceRequest(channel="closed:x"))).presence.values()
    assert (info.client, info.chan_info) == (named, {"role": "guest"})
    await call(cent.PublishRequest(channel="closed:x", data="for guests"))
    assert (await one.events.next("server_publication", channel="closed:x"))["data"] == "for guests"
    await call(cent.SubscribeRequest(user="ann", channel="closed:y", override=hidden))
    for each in (one, other):
        await each.events.next("server_subscribed", channel="closed:y")
    assert (await call(cent.PresenceRequest(channel="closed:y"))).presence == {}
    assert other.events.all("server_subscribed", channel="closed:x") == []


async def test_unsubscribe(hub: Running, call: Call, clients: Clients) -> None:
    """Ends subscriptions whoever made them; nothing is heard afterwards."""
    client = await clients.connected(hub.ws_url, claims={"channels": ["other"]})
    await subscribed(client, "news")
    for channel in ("news", "other"):
        await call(cent.UnsubscribeRequest(user="ann", channel=channel))
        await call(cent.PublishRequest(channel=channel, data=1))
    assert (await client.events.next("unsubscribed", channel="news"))["code"] == 2000
    await client.events.next("server_unsubscribed", channel="other")
    assert await client.presence("news") == {}
    assert client.events.all("publication") == client.events.all("server_publication") == []


async def test_disconnect(hub: Running, call: Call, clients: Clients) -> None:
    """All connections but those on the list, with code and reason as told."""
    client = await _listening(clients, hub)
    assert hub.hub is not None
    spared = hub.hub.node.registry.matching("ann")[0].client
    other = await _listening(clients, hub)
    bye = cent.Disconnect(code=4501, reason="bye")
    await call(cent.DisconnectRequest(user="ann", whitelist=[spared], disconnect=bye))
    gone = await other.events.next("disconnected")
    assert (gone["code"], gone["reason"]) == (4501, "bye")
    assert await client.presence("news") == {}
    await call(cent.DisconnectRequest(user="ann", client=spared))
    told = await client.events.next("disconnected")
    assert (told["code"], told["reason"]) == (FORCE_DISCONNECT.code, FORCE_DISCONNECT.reason)


async def test_disconnect_for_a_moment(hub: Running, call: Call, clients: Clients) -> None:
    """A code of the backend's own, of those upon which a client comes back; nobody else is touched."""
    client, bob = await _listening(clients, hub), await clients.connected(hub.ws_url, "bob")
    await call(cent.DisconnectRequest(user="ann", disconnect=cent.Disconnect(code=4001, reason="again")))
    told = await client.events.next("connecting", code=4001)
    assert told["reason"] == "again"
    await client.events.next("connected")
    assert bob.events.all("connecting", code=4001) == []


async def test_nobody(call: Call) -> None:
    """Who is meant may just have gone, which is no error (client protocol, section 17.2)."""
    await call(cent.SubscribeRequest(user="nobody", channel="news"))
    await call(cent.UnsubscribeRequest(user="nobody", channel="news"))
    await call(cent.DisconnectRequest(user="nobody"))
    await call(cent.RefreshRequest(user="nobody"))


async def test_refresh(hub: Running, call: Call, clients: Clients) -> None:
    """Moves the end of a connection, or brings it about."""
    client = await _listening(clients, hub)
    assert hub.hub is not None
    connection = hub.hub.node.registry.matching("ann")[0]
    expire_at = in_s(3600)
    await call(cent.RefreshRequest(user="ann", expire_at=expire_at))
    assert connection.lifetime.expire_at_s == expire_at  # type: ignore[attr-defined]
    await call(cent.RefreshRequest(user="ann", expired=True))
    told = await client.events.next("connecting", code=CONNECTION_EXPIRED.code)
    assert told["reason"] == CONNECTION_EXPIRED.reason
    await client.events.next("connected")


async def test_presence(hub: Running, call: Call, clients: Clients) -> None:
    """Agrees with what the subscribers themselves see."""
    client = await clients.connected(hub.ws_url, claims={"info": {"name": "Ann"}})
    bob = await clients.connected(hub.ws_url, "bob")
    for each in (client, bob):
        await subscribed(each, "news")
    members = (await call(cent.PresenceRequest(channel="news"))).presence
    assert {name: info.user for name, info in members.items()} == {
        name: info["user"] for name, info in (await bob.presence("news")).items()
    }
    assert {info.user: info.conn_info for info in members.values()} == {"ann": {"name": "Ann"}, "bob": None}
    stats = await call(cent.PresenceStatsRequest(channel="news"))
    assert (stats.num_clients, stats.num_users) == (2, 2)


async def test_history(hub: Running, call: Call, clients: Clients) -> None:
    """Both ways from anywhere, with who said it; gone when removed, with its position kept."""
    client = await clients.connected(hub.ws_url)
    for number in (1, 2, 3):
        await client.publish("news", number)
    page = await call(cent.HistoryRequest(channel="news", limit=2))
    assert [(each.offset, each.data) for each in page.publications] == [(1, 1), (2, 2)]
    page = await call(cent.HistoryRequest(channel="news", limit=2, reverse=True))
    assert [(each.offset, each.data) for each in page.publications] == [(3, 3), (2, 2)]
    assert page.publications[0].info.user == "ann"
    since = cent.StreamPosition(offset=1, epoch=page.epoch)
    for limit in (10, -1):
        later = await call(cent.HistoryRequest(channel="news", limit=limit, since=since))
        assert [each.offset for each in later.publications] == [2, 3]
    await call(cent.HistoryRemoveRequest(channel="news"))
    after = await client.history("news", limit=10)
    assert (after["publications"], after["offset"], after["epoch"]) == ([], 3, page.epoch)
    removed = await call(cent.HistoryRequest(channel="news", limit=-1))
    assert (removed.publications, removed.offset, removed.epoch) == ([], 3, page.epoch)


async def test_history_of_what_was_never_published(hub: Running, call: Call, clients: Clients) -> None:
    """The backend and a subscriber are told the same epoch (client protocol, P16)."""
    told = await call(cent.HistoryRequest(channel="quiet"))
    client = await _listening(clients, hub, "quiet")
    assert told.epoch == (await client.history("quiet"))["epoch"] != ""


async def test_channels_connections_and_nodes(hub: Running, call: Call, clients: Clients) -> None:
    """What operators look at."""
    client = await clients.connected(hub.ws_url, claims={"channels": ["other"]})
    bob = await clients.connected(hub.ws_url, "bob")
    for each in (client, bob):
        await subscribed(each, "news")
    found = (await call(cent.ChannelsRequest())).channels
    assert {name: each.num_clients for name, each in found.items()} == {"news": 2, "other": 1}
    assert list((await call(cent.ChannelsRequest(pattern="ot*"))).channels) == ["other"]
    (shown,) = (await call(cent.ConnectionsRequest(user="ann", expression=""))).connections.values()
    assert (shown.user, shown.transport, shown.protocol) == ("ann", "websocket", "json")
    assert sorted(shown.state.channels) == ["news", "other"]
    (node,) = (await call(cent.InfoRequest())).nodes
    assert (node.num_clients, node.num_users, node.num_channels, node.num_subs) == (2, 2, 2, 3)
    assert node.uid and node.name
    await bob.disconnect()
    assert hub.hub is not None
    registry = hub.hub.node.registry
    await eventually(lambda: len(registry) == 1)
    assert (await call(cent.InfoRequest())).nodes[0].num_clients == 1


async def test_refusals(call: Call) -> None:
    """Errors come as cent's own exception, with the hub's code."""
    wanted: list[tuple[cent.CentRequest[Any], int]] = [
        (cent.PublishRequest(channel="nowhere:x", data=1), 102),
        (cent.PublishRequest(channel="inbox:ann", data=1), 1014),
        (cent.PublishRequest(channel="", data=1), 107),
        (cent.PresenceRequest(channel="plain:x"), 108),
        (cent.HistoryRequest(channel="plain:x"), 108),
        (cent.HistoryRequest(channel="news", since=cent.StreamPosition(offset=1, epoch="another")), 112),
        (cent.BroadcastRequest(channels=[], data=1), 107),
        (cent.SubscribeRequest(user="ann", channel="nowhere:x"), 102),
    ]
    codes = []
    for request, _ in wanted:
        with pytest.raises(cent.CentApiResponseError) as refusal:
            await call(request)
        codes.append(refusal.value.code)
    assert codes == [code for _, code in wanted]
