"""Clients of one SDK in one codec, made ready for a scenario and let go of at its end."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from hub.auth import TokenSigner, issue_connection_token, issue_subscription_token
from tests.support.hub_process import SECRET
from tests.support.sdk import ClientOptions, Fields, MakeClient, SdkClient, SubscriptionOptions

SIGNER = TokenSigner.from_secret(SECRET)
LONG_S = 600


def in_s(seconds: int) -> int:
    """Unix time some seconds from now, or ago."""
    return int(time.time()) + seconds


def connection_token(user: str = "ann", *, lives_s: int = LONG_S, **claims: Any) -> str:
    """A token that the hub of the tests accepts."""
    return issue_connection_token(SIGNER, user, exp_s=in_s(lives_s), **claims)


def subscription_token(channel: str, user: str = "ann", *, lives_s: int = LONG_S, **claims: Any) -> str:
    """A token that opens ``channel`` to ``user``."""
    return issue_subscription_token(SIGNER, user, channel, exp_s=in_s(lives_s), **claims)


class Clients:
    """Makes clients; all of them are disconnected when the block ends."""

    def __init__(self, make: MakeClient, codec: str) -> None:
        self._make = make
        self.codec = codec
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def new(self, url: str, *, codec: str = "", **options: Any) -> SdkClient:
        """A client that does not connect yet."""
        wanted = ClientOptions(url=url, codec=codec or self.codec, **options)
        return await self._stack.enter_async_context(self._make(wanted))

    async def connected(
        self, url: str, user: str = "ann", *, claims: Fields | None = None, **options: Any
    ) -> SdkClient:
        """A client of ``user`` that is connected."""
        options.setdefault("token", connection_token(user, **(claims or {})))
        client = await self.new(url, **options)
        await client.connect()
        await client.events.next("connected")
        return client


async def subscribed(client: SdkClient, channel: str, **options: Any) -> Fields:
    """Subscribe and wait for it; what the SDK told of it."""
    await client.subscribe(channel, SubscriptionOptions(**options))
    return await client.events.next("subscribed", channel=channel)


async def publications(
    client: SdkClient, channel: str, count: int, *, event: str = "publication"
) -> list[Fields]:
    """The next ``count`` publications of ``channel``; waits for them."""
    return [await client.events.next(event, channel=channel) for _ in range(count)]
