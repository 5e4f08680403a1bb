"""What somebody wants to hear, who is told, and who is told that something may have been missed.

Knows no connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol


class LinkListener(Protocol):
    """Who is told what the link hears. Never awaited; must not raise."""

    def on_message(self, channel: str, payload: bytes) -> None:
        """Something was published; in the order of the server."""
        ...

    def on_doubt(self, channels: Collection[str]) -> None:
        """What was published to these since the link was lost may be lost; they are heard again now."""
        ...


class Subscription:
    """A name that somebody wants to hear, wherever it is heard."""

    __slots__ = ("_waiting", "channel", "doubtful", "established", "heard", "listener", "name", "tag")

    def __init__(self, tag: str, name: bytes, channel: str, listener: LinkListener) -> None:
        self.tag = tag
        self.name = name
        self.channel = channel
        self.listener = listener
        self.heard = False
        self.established = False
        """Whether it was ever heard, so that somebody may rely on it."""
        self.doubtful = False
        """Whether something may have been missed that nobody was told of yet."""
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for it to be heard."""
        return bool(self._waiting)

    async def wait_heard(self) -> None:
        """Return once it is heard. Safe to cancel.

        Raises:
            EngineUnavailable: when the server refused it.
        """
        if self.heard:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        finally:
            self._waiting.remove(future)

    def be_heard(self) -> bool:
        """The server confirmed it; True when something may have been missed before."""
        doubtful, self.doubtful = self.doubtful, False
        self.heard = self.established = True
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        return doubtful

    def be_unheard(self) -> None:
        """From now on something may be missed."""
        self.heard = False
        self.doubtful = self.established

    def refuse(self, error: Exception) -> None:
        """The server will not have it: whoever waits is told."""
        for future in self._waiting:
            if not future.done():
                future.set_exception(error)


class Doubts:
    """Channels of which something may be missing, gathered to be told once per listener."""

    def __init__(self) -> None:
        self._channels: dict[int, tuple[LinkListener, list[str]]] = {}

    def add(self, subscription: Subscription) -> None:
        listener = subscription.listener
        _, channels = self._channels.setdefault(id(listener), (listener, []))
        channels.append(subscription.channel)

    def tell(self) -> None:
        """Tell every listener of its channels."""
        gathered, self._channels = self._channels, {}
        for listener, channels in gathered.values():
            listener.on_doubt(channels)

    def clear(self) -> None:
        """Tell nobody."""
        self._channels.clear()

    def __bool__(self) -> bool:
        return bool(self._channels)
