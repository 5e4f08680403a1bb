"""Presence of the embedded engine: two dictionaries."""

from __future__ import annotations

from collections.abc import Mapping

from hub.model import ClientInfo, PresenceStats


class MemoryPresence:
    """Who is in which channel of this process."""

    def __init__(self) -> None:
        self._channels: dict[str, dict[str, ClientInfo]] = {}

    async def add(self, channel: str, info: ClientInfo) -> None:
        self._channels.setdefault(channel, {})[info.client] = info

    async def remove(self, channel: str, client: str) -> None:
        members = self._channels.get(channel)
        if members is None:
            return
        members.pop(client, None)
        if not members:
            del self._channels[channel]

    async def members(self, channel: str) -> Mapping[str, ClientInfo]:
        return dict(self._channels.get(channel, {}))

    async def stats(self, channel: str) -> PresenceStats:
        members = self._channels.get(channel, {})
        return PresenceStats(len(members), len({info.user for info in members.values()}))
