"""Whether what is published at a primary arrives on the link to it: tried all the time, by own probes.

Knows no socket: publishes by the commands, and hears as any listener does.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Collection

from hub.engine.redis.commands import Commands
from hub.engine.redis.hearing import Subscription
from hub.engine.redis.keys import Keys
from hub.engine.redis.scripts import load_script

_PROBE = load_script("probe")


class LinkProbe:
    """Probes of one primary by one of the tags that it serves."""

    def __init__(self, commands: Commands, keys: Keys, node_id: str, tag: str) -> None:
        self._commands = commands
        self._keys = keys
        self._node_id = node_id
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._heard_at_s = -math.inf
        self._awaited_since_s: float | None = None
        self._waiting: dict[asyncio.Future[None], int] = {}
        self.subscription = self._subscription_of(tag)
        """What the link has to hear for it."""

    @property
    def age_s(self) -> float:
        """Seconds since one was heard; infinite before the first."""
        return self._loop.time() - self._heard_at_s

    @property
    def awaited_s(self) -> float:
        """For how long one has been published and not heard; 0 when all were heard."""
        return 0.0 if self._awaited_since_s is None else self._loop.time() - self._awaited_since_s

    def move(self, tag: str) -> None:
        """Probe by another tag from now on: a new :attr:`subscription`."""
        if tag != self.subscription.tag:
            self.subscription = self._subscription_of(tag)
            self._awaited_since_s = None

    def forget(self) -> None:
        """The link is another one now: what the former should have heard does not count."""
        self._awaited_since_s = None

    async def publish(self) -> int:
        """Publish a probe where the link hears it. Returns its number.

        Raises:
            EngineUnavailable: when it was not published, as far as is known; then nothing is awaited.
        """
        self._number += 1
        number, subscription = self._number, self.subscription
        began_s = self._loop.time()
        await self._commands.run(
            subscription.tag, _PROBE, [subscription.name.decode()], [self._commands.publish_verb, number]
        )
        # The link may well have heard it before the answer came.
        if subscription.heard and self._heard_at_s < began_s and self._awaited_since_s is None:
            self._awaited_since_s = began_s
        return number

    async def confirm(self) -> None:
        """Publish a probe and return once it, or a later one, was heard. Bound it by a timeout.

        Raises:
            EngineUnavailable: when it could not be published, or the server refuses to let us hear it.
        """
        await self.subscription.wait_heard()
        heard: asyncio.Future[None] = self._loop.create_future()
        self._waiting[heard] = self._number + 1
        try:
            _ = await self.publish()
            await heard
        finally:
            del self._waiting[heard]

    def on_message(self, channel: str, payload: bytes) -> None:
        """One was heard. Those of a former process with the same node id do not count."""
        with contextlib.suppress(ValueError):
            number = int(payload)
            if number > self._number:
                return
            self._heard_at_s = self._loop.time()
            self._awaited_since_s = None
            for future, least in self._waiting.items():
                if number >= least and not future.done():
                    future.set_result(None)

    def on_doubt(self, channels: Collection[str]) -> None:
        """A missed probe is nobody's loss."""

    def _subscription_of(self, tag: str) -> Subscription:
        return Subscription(tag, self._keys.probe(tag, self._node_id).encode(), "", self)
