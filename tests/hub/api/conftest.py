"""A served API over a recording node, with keys of several kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from hub.api import ApiKey, ApiOptions, create_api
from hub.engine import Engine
from hub.engine.memory import memory_engine
from hub.node.notifications import Notifications
from tests.contracts.recording import RecordingEvents
from tests.support.http_server import serving
from tests.support.recording_node import RecordingNode

KEYS = (
    ApiKey.of_secret("backend", "all-of-it", ["admin"]),
    ApiKey.of_secret("speaker", "may-publish", ["publish"]),
    ApiKey.of_secret("reader", "may-read", ["read"]),
    ApiKey.of_secret("chat", "chat-only", ["publish", "read", "control"], ["chat:*"]),
)


@pytest.fixture
def node() -> RecordingNode:
    """What the API talks to."""
    return RecordingNode()


@pytest.fixture
def options() -> ApiOptions:
    """How the API is opened; a test module may give its own."""
    return ApiOptions(keys=KEYS)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """An embedded engine that runs."""
    engine = memory_engine()
    await engine.broker.start(RecordingEvents())
    yield engine
    await engine.broker.stop()


@pytest.fixture
def notifications(engine: Engine) -> Notifications:
    """Inboxes and devices, for one app at each provider."""
    return Notifications(
        engine,
        lanes={
            "apns:com.example.chat:production",
            "fcm:example-1:production",
            "webpush:web:production",
            "recording:demo:sandbox",
        },
    )


@pytest.fixture
async def base_url(
    node: RecordingNode, options: ApiOptions, notifications: Notifications
) -> AsyncIterator[str]:
    """Where the API is served, by a real server."""
    async with serving(Starlette(routes=create_api(node, options, notifications))) as url:
        yield url


@pytest.fixture
async def http(base_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client that holds the key for everything."""
    async with httpx.AsyncClient(
        base_url=f"{base_url}/api", headers={"X-API-Key": "all-of-it"}, trust_env=False
    ) as client:
        yield client
