"""Lost connections, and what the SDK has heard once it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import cent

from tests.support.hub_process import Running
from tests.support.sdk_clients import Clients, publications, subscribed
from tests.support.tcp_proxy import Side, TcpProxy, tcp_proxy


@asynccontextmanager
async def proxied(hub: Running) -> AsyncIterator[tuple[TcpProxy, str]]:
    """A proxy before the hub, and the WebSocket endpoint through it."""
    parts = urlsplit(hub.ws_url)
    assert parts.hostname is not None and parts.port is not None
    async with tcp_proxy((parts.hostname, parts.port)) as proxy:
        host, port = proxy.address
        yield proxy, f"ws://{host}:{port}{parts.path}"


async def publish(api: cent.AsyncClient, channel: str, *numbers: int) -> None:
    """Publish these numbers, one after the other."""
    for number in numbers:
        await api.publish(cent.PublishRequest(channel=channel, data=number))


class RecoveryScenarios:
    """Nothing lost, nothing twice, in order; or an honest no (client protocol, 9)."""

    async def test_a_cut(self, hub: Running, api: cent.AsyncClient, clients: Clients) -> None:
        """What was published while the link was down arrives once it is up."""
        async with proxied(hub) as (proxy, url):
            client = await clients.connected(url, claims={"channels": ["other"]})
            await client.events.next("server_subscribed", channel="other")
            await subscribed(client, "news")
            await publish(api, "news", 1)
            await publish(api, "other", 1)
            await publications(client, "news", 1)
            proxy.cut()
            await client.events.next("connecting", code=1)
            await publish(api, "news", 2, 3, 4)
            await publish(api, "other", 2, 3)
            proxy.restore()
            await client.events.next("subscribed", channel="news", was_recovering=True, recovered=True)
            other = await client.events.next("server_subscribed", channel="other")
            assert (other["was_recovering"], other["recovered"]) == (True, True)
            await publish(api, "news", 5)
            await publish(api, "other", 4)
            await publications(client, "news", 4)
            await publications(client, "other", 4, event="server_publication")
            assert [each["data"] for each in client.events.all("publication")] == [1, 2, 3, 4, 5]
            assert [each["data"] for each in client.events.all("server_publication")] == [1, 2, 3, 4]
            await client.disconnect()

    async def test_cuts_in_a_stream(self, hub: Running, api: cent.AsyncClient, clients: Clients) -> None:
        """A publisher that never pauses, and a link that breaks three times: each number once, in order."""
        enough = asyncio.Event()

        async def publish_until_enough() -> int:
            number = 0
            while not enough.is_set():
                number += 1
                await publish(api, "long:x", number)
            return number

        async with proxied(hub) as (proxy, url):
            client = await clients.connected(url)
            await subscribed(client, "long:x")
            publishing = asyncio.create_task(publish_until_enough())
            for _ in range(3):
                await publications(client, "long:x", 5)
                proxy.cut()
                await client.events.next("connecting", code=1)
                proxy.restore()
                await client.events.next("subscribed", channel="long:x", recovered=True)
            enough.set()
            last = await publishing
            await client.events.next("publication", data=last)
            assert [each["data"] for each in client.events.all("publication")] == list(range(1, last + 1))
            await client.disconnect()

    async def test_an_end_in_one_direction(
        self, hub: Running, api: cent.AsyncClient, clients: Clients
    ) -> None:
        """A half closed link counts as lost on both ends, and the client comes back over a new one."""
        assert hub.hub is not None
        async with proxied(hub) as (proxy, url):
            client = await clients.connected(url)
            await subscribed(client, "news")
            proxy.half_close(toward=Side.SERVER)
            await client.events.next("connecting", code=1)
            await client.events.next("subscribed", channel="news", recovered=True)
            await publish(api, "news", 1)
            assert (await publications(client, "news", 1))[0]["data"] == 1
            assert len(hub.hub.node.registry) == 1
            assert await client.presence_stats("news") == {"num_clients": 1, "num_users": 1}
            await client.disconnect()

    async def test_away_for_too_long(self, hub: Running, api: cent.AsyncClient, clients: Clients) -> None:
        """What is no longer kept cannot be had: the SDK is told so, and goes on from the top."""
        client = await clients.connected(hub.ws_url)
        await subscribed(client, "small:x")
        await client.disconnect()
        await publish(api, "small:x", 1, 2, 3)
        await client.connect()
        told = await client.events.next("subscribed", channel="small:x")
        assert (told["was_recovering"], told["recovered"]) == (True, False)
        assert told["position"]["offset"] == 3
        await publish(api, "small:x", 4)
        assert [each["data"] for each in await publications(client, "small:x", 1)] == [4]
        assert len(client.events.all("publication")) == 1

    async def test_removed_history(self, hub: Running, api: cent.AsyncClient, clients: Clients) -> None:
        """Removing what is kept keeps the position, so that whoever was at the top has missed nothing."""
        client = await clients.connected(hub.ws_url)
        await subscribed(client, "news")
        await publish(api, "news", 1)
        await publications(client, "news", 1)
        await client.unsubscribe("news")
        await api.history_remove(cent.HistoryRemoveRequest(channel="news"))
        await client.subscribe("news")
        told = await client.events.next("subscribed", channel="news")
        assert (told["recovered"], told["position"]["offset"]) == (True, 1)
        await client.unsubscribe("news")
        await publish(api, "news", 2)
        await api.history_remove(cent.HistoryRemoveRequest(channel="news"))
        await client.subscribe("news")
        told = await client.events.next("subscribed", channel="news")
        assert (told["recovered"], told["position"]["offset"]) == (False, 2)

    async def test_the_latest_value_only(self, hub: Running, api: cent.AsyncClient, clients: Clients) -> None:
        """Cache recovery: whoever comes gets the newest publication, whoever has it gets none."""
        await publish(api, "latest:x", 1, 2)
        client = await clients.connected(hub.ws_url)
        told = await subscribed(client, "latest:x")
        assert told["recovered"] is True
        assert (await publications(client, "latest:x", 1))[0]["data"] == 2
        await client.unsubscribe("latest:x")
        await publish(api, "latest:x", 3, 4)
        for expected in ([4], []):
            await client.subscribe("latest:x")
            told = await client.events.next("subscribed", channel="latest:x")
            assert told["recovered"] is True
            heard = await publications(client, "latest:x", len(expected))
            assert [each["data"] for each in heard] == expected
            await client.unsubscribe("latest:x")
        assert [each["data"] for each in client.events.all("publication")] == [2, 4]

    async def test_a_gap_heals(self, hub: Running, api: cent.AsyncClient, clients: Clients) -> None:
        """A loss on the way to the node is made good from the stream: the client notices nothing."""
        assert hub.hub is not None
        client = await clients.connected(hub.ws_url)
        await subscribed(client, "news")
        await publish(api, "news", 1)
        await publications(client, "news", 1)
        broker = hub.hub.node.engine.broker
        # The engine forgets to tell: the node still believes that it listens.
        await broker.unsubscribe("news")
        await publish(api, "news", 2)
        await broker.subscribe("news")
        await publish(api, "news", 3)
        await publications(client, "news", 2)
        assert [each["data"] for each in client.events.all("publication")] == [1, 2, 3]
        assert len(client.events.all("subscribed")) == 1
