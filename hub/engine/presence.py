"""Port: who is in a channel now, over all nodes. Knows no permission and no event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from hub.model import ClientInfo, PresenceStats


class Presence(Protocol):
    """Membership of channels. Every method may raise ``EngineUnavailable``.

    Entries belong to the node that added them and vanish with it; there is nothing for
    the caller to renew.
    """

    async def add(self, channel: str, info: ClientInfo) -> None:
        """Count this client in. Adding again replaces what is known of it."""
        ...

    async def remove(self, channel: str, client: str) -> None:
        """Count this client out; unknown clients are ignored."""
        ...

    async def members(self, channel: str) -> Mapping[str, ClientInfo]:
        """Everybody in the channel, by client id."""
        ...

    async def stats(self, channel: str) -> PresenceStats:
        """The counts alone, without listing anybody."""
        ...
