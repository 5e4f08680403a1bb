"""What happens by the clock: tokens that end, pings that do not come. All codecs at once, to wait once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import cent

from hub.connection import Connection
from tests.sdk.conftest import SETTINGS
from tests.sdk.scenarios.recovery import proxied, publish
from tests.support.hub_process import API_KEY, Running, running_hub
from tests.support.sdk import TIMEOUT_S, SdkClient
from tests.support.sdk_clients import (
    Clients,
    connection_token,
    publications,
    subscribed,
    subscription_token,
)
from tests.support.tcp_proxy import Side, TcpProxy
from tests.support.waiting import eventually

NO_GRACE: dict[str, Any] = {
    **SETTINGS,
    "expiry.connection_grace_s": 0,
    "expiry.subscription_grace_s": 0,
}
QUICK_PINGS: dict[str, Any] = {
    **SETTINGS,
    "ping.interval_s": 1,
    "ping.pong_timeout_s": 0.5,
    "limits.close_timeout_s": 0.5,
}
SOON_S = 2
"""Life of a token that is refreshed: the SDK is told one second, and the hub's grace is on top."""
LATE_S = 3
"""Life of a token that ends for good: two seconds at least, to connect with it on a busy machine."""


async def in_every_codec(
    every: list[Clients], scenario: Callable[[Clients], Coroutine[Any, Any, None]]
) -> None:
    """Run ``scenario`` with each codec, side by side."""
    async with asyncio.TaskGroup() as group:
        for clients in every:
            group.create_task(scenario(clients))


def connection_of(hub: Running, user: str) -> Connection:
    """The one connection of ``user``."""
    assert hub.hub is not None
    (connection,) = hub.hub.node.registry.matching(user)
    assert isinstance(connection, Connection)
    return connection


class ClockScenarios:
    """Refresh, expiry and pings (client protocol, 5 and 7)."""

    async def test_tokens_are_refreshed_in_place(
        self, hub: Running, api: cent.AsyncClient, every_codec: list[Clients]
    ) -> None:
        """New tokens move both ends of life; neither the connection nor the subscription is left."""

        async def scenario(clients: Clients) -> None:
            user, channel = clients.codec, f"closed:{clients.codec}"
            client = await clients.new(
                hub.ws_url,
                token=connection_token(user, lives_s=SOON_S),
                get_token=lambda: connection_token(user),
            )
            await client.connect()
            connected = await client.events.next("connected")
            await subscribed(
                client,
                channel,
                token=subscription_token(channel, user, lives_s=SOON_S),
                get_token=lambda: subscription_token(channel, user),
            )
            connection = connection_of(hub, user)
            membership = connection.membership(channel)
            assert membership is not None
            first, first_of_channel = connection.lifetime.expire_at_s or 0, membership.expire_at_s or 0
            await eventually(lambda: (connection.lifetime.expire_at_s or 0) > first + SOON_S, TIMEOUT_S)
            await eventually(lambda: (membership.expire_at_s or 0) > first_of_channel + SOON_S, TIMEOUT_S)
            await publish(api, channel, 1)
            assert (await publications(client, channel, 1))[0]["data"] == 1
            assert connection_of(hub, user).client == connected["client"]
            assert connection.membership(channel) is membership
            assert len(client.events.all("connecting")) == 1
            assert len(client.events.all("subscribing")) == 1

        await in_every_codec(every_codec, scenario)

    async def test_channel_tokens_that_come_late(self, every_codec: list[Clients]) -> None:
        """2501; with the new token the SDK subscribes again and has missed nothing."""

        async def scenario(clients: Clients) -> None:
            user, channel = clients.codec, f"closed:{clients.codec}"
            expired = asyncio.Event()

            async def late_token() -> str:
                await expired.wait()
                return subscription_token(channel, user)

            client = await clients.connected(hub.ws_url, user)
            token = subscription_token(channel, user, lives_s=LATE_S)
            await subscribed(client, channel, token=token, get_token=late_token)
            await client.events.next("subscribing", channel=channel, code=2501)
            await publish(api, channel, 1)
            expired.set()
            await client.events.next("subscribed", channel=channel, recovered=True)
            assert (await publications(client, channel, 1))[0]["data"] == 1
            await client.disconnect()

        async with running_hub(NO_GRACE) as hub, cent.AsyncClient(hub.api_url, API_KEY) as api:
            await in_every_codec(every_codec, scenario)

    async def test_tokens_that_come_late(self, every_codec: list[Clients]) -> None:
        """3005; with the new token the SDK connects again and has missed nothing."""

        async def scenario(clients: Clients) -> None:
            user = clients.codec
            expired = asyncio.Event()

            async def late_token() -> str:
                await expired.wait()
                return connection_token(user)

            token = connection_token(user, lives_s=LATE_S)
            client = await clients.connected(hub.ws_url, token=token, get_token=late_token)
            await subscribed(client, user)
            await client.events.next("connecting", code=3005)
            await publish(api, user, 1)
            expired.set()
            await client.events.next("connected")
            await client.events.next("subscribed", channel=user, recovered=True)
            assert (await publications(client, user, 1))[0]["data"] == 1
            await client.disconnect()

        async with running_hub(NO_GRACE) as hub, cent.AsyncClient(hub.api_url, API_KEY) as api:
            await in_every_codec(every_codec, scenario)

    async def test_an_expiry_that_the_backend_sets(self, every_codec: list[Clients]) -> None:
        """The SDK is not told of it, is disconnected then, and comes back with the token it has."""

        async def scenario(clients: Clients) -> None:
            user = clients.codec
            client = await clients.connected(hub.ws_url, user)
            expire_at = (connection_of(hub, user).lifetime.expire_at_s or 0) - 599
            await api.refresh(cent.RefreshRequest(user=user, expire_at=expire_at))
            await client.events.next("connecting", code=3005)
            await client.events.next("connected")
            await client.disconnect()

        async with running_hub(NO_GRACE) as hub, cent.AsyncClient(hub.api_url, API_KEY) as api:
            await in_every_codec(every_codec, scenario)

    async def test_a_link_that_falls_silent(self, every_codec: list[Clients]) -> None:
        """The SDK misses the pings and leaves; what was published meanwhile is not lost."""

        async def scenario(clients: Clients) -> None:
            async with proxied(hub) as (proxy, url):
                client = await clients.connected(url, max_server_ping_delay_s=0.5)
                await stalled(proxy, Side.CLIENT, client, clients.codec, noticed_as=2)

        async with running_hub(QUICK_PINGS) as hub, cent.AsyncClient(hub.api_url, API_KEY) as api:
            stalled = partial(_stall, api)
            await in_every_codec(every_codec, scenario)

    async def test_a_client_that_falls_silent(self, every_codec: list[Clients]) -> None:
        """The hub misses the pongs and says 3012; what was published meanwhile is not lost."""

        async def scenario(clients: Clients) -> None:
            async with proxied(hub) as (proxy, url):
                client = await clients.connected(url)
                await stalled(proxy, Side.SERVER, client, clients.codec, noticed_as=3012)

        async with running_hub(QUICK_PINGS) as hub, cent.AsyncClient(hub.api_url, API_KEY) as api:
            stalled = partial(_stall, api)
            await in_every_codec(every_codec, scenario)


async def _stall(
    api: cent.AsyncClient, proxy: TcpProxy, toward: Side, client: SdkClient, channel: str, noticed_as: int
) -> None:
    await subscribed(client, channel)
    proxy.stall(toward=frozenset({toward}))
    await client.events.next("connecting", code=noticed_as)
    await publish(api, channel, 1, 2)
    proxy.restore()
    await client.events.next("subscribed", channel=channel, was_recovering=True, recovered=True)
    await publications(client, channel, 2)
    await publish(api, channel, 3)
    await publications(client, channel, 1)
    assert [each["data"] for each in client.events.all("publication")] == [1, 2, 3]
    await client.disconnect()
