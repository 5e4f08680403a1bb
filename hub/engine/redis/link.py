"""Hears what is published. (Signatures; the inside follows.)"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from hub.engine.redis.commands import Commands
from hub.engine.redis.keys import Keys
from hub.engine.redis.options import RedisOptions


class LinkListener(Protocol):
    """Who is told what the link hears. Never awaited; must not raise."""

    def on_message(self, channel: str, payload: bytes) -> None:
        """Something was published; in the order of the server."""
        ...

    def on_doubt(self, channels: Collection[str]) -> None:
        """What was published to these since the link was lost may be lost; they are heard again now."""
        ...


class Link:
    """The subscribed connections of this node, one per primary."""

    def __init__(self, options: RedisOptions, keys: Keys, commands: Commands, node_id: str) -> None: ...

    async def start(self) -> None:
        """Connect to every primary. After ``Commands.start``.

        Raises:
            EngineUnavailable: when one cannot be reached.
        """
        raise NotImplementedError

    async def stop(self) -> None:
        """Close everything; listeners are told nothing more. Idempotent."""
        raise NotImplementedError

    async def subscribe(self, tag: str, name: str, listener: LinkListener, channel: str = "") -> None:
        """Hear the Pub/Sub channel ``name`` (as :class:`Keys` names it) of ``tag``, until unsubscribed.

        The listener is told of it as ``channel`` (empty: ``name``). Returns once the server confirmed. One
        name has one listener. Idempotent; concurrent calls for one name share one subscription.
        Cancelled or failed, and nobody else waits for it: the name is not subscribed.

        Raises:
            EngineUnavailable: when it was not confirmed in time; nothing else is harmed by it.
        """
        raise NotImplementedError

    def unsubscribe(self, name: str) -> None:
        """Hear it no longer: from this call on nothing is told. Idempotent, never waits."""
        raise NotImplementedError

    async def probe(self) -> None:
        """Publish to the own probe channel of every primary and return once all were heard.

        Raises:
            EngineUnavailable: when one was not heard within ``probe_timeout_s``.
        """
        raise NotImplementedError

    @property
    def probe_age_s(self) -> float:
        """Seconds since a probe was last heard, of the primary that is worst; infinite before the first."""
        raise NotImplementedError

    @property
    def healthy(self) -> bool:
        """Whether every primary's link is subscribed and was heard lately."""
        raise NotImplementedError
