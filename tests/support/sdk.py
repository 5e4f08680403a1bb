"""The published SDKs behind one face, so that a scenario is written once and run with each of them.

Payloads are JSON values in every codec. What an SDK calls an event arrives in an :class:`EventLog`
under one name and with one set of fields; what it calls a failure is an :class:`SdkError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

CODECS = ("json", "protobuf")

TIMEOUT_S = 15.0
"""How long anything may take on a busy machine; nothing that works comes near it."""

Fields: TypeAlias = dict[str, Any]

GetToken: TypeAlias = Callable[[], str | Awaitable[str]]
"""What an SDK calls for a token. A backend that takes its time is one that returns an awaitable."""


class SdkError(Exception):
    """An SDK refused or failed a call. ``code`` is the hub's, or below 100 the SDK's own."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Event:
    """Something an SDK told its application."""

    name: str
    fields: Fields

    def fits(self, name: str, wanted: Fields) -> bool:
        """Whether it has this name and at least these fields."""
        return self.name == name and all(self.fields.get(key) == value for key, value in wanted.items())


class EventLog:
    """Everything one client told, in order. Each event is handed out once by :meth:`next`."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._taken: set[int] = set()
        self._arrived = asyncio.Event()
        self._ended = ""
        self._follower: Callable[[str, Fields], None] | None = None

    def add(self, name: str, fields: Fields) -> None:
        """Note an event."""
        self._events.append(Event(name, fields))
        self._arrived.set()
        if self._follower is not None:
            self._follower(name, fields)

    def follow(self, follower: Callable[[str, Fields], None] | None) -> None:
        """Give each event from now on to ``follower`` as well, as it comes; None gives it to nobody."""
        self._follower = follower

    def end(self, reason: str) -> None:
        """Nothing more will come: whoever waits fails at once, with ``reason``."""
        self._ended = reason
        self._arrived.set()

    async def next(self, name: str, **fields: Any) -> Fields:
        """The first event of this name with these fields that was not handed out before; waits for it.

        Raises:
            AssertionError: when it does not come, naming everything that did.
        """
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while True:
                    for index, event in enumerate(self._events):
                        if index not in self._taken and event.fits(name, fields):
                            self._taken.add(index)
                            return event.fields
                    if self._ended:
                        break
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            pass
        told = "\n".join(f"  {event.name} {event.fields}" for event in self._events)
        raise AssertionError(f"no {name} {fields or ''} came. {self._ended} There were:\n{told}")

    def all(self, name: str, **fields: Any) -> list[Fields]:
        """Every event of this name with these fields so far, handed out or not."""
        return [event.fields for event in self._events if event.fits(name, fields)]


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How an SDK client is made. ``get_token`` is what the application would fetch from its backend.

    ``data`` goes with the connect command; None sends none.
    """

    url: str
    codec: str
    token: str = ""
    get_token: GetToken | None = None
    max_server_ping_delay_s: float = 10.0
    data: object = None


@dataclass(frozen=True, slots=True)
class SubscriptionOptions:
    """How a subscription is made. ``get_state`` returns ``{"offset": ..., "epoch": ...}``."""

    token: str = ""
    get_token: GetToken | None = None
    get_state: Callable[[], Fields] | None = None
    recoverable: bool = False
    positioned: bool = False
    join_leave: bool = False
    delta: str = ""


RECONNECT_DELAY_S = (0.05, 0.3)
"""Least and most time between two attempts: short, since every reconnect in a test is on purpose."""


class SdkClient(Protocol):
    """One client of a published SDK.

    Events: connecting, connected, disconnected, error; of a client's own subscriptions subscribing,
    subscribed, unsubscribed, publication, join, leave, subscription_error; the same with ``server_``
    before them of those that the hub made.
    """

    events: EventLog

    async def connect(self) -> None:
        """Begin to connect."""
        ...

    async def disconnect(self) -> None:
        """Leave for good."""
        ...

    async def subscribe(self, channel: str, options: SubscriptionOptions | None = None) -> None:
        """Begin to subscribe; the options count the first time only."""
        ...

    async def unsubscribe(self, channel: str) -> None:
        """End the subscription, keeping its position."""
        ...

    async def publish(self, channel: str, data: object) -> None:
        """Publish ``data``."""
        ...

    async def publish_bytes(self, channel: str, payload: bytes) -> None:
        """Publish bytes that need not be JSON. Protobuf only."""
        ...

    async def history(
        self, channel: str, limit: int = 0, since: Fields | None = None, reverse: bool = False
    ) -> Fields:
        """``publications``, ``offset`` and ``epoch``."""
        ...

    async def presence(self, channel: str) -> dict[str, Fields]:
        """Client infos by client id."""
        ...

    async def presence_stats(self, channel: str) -> Fields:
        """``num_clients`` and ``num_users``."""
        ...

    async def rpc(self, method: str, data: object) -> object:
        """Call a method of the application's own."""
        ...

    async def patches(self, channel: str) -> int:
        """How many publications of the subscription travelled as patches so far."""
        ...


MakeClient: TypeAlias = Callable[[ClientOptions], AbstractAsyncContextManager[SdkClient]]
"""Makes a client that does not connect yet, and lets go of it when the block ends."""
