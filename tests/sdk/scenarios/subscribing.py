"""Into channels and out of them."""

from __future__ import annotations

import cent
import pytest

from tests.sdk.conftest import MAX_CHANNELS
from tests.support.hub_process import Running
from tests.support.sdk import SubscriptionOptions
from tests.support.sdk_clients import (
    Clients,
    connection_token,
    publications,
    subscribed,
    subscription_token,
)

_BAD_NAME = "café"


class SubscribingScenarios:
    """Client-side subscriptions, with and without a token (client protocol, 8)."""

    async def test_subscribes(self, hub: Running, api: cent.AsyncClient, clients: Clients) -> None:
        """The SDK is told where in the stream it stands, which is where the API says the stream is."""
        await api.publish(cent.PublishRequest(channel="news", data=1))
        top = await api.history(cent.HistoryRequest(channel="news"))
        client = await clients.connected(hub.ws_url)
        told = await subscribed(client, "news")
        assert told["position"] == {"offset": 1, "epoch": top.epoch}
        assert (told["recoverable"], told["positioned"]) == (True, True)
        assert (told["was_recovering"], told["recovered"]) == (False, False)

    async def test_nothing_follows_an_unsubscribe(
        self, hub: Running, api: cent.AsyncClient, clients: Clients
    ) -> None:
        """After it left, the SDK hears nothing of the channel (client protocol, 8.3)."""
        client = await clients.connected(hub.ws_url)
        await subscribed(client, "news")
        await client.unsubscribe("news")
        assert (await client.events.next("unsubscribed"))["code"] == 0
        # The answer to a later command of the same client proves that the hub has seen the unsubscribe.
        assert await client.presence("news") == {}
        await api.publish(cent.PublishRequest(channel="news", data=1))
        await subscribed(client, "other")
        await api.publish(cent.PublishRequest(channel="other", data=1))
        await publications(client, "other", 1)
        assert client.events.all("publication", channel="news") == []

    async def test_changes_its_mind_quickly(self, hub: Running, clients: Clients) -> None:
        """Ten pairs at once, and presence tells the truth after each end (client protocol, 18.3)."""
        client = await clients.connected(hub.ws_url)
        for _ in range(10):
            await client.subscribe("news")
            await client.unsubscribe("news")
        await client.subscribe("news")
        await client.events.next("subscribed", channel="news")
        assert await client.presence_stats("news") == {"num_clients": 1, "num_users": 1}
        await client.unsubscribe("news")
        assert await client.presence_stats("news") == {"num_clients": 0, "num_users": 0}

    @pytest.mark.parametrize(
        ("channel", "code"),
        [
            ("nowhere:x", 102),
            ("closed:x", 103),
            ("$news", 103),
            ("news#bob", 103),
            ("inbox:ann", 103),
            (_BAD_NAME, 107),
            ("n" * 256, 107),
        ],
    )
    async def test_is_refused(self, hub: Running, clients: Clients, channel: str, code: int) -> None:
        """The subscription ends with the hub's code, the connection goes on (client protocol, 8.1)."""
        client = await clients.connected(hub.ws_url)
        await client.subscribe(channel)
        assert (await client.events.next("unsubscribed", channel=channel))["code"] == code
        await subscribed(client, "news")

    async def test_a_channel_of_listed_users(self, hub: Running, clients: Clients) -> None:
        """Who is named after the boundary is let in."""
        client = await clients.connected(hub.ws_url)
        assert (await subscribed(client, "news#bob,ann"))["channel"] == "news#bob,ann"

    async def test_one_channel_too_many(self, hub: Running, clients: Clients) -> None:
        """106, and the others stay."""
        client = await clients.connected(hub.ws_url)
        for number in range(MAX_CHANNELS):
            await subscribed(client, f"news{number}")
        await client.subscribe("more")
        assert (await client.events.next("unsubscribed", channel="more"))["code"] == 106
        await client.unsubscribe("news0")
        await subscribed(client, "other")

    async def test_a_channel_the_hub_gave_already(self, hub: Running, clients: Clients) -> None:
        """A client-side subscription beside a server-side one is refused with 105."""
        client = await clients.connected(hub.ws_url, claims={"channels": ["news"]})
        await client.subscribe("news")
        assert (await client.events.next("unsubscribed", channel="news"))["code"] == 105

    async def test_a_token_opens_a_closed_channel(
        self, hub: Running, api: cent.AsyncClient, clients: Clients
    ) -> None:
        """With its info shown beside that of the connection (client protocol, 6.2)."""
        client = await clients.connected(hub.ws_url, claims={"info": {"name": "Ann"}})
        token = subscription_token("closed:x", info={"role": "guest"})
        await subscribed(client, "closed:x", token=token)
        (info,) = (await api.presence(cent.PresenceRequest(channel="closed:x"))).presence.values()
        assert (info.user, info.conn_info, info.chan_info) == ("ann", {"name": "Ann"}, {"role": "guest"})

    async def test_a_bad_token_ends_the_subscription_only(self, hub: Running, clients: Clients) -> None:
        """103, and the connection goes on (client protocol, 6.2)."""
        client = await clients.connected(hub.ws_url)
        await client.subscribe("closed:x", SubscriptionOptions(token="not.a.token"))
        assert (await client.events.next("unsubscribed", channel="closed:x"))["code"] == 103
        await subscribed(client, "news")

    @pytest.mark.parametrize("of", [("closed:x", "bob"), ("closed:y", "ann")], ids=["user", "channel"])
    async def test_a_token_of_another_ends_the_connection(
        self, hub: Running, clients: Clients, of: tuple[str, str]
    ) -> None:
        """3500, since somebody is lying (client protocol, 6.2)."""
        client = await clients.connected(hub.ws_url)
        await client.subscribe("closed:x", SubscriptionOptions(token=subscription_token(*of)))
        assert (await client.events.next("disconnected"))["code"] == 3500

    async def test_an_expired_token_is_renewed(self, hub: Running, clients: Clients) -> None:
        """109 makes the SDK fetch a new one and subscribe with it."""
        client = await clients.connected(hub.ws_url)
        await subscribed(
            client,
            "closed:x",
            token=subscription_token("closed:x", lives_s=-10),
            get_token=lambda: subscription_token("closed:x"),
        )
        assert (await client.events.next("subscription_error", channel="closed:x"))["code"] == 109
        assert client.events.all("unsubscribed") == []

    async def test_state_from_the_application(
        self, hub: Running, api: cent.AsyncClient, clients: Clients
    ) -> None:
        """A position that cannot be recovered from makes the SDK ask again (client protocol, 11)."""
        for number in range(1, 5):
            await api.publish(cent.PublishRequest(channel="small:x", data=number))
        epoch = (await api.history(cent.HistoryRequest(channel="small:x"))).epoch
        answers = [{"offset": 1, "epoch": epoch}, {"offset": 2, "epoch": epoch}]
        client = await clients.new(hub.ws_url, token=connection_token())
        await client.connect()
        told = await subscribed(client, "small:x", get_state=lambda: answers.pop(0))
        assert answers == []
        assert (told["was_recovering"], told["recovered"]) == (True, True)
        assert [each["data"] for each in await publications(client, "small:x", 2)] == [3, 4]
