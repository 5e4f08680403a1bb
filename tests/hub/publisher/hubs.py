"""A hub on a Redis, for tests that publish beside it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from tests.support.hub_process import OPEN_CHANNEL, Running, running_hub
from tests.support.wire_client import WireClient

NAMESPACES = [
    {"name": "chat", **OPEN_CHANNEL},
    {"name": "live", "allow_subscribe_for_client": True},
    {"name": "patched", **OPEN_CHANNEL, "delta_publish": True},
    {"name": "numbered", **OPEN_CHANNEL, "channel_regex": "[0-9]+"},
]


def running_on(url: str, **overrides: Any) -> AbstractAsyncContextManager[Running]:
    """A hub in this process, with the namespaces above, on the Redis at ``url``."""
    settings = {name.replace("__", "."): value for name, value in overrides.items()}
    return running_hub({"redis.url": url, "channels.namespaces": NAMESPACES, **settings})


async def publication(client: WireClient) -> dict[str, Any]:
    """The next publication that the client gets; joins and leaves are passed over."""
    while "pub" not in (push := await client.push()):
        pass
    pub: dict[str, Any] = push["pub"]
    return pub
