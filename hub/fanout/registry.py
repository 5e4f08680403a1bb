"""Which connections live on this node, found by client id and by user id.

Knows what may be asked of a connection, not how a connection does it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from hub.errors import Disconnect, UnsubscribeCode
from hub.model import Position


@dataclass(frozen=True, slots=True)
class ServerSubscription:
    """What the server side asks for when it subscribes a connection.

    ``expire_at_s`` is unix time. ``options`` holds the namespace options it overrides.
    """

    channel: str
    info: bytes | None = None
    data: bytes | None = None
    recover_since: Position | None = None
    expire_at_s: int | None = None
    options: Mapping[str, bool] | None = None


class LiveConnection(Protocol):
    """A connected, authenticated client, as the server API may act on it."""

    @property
    def client(self) -> str:
        """Its client id."""
        ...

    @property
    def user(self) -> str:
        """Its user id; empty for an anonymous one."""
        ...

    @property
    def subscription_count(self) -> int:
        """How many channels it is subscribed to."""
        ...

    def disconnect(self, why: Disconnect) -> None:
        """End it. Returns at once."""
        ...

    async def subscribe_by_server(self, wanted: ServerSubscription) -> None:
        """Attach it to a channel and tell the client.

        Raises:
            HubError: when the channel cannot be subscribed to.
        """
        ...

    async def unsubscribe_by_server(self, channel: str, why: UnsubscribeCode) -> None:
        """Detach it from a channel and tell the client; nothing happens where it is not in it."""
        ...

    def refresh_by_server(self, expired: bool, expire_at_s: int | None, info: bytes | None) -> None:
        """Move its expiry, or end it as expired."""
        ...

    def look_again(self) -> None:
        """Something was revoked that it may rest on: it ends if so. Returns at once."""
        ...

    @property
    def device(self) -> str:
        """The device that it runs on; empty for one that named none."""
        ...

    async def device_registered(self, device: str) -> None:
        """A device of its user was registered; if it is its own, it is online now.

        Raises:
            EngineUnavailable: it is unknown whether that was noted.
        """
        ...

    async def set_device_state(self, state: Literal["foreground", "background"]) -> None:
        """The app on its device went to the foreground or the background.

        Raises:
            EngineUnavailable: it is unknown whether that was noted.
        """
        ...

    async def hello_again(self) -> None:
        """Tell the ledger once more of the device behind it, if there is one.

        Raises:
            EngineUnavailable: it is unknown whether that was noted.
        """
        ...

    def describe(self) -> Mapping[str, Any]:
        """What operators may know of it, as JSON-ready values."""
        ...


class Registry:
    """The connected clients of this node."""

    def __init__(self) -> None:
        self._by_client: dict[str, LiveConnection] = {}
        self._by_user: dict[str, dict[str, LiveConnection]] = {}
        self._arriving: dict[str, LiveConnection] = {}

    def __len__(self) -> int:
        return len(self._by_client)

    def __iter__(self) -> Iterator[LiveConnection]:
        return iter(list(self._by_client.values()))

    @property
    def user_count(self) -> int:
        """Distinct user ids; all anonymous clients are one."""
        return len(self._by_user)

    def expect(self, connection: LiveConnection) -> None:
        """Have :meth:`by_client` find a connection before it is counted in. Until then, or :meth:`remove`."""
        self._arriving[connection.client] = connection

    def by_client(self, client: str) -> LiveConnection | None:
        """The connection with this client id, also one that is only expected."""
        return self._by_client.get(client) or self._arriving.get(client)

    def add(self, connection: LiveConnection) -> None:
        """Count a connected client in."""
        self._arriving.pop(connection.client, None)
        self._by_client[connection.client] = connection
        self._by_user.setdefault(connection.user, {})[connection.client] = connection

    def remove(self, connection: LiveConnection) -> None:
        """Count it out; unknown ones are ignored."""
        self._arriving.pop(connection.client, None)
        if self._by_client.pop(connection.client, None) is None:
            return
        of_user = self._by_user[connection.user]
        del of_user[connection.client]
        if not of_user:
            del self._by_user[connection.user]

    def count_of(self, user: str) -> int:
        """How many connections ``user`` has."""
        return len(self._by_user.get(user, ()))

    def matching(self, user: str, client: str = "") -> list[LiveConnection]:
        """The connections of ``user``, or the one of them with this client id."""
        of_user = self._by_user.get(user, {})
        if not client:
            return list(of_user.values())
        found = of_user.get(client)
        return [] if found is None else [found]

    def find(self, user: str, client: str) -> list[LiveConnection]:
        """Like :meth:`matching`, where an empty ``user`` means anybody."""
        if user:
            return self.matching(user, client)
        if not client:
            return list(self)
        found = self._by_client.get(client)
        return [] if found is None else [found]
