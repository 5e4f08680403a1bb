"""Hundreds of clients of every kind, a publisher that never pauses, and a checker that hears them all.

Some clients are impatient: they leave a hub whose pings fail to come. Others wait, as apps on bad
networks do. Knows the balancer's address and nothing of what is done to the hubs behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from tests.support.checker import Checker, Place
from tests.support.hub_process import API_KEY, BASE, SECRET
from tests.support.js_client import JsDriver
from tests.support.phone import Phone, phones
from tests.support.publisher import Publisher, publishing
from tests.support.python_client import python_client
from tests.support.sdk import CODECS, ClientOptions, MakeClient
from tests.support.sdk_clients import connection_token
from tests.support.waiting import eventually, eventually_true

SWARM_NAMESPACE: Mapping[str, Any] = {
    "name": "swarm",
    "presence": True,
    "history_size": 1000,
    "history_ttl": "300s",
    "force_recovery": True,
    "allow_subscribe_for_client": True,
}
PING_INTERVAL_S = 2
_PATIENT_S, _IMPATIENT_S = 30.0, 1.5
"""How late a ping may be before a client leaves."""


def swarm_settings(**more: Any) -> dict[str, str]:
    """Environment of a hub for swarms. ``more`` are further settings, their keys with ``__`` for dots."""
    settings = {
        "AUTH__SECRET": SECRET,
        "API__KEYS": json.dumps(BASE["api.keys"]),
        "CHANNELS__NAMESPACES": json.dumps([SWARM_NAMESPACE]),
        "PING__INTERVAL_S": str(PING_INTERVAL_S),
        "PING__PONG_TIMEOUT_S": "1.8",
        "LOG__LEVEL": "info",
        # The checker knows all channels of a client; inboxes have tests of their own.
        "INBOX__ENABLED": "false",
    }
    settings |= {
        key.upper(): value if isinstance(value, str) else json.dumps(value) for key, value in more.items()
    }
    return {f"HUB_{key}": value for key, value in settings.items()}


@dataclass(frozen=True, slots=True)
class Size:
    """How many clients of each kind, and how many channels of each kind they share."""

    phones: int = 160
    js: int = 16
    python: int = 8
    channels: int = 4
    server_side: int = 2


STANDARD = Size()


class Swarm:
    """A running swarm. :func:`swarm` starts and ends one."""

    def __init__(self, checker: Checker, publisher: Publisher, api_url: str, phones: Sequence[Phone]) -> None:
        self.checker = checker
        self.publisher = publisher
        self.phones = phones
        self._api_url = api_url

    @property
    def channels(self) -> list[str]:
        """Everything that is published to."""
        return list(self.publisher.accepted)

    @property
    def gap_count(self) -> int:
        """How often a client was told honestly that something is lost."""
        return self.checker.gaps.total()

    @property
    def subscription_count(self) -> int:
        """How many subscriptions its clients have, all together."""
        return sum(len(witness.channels) for witness in self.checker.witnesses)

    @contextlib.asynccontextmanager
    async def churning(self, chance: random.Random, pause_s: float) -> AsyncIterator[None]:
        """One phone after the other leaves the network for a moment, each ``pause_s`` after the last."""

        async def churn() -> None:
            while True:
                chance.choice(self.phones).lose_connection()
                await asyncio.sleep(pause_s)

        task = asyncio.create_task(churn())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def heal(self, timeout_s: float = 15.0) -> None:
        """Publish a little more, then stop, and hold every client to the promise.

        Raises:
            AssertionError: when a client does not come to the last publication in time, or was
                given anything twice, out of order, or not at all without being told.
        """
        await self.publisher.advance(5)
        await self.publisher.stop()
        tops = await self._tops()
        try:
            await eventually(lambda: not self.checker.behind(tops), timeout_s)
        except TimeoutError:
            behind = self.checker.behind(tops)
            shown = "\n".join([*behind[:10], self.checker.violations])
            raise AssertionError(f"{len(behind)} are stuck after {timeout_s} s:\n{shown}") from None
        self.checker.verify(self.publisher.accepted)

    async def _tops(self) -> dict[str, Place]:
        found: dict[str, Place] = {}

        async def read(http: httpx.AsyncClient, channel: str) -> bool:
            response = await http.post(f"{self._api_url}/history", json={"channel": channel, "limit": 0})
            if response.status_code != 200:
                return False
            result = response.json()["result"]
            found[channel] = Place(result["epoch"], result["offset"])
            return True

        async with httpx.AsyncClient(trust_env=False, headers={"X-API-Key": API_KEY}) as http:
            for channel in self.channels:
                await eventually_true(partial(read, http, channel), 10.0)
        return found


@contextlib.asynccontextmanager
async def swarm(url: str, js: JsDriver, size: Size = STANDARD) -> AsyncIterator[Swarm]:
    """Clients on ``url`` that are all subscribed, and a publisher under way, for the length of the block."""
    name = uuid.uuid4().hex[:8]
    own = [f"swarm:{name}-{number}" for number in range(size.channels)]
    attached = [f"swarm:{name}-attached-{number}" for number in range(size.server_side)]
    checker = Checker()
    async with contextlib.AsyncExitStack() as stack:
        maker = _Maker(url, js, own, attached, checker, stack)
        crowd = await maker.make(size)
        publisher = await stack.enter_async_context(publishing(f"{url}/api", [*own, *attached]))
        running = Swarm(checker, publisher, f"{url}/api", crowd)
        await publisher.advance(3)
        yield running
        await publisher.stop()


class _Maker:
    def __init__(
        self,
        url: str,
        js: JsDriver,
        own: list[str],
        attached: list[str],
        checker: Checker,
        stack: contextlib.AsyncExitStack,
    ) -> None:
        self._url = url.replace("http", "ws", 1) + "/connection/websocket"
        self._js = js
        self._own = own
        self._attached = attached
        self._checker = checker
        self._stack = stack

    async def make(self, size: Size) -> list[Phone]:
        """Connect everybody and wait until each is in all of its channels. Returns the phones."""
        crowd = await self._stack.enter_async_context(phones())
        crowd += [self._phone(index) for index in range(size.phones)]
        for phone in crowd:
            phone.connect()
        made: list[tuple[MakeClient, str, int]] = [(self._js.client, "js", index) for index in range(size.js)]
        made += [(python_client, "python", index) for index in range(size.python)]
        async with asyncio.TaskGroup() as tasks:
            for make, kind, index in made:
                tasks.create_task(self._sdk_client(make, kind, index))
        wanted = len(self._own_channels(0)) + 1
        await eventually(lambda: all(len(each.channels) == wanted for each in self._checker.witnesses), 20.0)
        return crowd

    def _own_channels(self, index: int) -> list[str]:
        """Half of the channels, so that their crowds differ."""
        half = (len(self._own) + 1) // 2
        return [self._own[(index + step) % len(self._own)] for step in range(half)]

    def _token(self, user: str, index: int) -> str:
        return connection_token(user, channels=[self._attached[index % len(self._attached)]])

    def _patience_s(self, index: int) -> float:
        return _IMPATIENT_S if index % 2 else _PATIENT_S

    def _phone(self, index: int) -> Phone:
        user = f"phone-{index}"
        return Phone(
            self._url,
            self._token(user, index),
            self._own_channels(index),
            self._checker.witness(user),
            max_server_ping_delay_s=self._patience_s(index),
        )

    async def _sdk_client(self, make: MakeClient, kind: str, index: int) -> None:
        user = f"{kind}-{index}"
        options = ClientOptions(
            url=self._url,
            codec=CODECS[index // 2 % 2],
            token=self._token(user, index),
            max_server_ping_delay_s=self._patience_s(index),
        )
        client = await self._stack.enter_async_context(make(options))
        witness = self._checker.witness(user)
        client.events.follow(witness)
        # What the end of the scenario does to the client is not for the checker.
        self._stack.callback(client.events.follow, None)
        await client.connect()
        for channel in self._own_channels(index):
            await client.subscribe(channel)
