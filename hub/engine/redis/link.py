"""Hears what is published: the subscribed connections of this node, one per primary.

Keeps each channel subscribed at the primary that serves it, wherever that moves. Knows no
meaning of what it hears.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import Any

from hub.engine.redis.address import Endpoint, parse_address
from hub.engine.redis.commands import Commands
from hub.engine.redis.hearing import LinkListener, Patience, Subscription
from hub.engine.redis.keys import Keys
from hub.engine.redis.options import RedisOptions
from hub.engine.redis.primary_link import PrimaryLink
from hub.engine.redis.probing import LinkProbe
from hub.engine.redis.refusals import Verdict, redirection_of, verdict_of
from hub.errors import EngineUnavailable

__all__ = ["Link", "LinkListener"]


class Link:
    """The subscribed connections of this node, one per primary."""

    def __init__(self, options: RedisOptions, keys: Keys, commands: Commands, node_id: str) -> None:
        self._options = options
        self._keys = keys
        self._commands = commands
        self._node_id = node_id
        self._address = parse_address(options.url)
        self._topology = commands.topology
        self._topology.on_change(self._on_topology_change)
        self._wanted: dict[str, Subscription] = {}
        self._placed: dict[str, PrimaryLink] = {}
        self._links: dict[Endpoint, PrimaryLink] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._patience = Patience(options.command_timeout_s)
        self._running = False

    async def start(self) -> None:
        """Connect to every primary and hear a probe from each. After ``Commands.start``.

        Raises:
            EngineUnavailable: when one cannot be reached, or is not heard.
        """
        self._running = True
        try:
            self._meet_primaries()
            for link in list(self._links.values()):
                await link.reached()
            await self.probe()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close everything; listeners are told nothing more. Idempotent."""
        self._running = False
        for subscription in self._wanted.values():
            subscription.refuse(EngineUnavailable("the Redis link was stopped"))
        self._patience.stop()
        self._wanted.clear()
        self._placed.clear()
        links, self._links = self._links, {}
        for link in links.values():
            await link.stop()
        if self._background:
            await asyncio.wait(self._background)

    async def subscribe(self, tag: str, name: str, listener: LinkListener, channel: str = "") -> None:
        """Hear the Pub/Sub channel ``name`` (as :class:`Keys` names it) of ``tag``, until unsubscribed.

        The listener is told of it as ``channel`` (empty: ``name``). Returns once the server confirmed. One
        name has one listener. Idempotent; concurrent calls for one name share one subscription.
        Cancelled or failed, and nobody else waits for it: the name is not subscribed.

        Raises:
            EngineUnavailable: when it was not confirmed in time; nothing else is harmed by it.
        """
        if not self._running:
            raise EngineUnavailable("the Redis link is not running")
        subscription = self._wanted.get(name)
        if subscription is None:
            subscription = Subscription(tag, name.encode(), channel or name, listener)
            self._wanted[name] = subscription
            self._place(name, subscription, self._link_of(tag))
        elif subscription.listener is not listener:
            raise ValueError("somebody else listens to this name already")
        if subscription.heard:
            return
        try:
            self._fail_fast(name)
            await subscription.wait_heard(self._patience)
        except TimeoutError:
            raise EngineUnavailable(
                f"Redis did not confirm a subscription in time: {self._trouble(name)}"
            ) from None
        finally:
            if not (subscription.established or subscription.awaited):
                self._forget(name, subscription)

    def unsubscribe(self, name: str) -> None:
        """Hear it no longer: from this call on nothing is told. Idempotent, never waits."""
        if (subscription := self._wanted.get(name)) is not None:
            self._forget(name, subscription)
            subscription.refuse(EngineUnavailable("the subscription was ended before it began"))

    async def probe(self) -> None:
        """Publish to the own probe channel of every primary and return once all were heard.

        Raises:
            EngineUnavailable: when one was not heard within ``probe_timeout_s``.
        """
        try:
            async with asyncio.timeout(self._options.probe_timeout_s):
                await asyncio.gather(*(link.probe.confirm() for link in self._links.values()))
        except TimeoutError:
            troubles = [link.trouble for link in self._links.values() if link.trouble]
            raise EngineUnavailable(
                f"a probe was not heard by the link to Redis: {'; '.join(troubles) or 'it is silent'}"
            ) from None

    @property
    def probe_age_s(self) -> float:
        """Seconds since a probe was last heard, of the primary that is worst; infinite before the first."""
        return max((link.probe.age_s for link in self._links.values()), default=math.inf)

    @property
    def healthy(self) -> bool:
        """Whether every primary's link hears all that is wanted and heard a probe lately."""
        return bool(self._links) and all(link.healthy for link in self._links.values())

    # PrimaryLinkOwner

    def on_unreachable(self) -> None:
        if self._running and self._address.kind != "standalone":
            self._topology.refresh_soon()

    def on_misplaced(self, link: PrimaryLink, error: Exception) -> None:
        if not self._running or self._address.kind != "cluster":
            return
        if verdict_of(error) is Verdict.GO_THERE:
            self._topology.moved(*redirection_of(error, link.endpoint))
        self._topology.refresh_soon()

    # inside

    def _fail_fast(self, name: str) -> None:
        """Nobody has to wait for what has been gone for as long as one would wait."""
        link = self._placed.get(name)
        if link is not None and link.gone_for_s >= self._options.command_timeout_s:
            raise EngineUnavailable(f"the link to Redis at {link.endpoint} is gone: {link.trouble}")

    def _trouble(self, name: str) -> str:
        link = self._placed.get(name)
        return "nobody knows the primary" if link is None else link.trouble or "it is busy or silent"

    def _forget(self, name: str, subscription: Subscription) -> None:
        if self._wanted.get(name) is subscription:
            del self._wanted[name]
            if (link := self._placed.pop(name, None)) is not None:
                link.remove(subscription)

    def _link_of(self, tag: str) -> PrimaryLink | None:
        endpoint = self._topology.endpoint_of(tag)
        return None if endpoint is None else self._links.get(endpoint)

    def _place(self, name: str, subscription: Subscription, link: PrimaryLink | None) -> None:
        """Hear it at the primary that serves it now, and nowhere else."""
        former = self._placed.get(name)
        if former is link:
            return
        if former is not None:
            former.remove(subscription)
            subscription.be_unheard()
            del self._placed[name]
        if link is not None:
            self._placed[name] = link
            link.add(subscription)

    def _probe_tags(self) -> dict[Endpoint, str]:
        """Every primary that serves anything of ours, with one tag that it serves."""
        tags: dict[Endpoint, str] = {}
        for tag in self._commands.tags:
            if (endpoint := self._topology.endpoint_of(tag)) is not None:
                tags[endpoint] = tag
        return tags

    def _meet_primaries(self) -> None:
        for endpoint, tag in self._probe_tags().items():
            if (link := self._links.get(endpoint)) is not None:
                link.move_probe(tag)
                continue
            probe = LinkProbe(self._commands, self._keys, self._node_id, tag)
            link = PrimaryLink(endpoint, self._address, self._options, self, probe)
            self._links[endpoint] = link
            link.start()

    def _on_topology_change(self) -> None:
        if not self._running:
            return
        self._meet_primaries()
        links = {tag: self._link_of(tag) for tag in {wanted.tag for wanted in self._wanted.values()}}
        for name, subscription in self._wanted.items():
            self._place(name, subscription, links[subscription.tag])
        served = self._probe_tags()
        for endpoint in [known for known in self._links if known not in served]:
            self._in_background(self._links.pop(endpoint).stop())

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
