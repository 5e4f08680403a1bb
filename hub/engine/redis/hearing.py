"""What somebody wants to hear, who is told, and who is told that something may have been missed.

Knows no connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from typing import Protocol

_LOOKS_PER_TIMEOUT = 10


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

    async def wait_heard(self, patience: Patience | None = None) -> None:
        """Return once it is heard. Safe to cancel. Without ``patience``, bound it by a timeout.

        Raises:
            EngineUnavailable: when the server refused it.
            TimeoutError: when patience was lost.
        """
        if self.heard:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if patience is not None:
            patience.watch(future)
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


class Patience:
    """Ends what is waited for longer than ``timeout_s``, with a TimeoutError; a little late is soon enough.

    One timer for all that wait: crowds of subscriptions come at once, and one for each costs
    a third of what a subscription does.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._looking: asyncio.TimerHandle | None = None

    def watch(self, future: asyncio.Future[None]) -> None:
        """End it when its time is over, unless it is done by then."""
        self._waiting.append((future.get_loop().time() + self._timeout_s, future))
        if self._looking is None:
            self._look_later()

    def stop(self) -> None:
        """End nothing any more."""
        self._waiting.clear()
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._looking = loop.call_later(min(self._timeout_s / _LOOKS_PER_TIMEOUT, 0.5), self._look)

    def _look(self) -> None:
        self._looking = None
        now_s = asyncio.get_running_loop().time()
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= now_s):
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(TimeoutError())
        if self._waiting:
            self._look_later()


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
