"""A hub, a caller of its API, and clients of whichever SDK the test module names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import cent
import pytest
import pytest_asyncio

from tests.support.hub_process import API_KEY, OPEN_CHANNEL, Running, running_hub
from tests.support.sdk import CODECS, MakeClient
from tests.support.sdk_clients import Clients

MAX_CHANNELS = 6

SETTINGS: dict[str, Any] = {
    "limits.max_channels": MAX_CHANNELS,
    "limits.recovery_max_publications": 100_000,
    "channels.namespaces": [
        {**OPEN_CHANNEL, "name": "small", "history_size": 2},
        {**OPEN_CHANNEL, "name": "long", "history_size": 100_000},
        {**OPEN_CHANNEL, "name": "delta", "delta_publish": True},
        {**OPEN_CHANNEL, "name": "latest", "history_size": 1, "force_recovery_mode": "cache"},
        {
            "name": "plain",
            "allow_subscribe_for_client": True,
            "allow_publish_for_client": True,
            "allow_history_for_client": True,
            "allow_presence_for_client": True,
        },
        {
            "name": "closed",
            "presence": True,
            "history_size": 10,
            "history_ttl": "60s",
            "allow_recovery": True,
            "force_recovery": True,
        },
    ],
}
"""Channels without a namespace are open to users; ``plain`` ones keep nothing, ``closed`` need a token."""


@pytest_asyncio.fixture(loop_scope="module")
async def hub() -> AsyncIterator[Running]:
    """A hub of the test's own."""
    async with running_hub(SETTINGS) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def api(hub: Running) -> AsyncIterator[cent.AsyncClient]:
    """The backend."""
    async with cent.AsyncClient(hub.api_url, API_KEY) as client:
        yield client


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> str:
    """Each codec in turn."""
    return str(request.param)


@pytest_asyncio.fixture(loop_scope="module")
async def clients(make_client: MakeClient, codec: str, hub: Running) -> AsyncIterator[Clients]:
    """Clients that speak ``codec``; gone before the hub is."""
    async with Clients(make_client, codec) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def every_codec(make_client: MakeClient) -> AsyncIterator[list[Clients]]:
    """Clients of each codec, for scenarios that wait for a clock and therefore run side by side."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Clients(make_client, codec)) for codec in CODECS]
