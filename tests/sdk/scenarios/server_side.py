"""Subscriptions that the hub makes, and what a backend does to connections."""

from __future__ import annotations

from typing import Any

import cent

from tests.sdk.conftest import SETTINGS
from tests.support.hub_process import API_KEY, Running, running_hub
from tests.support.sdk_clients import Clients, in_s, publications, subscribed

PERSONAL: dict[str, Any] = {**SETTINGS, "channels.personal": {"enabled": True}}


class ServerSideScenarios:
    """Server-side subscriptions and the server API, as the SDK sees them (client protocol, 12 and 17)."""

    async def test_channels_of_the_token(self, hub: Running, api: cent.AsyncClient, clients: Clients) -> None:
        """Both ways of writing them; publications and joins come without anybody asking."""
        claims = {"channels": ["news"], "subs": {"closed:x": {"info": {"role": "guest"}, "data": {"a": 1}}}}
        client = await clients.connected(hub.ws_url, claims=claims)
        news = await client.events.next("server_subscribed", channel="news")
        closed = await client.events.next("server_subscribed", channel="closed:x")
        assert (news["recoverable"], news["position"]["offset"]) == (True, 0)
        assert closed["data"] == {"a": 1}
        assert (await client.events.next("server_join", channel="news"))["info"]["user"] == "ann"
        await api.publish(cent.PublishRequest(channel="closed:x", data=2, tags={"k": "v"}))
        heard = await client.events.next("server_publication", channel="closed:x")
        assert (heard["data"], heard["offset"], heard["tags"]) == (2, 1, {"k": "v"})
        members = (await api.presence(cent.PresenceRequest(channel="closed:x"))).presence
        assert [info.chan_info for info in members.values()] == [{"role": "guest"}]

    async def test_personal_channel(self, clients: Clients) -> None:
        """Every connection of the user is in it, nobody else's is."""
        async with running_hub(PERSONAL) as hub, cent.AsyncClient(hub.api_url, API_KEY) as api:
            mine = [await clients.connected(hub.ws_url) for _ in range(2)]
            other = await clients.connected(hub.ws_url, "bob")
            for each in mine:
                await each.events.next("server_subscribed", channel="#ann")
            await other.events.next("server_subscribed", channel="#bob")
            await api.publish(cent.PublishRequest(channel="#ann", data="for ann"))
            for each in mine:
                assert (await publications(each, "#ann", 1, event="server_publication"))[0][
                    "data"
                ] == "for ann"
            assert other.events.all("server_publication") == []
            for each in (*mine, other):
                await each.disconnect()

    async def test_comes_back_without_a_loss(
        self, hub: Running, api: cent.AsyncClient, clients: Clients
    ) -> None:
        """The SDK brings its positions, and gets in the connect reply what it missed."""
        client = await clients.connected(hub.ws_url, claims={"channels": ["news", "other"]})
        await api.publish(cent.PublishRequest(channel="news", data=1))
        await publications(client, "news", 1, event="server_publication")
        await client.disconnect()
        await client.events.next("disconnected")
        for number in (2, 3):
            await api.publish(cent.PublishRequest(channel="news", data=number))
        for channel in ("news", "other"):
            await client.events.next("server_subscribed", channel=channel)
        await client.connect()
        news = await client.events.next("server_subscribed", channel="news")
        assert (news["was_recovering"], news["recovered"]) == (True, True)
        await publications(client, "news", 2, event="server_publication")
        await api.publish(cent.PublishRequest(channel="news", data=4))
        await publications(client, "news", 1, event="server_publication")
        assert [each["data"] for each in client.events.all("server_publication")] == [1, 2, 3, 4]

    async def test_a_backend_subscribes_and_unsubscribes(
        self, hub: Running, api: cent.AsyncClient, clients: Clients
    ) -> None:
        """All connections of the user and nobody else's, with data; and out of it again for good."""
        mine = [await clients.connected(hub.ws_url) for _ in range(2)]
        other = await clients.connected(hub.ws_url, "bob")
        await api.publish(cent.PublishRequest(channel="closed:x", data="before"))
        await api.subscribe(cent.SubscribeRequest(user="ann", channel="closed:x", data={"why": "invited"}))
        for each in mine:
            told = await each.events.next("server_subscribed", channel="closed:x")
            assert (told["position"]["offset"], told["data"]) == (1, {"why": "invited"})
        await api.publish(cent.PublishRequest(channel="closed:x", data="during"))
        for each in mine:
            assert (await publications(each, "closed:x", 1, event="server_publication"))[0][
                "data"
            ] == "during"
        await api.unsubscribe(cent.UnsubscribeRequest(user="ann", channel="closed:x"))
        for each in mine:
            await each.events.next("server_unsubscribed", channel="closed:x")
        assert other.events.all("server_subscribed") == []
        assert (await api.presence_stats(cent.PresenceStatsRequest(channel="closed:x"))).num_clients == 0

    async def test_a_backend_subscribes_from_a_position(
        self, hub: Running, api: cent.AsyncClient, clients: Clients
    ) -> None:
        """What was published after it comes along."""
        for number in (1, 2, 3):
            await api.publish(cent.PublishRequest(channel="closed:x", data=number))
        epoch = (await api.history(cent.HistoryRequest(channel="closed:x"))).epoch
        client = await clients.connected(hub.ws_url)
        since = cent.StreamPosition(offset=1, epoch=epoch)
        await api.subscribe(cent.SubscribeRequest(user="ann", channel="closed:x", recover_since=since))
        await client.events.next("server_subscribed", channel="closed:x")
        heard = await publications(client, "closed:x", 2, event="server_publication")
        assert [each["data"] for each in heard] == [2, 3]

    async def test_a_backend_ends_a_subscription_of_the_clients_own(
        self, hub: Running, api: cent.AsyncClient, clients: Clients
    ) -> None:
        """With 2000, from which the SDK does not come back by itself (client protocol, 15.2)."""
        client = await clients.connected(hub.ws_url)
        await subscribed(client, "news")
        await api.unsubscribe(cent.UnsubscribeRequest(user="ann", channel="news"))
        assert (await client.events.next("unsubscribed", channel="news"))["code"] == 2000

    async def test_a_backend_disconnects(self, hub: Running, api: cent.AsyncClient, clients: Clients) -> None:
        """For good by default; with a code of its own range, the SDK comes back (client protocol, 15.3)."""
        client = await clients.connected(hub.ws_url)
        other = await clients.connected(hub.ws_url, "bob")
        again = cent.Disconnect(code=4001, reason="again")
        await api.disconnect(cent.DisconnectRequest(user="ann", disconnect=again))
        # The SDK's own connect event came first.
        await client.events.next("connecting", code=4001, reason="again")
        await client.events.next("connected")
        await api.disconnect(cent.DisconnectRequest(user="ann"))
        assert (await client.events.next("disconnected"))["code"] == 3503
        assert other.events.all("disconnected") == []

    async def test_a_backend_expires_a_connection(
        self, hub: Running, api: cent.AsyncClient, clients: Clients
    ) -> None:
        """3005: the SDK comes back. Moving the expiry keeps the connection where it is."""
        client = await clients.connected(hub.ws_url)
        await subscribed(client, "news")
        await api.refresh(cent.RefreshRequest(user="ann", expire_at=in_s(1200)))
        await api.refresh(cent.RefreshRequest(user="ann", expired=True))
        await client.events.next("connecting", code=3005)
        await client.events.next("connected")
        await client.events.next("subscribed", channel="news", was_recovering=True, recovered=True)
