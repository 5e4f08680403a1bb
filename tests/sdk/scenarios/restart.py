"""A hub that ends, and another one in its place."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import cent

from tests.sdk.scenarios.clocks import in_every_codec
from tests.sdk.scenarios.recovery import publish
from tests.support.hub_process import API_KEY, BASE, OPEN_CHANNEL, SECRET, hub_process
from tests.support.processes import free_port
from tests.support.sdk import SdkClient
from tests.support.sdk_clients import Clients, publications, subscribed

ENVIRONMENT = {
    "HUB_AUTH__SECRET": SECRET,
    "HUB_API__KEYS": json.dumps(BASE["api.keys"]),
    "HUB_CHANNELS__WITHOUT_NAMESPACE": json.dumps(OPEN_CHANNEL),
}


class RestartScenarios:
    """Real processes and a real signal (client protocol, 15.3)."""

    async def test_moves_to_the_next_hub(self, every_codec: list[Clients], tmp_path: Path) -> None:
        """3001, then the SDK is connected to whoever listens there next, and knows that history is gone."""
        port = free_port()
        connected: list[SdkClient] = []

        async def comes(clients: Clients) -> None:
            client = await clients.connected(f"ws://127.0.0.1:{port}/connection/websocket")
            connected.append(client)
            await subscribed(client, "news")

        async def comes_back(client: SdkClient) -> None:
            await client.events.next("connected")
            told = await client.events.next("subscribed", channel="news")
            assert (told["was_recovering"], told["recovered"]) == (True, False)

        arguments = ("--port", str(port))
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
        async with hub_process(tmp_path / "first", *arguments, env=ENVIRONMENT) as first:
            async with cent.AsyncClient(first.api_url, API_KEY) as api:
                await in_every_codec(every_codec, comes)
                await publish(api, "news", 1)
            for client in connected:
                await publications(client, "news", 1)
            ending = asyncio.create_task(first.terminate())
            for client in connected:
                await client.events.next("connecting", code=3001)
            assert await ending == 0
        async with hub_process(tmp_path / "second", *arguments, env=ENVIRONMENT) as second:
            for client in connected:
                await comes_back(client)
            async with cent.AsyncClient(second.api_url, API_KEY) as api:
                await publish(api, "news", 2)
            for client in connected:
                await publications(client, "news", 1)
                assert [each["data"] for each in client.events.all("publication")] == [1, 2]
                await client.disconnect()
