"""The inbox of a user and the proof of receipt, with an SDK that knows nothing of either."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.sdk.scenarios.recovery import proxied
from tests.support.hub_process import Running, running_hub
from tests.support.inboxes import WITH_INBOX, Inbox, hub_data
from tests.support.sdk import Fields, SdkClient
from tests.support.sdk_clients import Clients, connection_token, publications


@asynccontextmanager
async def inbox_hub() -> AsyncIterator[tuple[Running, Inbox]]:
    """A hub that never pings by itself, and the inbox of a user whose device is registered."""
    async with running_hub({**WITH_INBOX, "ping.interval_s": 300}) as hub:
        inbox = Inbox(hub.hub, "ann")
        await inbox.register()
        yield hub, inbox


async def heard(client: SdkClient, count: int) -> list[int]:
    """The next notifications."""
    told = await publications(client, "inbox:#ann", count, event="server_publication")
    return [each["data"]["data"]["n"] for each in told]


class InboxScenarios:
    """Notifications reach an app whose only line for them is its device id in the connect data."""

    async def test_receipt_is_proven_without_any_code(self, clients: Clients) -> None:
        """What was missed and what comes live: the SDK's own pong closes the debt."""
        async with inbox_hub() as (hub, inbox):
            await inbox.notify(1)
            client = await clients.new(hub.ws_url, token=connection_token(), data=hub_data())
            await client.connect()
            told = await client.events.next("connected")
            assert device_of(told)["registered"] is True
            told = await client.events.next("server_subscribed", channel="inbox:#ann")
            assert (told["was_recovering"], told["recovered"]) == (True, True)
            assert await heard(client, 1) == [1]
            await inbox.becomes_proven(1)
            for number in range(2, 30):
                await inbox.notify(number)
            assert await heard(client, 28) == list(range(2, 30))
            await inbox.becomes_proven(29)
            assert await inbox.owed() == 0
            await client.disconnect()
            await inbox.becomes("offline")
            assert await inbox.claimable() == 0

    async def test_an_app_that_keeps_nothing_gets_what_it_has_not_had(self, clients: Clients) -> None:
        """Started anew, it brings no position of its own; nothing comes twice, nothing is left out."""
        async with inbox_hub() as (hub, inbox):
            first = await clients.connected(hub.ws_url, data=hub_data())
            await inbox.notify(1)
            assert await heard(first, 1) == [1]
            await inbox.becomes_proven(1)
            await first.disconnect()
            await inbox.becomes("offline")
            await inbox.notify(2)
            await inbox.notify(3)
            second = await clients.connected(hub.ws_url, data=hub_data())
            assert await heard(second, 2) == [2, 3]
            await inbox.becomes_proven(3)
            await second.disconnect()

    async def test_a_cut(self, clients: Clients) -> None:
        """The SDK brings its position, which is proof as well."""
        async with inbox_hub() as (hub, inbox), proxied(hub) as (proxy, url):
            client = await clients.connected(url, data=hub_data())
            await inbox.notify(1)
            assert await heard(client, 1) == [1]
            proxy.cut()
            await client.events.next("connecting", code=1)
            await inbox.notify(2)
            assert await inbox.claimable() == 0, "it gets some time to come back"
            proxy.restore()
            assert await heard(client, 1) == [2]
            await inbox.becomes_proven(2)
            assert len(client.events.all("server_publication")) == 2
            await client.disconnect()

    async def test_a_newer_connection_of_the_device(self, clients: Clients) -> None:
        """Ends the older one for good."""
        async with inbox_hub() as (hub, inbox):
            old = await clients.connected(hub.ws_url, data=hub_data())
            new = await clients.connected(hub.ws_url, data=hub_data())
            assert (await old.events.next("disconnected"))["code"] == 4500
            await inbox.notify(1)
            assert await heard(new, 1) == [1]
            await inbox.becomes_proven(1)
            await new.disconnect()


def device_of(connected: Fields) -> Fields:
    """What the connect reply said of the device."""
    device: Fields = connected["data"]["hub"]["device"]
    return device
