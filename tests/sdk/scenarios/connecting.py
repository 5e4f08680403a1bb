"""Coming in and going away."""

from __future__ import annotations

import pytest

import hub as this_hub
from tests.support.hub_process import Running
from tests.support.sdk_clients import Clients, connection_token
from tests.support.waiting import eventually


class ConnectingScenarios:
    """Tokens at connect, and what the SDK makes of the hub's answer (client protocol, 4 and 6)."""

    async def test_connects(self, hub: Running, clients: Clients) -> None:
        """The SDK is told its client id and, where it asks, the version of the hub."""
        assert hub.hub is not None
        client = await clients.new(hub.ws_url, token=connection_token("ann"))
        await client.connect()
        told = await client.events.next("connected")
        connection = hub.hub.node.registry.matching("ann")[0]
        assert told["client"] == connection.client
        assert connection.describe()["protocol"] == clients.codec
        assert told.get("version", this_hub.__version__) == this_hub.__version__

    async def test_leaves(self, hub: Running, clients: Clients) -> None:
        """Nothing is left of a client that disconnected."""
        assert hub.hub is not None
        registry = hub.hub.node.registry
        client = await clients.connected(hub.ws_url)
        await client.disconnect()
        assert (await client.events.next("disconnected"))["code"] == 0
        await eventually(lambda: len(registry) == 0)

    async def test_comes_and_goes_quickly(self, hub: Running, clients: Clients) -> None:
        """Ten pairs of connect and disconnect, and the eleventh connect stays."""
        assert hub.hub is not None
        registry = hub.hub.node.registry
        client = await clients.new(hub.ws_url, token=connection_token())
        for _ in range(10):
            await client.connect()
            await client.disconnect()
        await client.connect()
        await client.events.next("connected")
        await eventually(lambda: len(registry) == 1)

    @pytest.mark.parametrize(
        ("token", "code"),
        [("not.a.token", 3500), (connection_token(extra_claims={"channel": "news"}), 3500), ("", 3501)],
        ids=["no token at all", "a subscription token", "none"],
    )
    async def test_a_bad_token_is_final(self, hub: Running, clients: Clients, token: str, code: int) -> None:
        """The SDK does not come back with what can never become right (client protocol, 4.4 and 6.1)."""
        client = await clients.new(hub.ws_url, token=token)
        await client.connect()
        assert (await client.events.next("disconnected"))["code"] == code

    async def test_an_expired_token_is_renewed(self, hub: Running, clients: Clients) -> None:
        """The error reply makes the SDK fetch a new token and connect with it (client protocol, 6.1)."""
        fetched: list[str] = []

        def fetch() -> str:
            fetched.append(connection_token())
            return fetched[-1]

        client = await clients.new(hub.ws_url, token=connection_token(lives_s=-10), get_token=fetch)
        await client.connect()
        assert (await client.events.next("error"))["code"] == 109
        await client.events.next("connected")
        assert len(fetched) == 1
        assert client.events.all("disconnected") == []

    async def test_an_expired_token_without_another_is_final(self, hub: Running, clients: Clients) -> None:
        """With nowhere to get a new token from, the SDK gives up by itself (client protocol, 15.4)."""
        client = await clients.new(hub.ws_url, token=connection_token(lives_s=-10))
        await client.connect()
        assert (await client.events.next("disconnected"))["code"] == 1
