"""A node that only remembers what the engine told it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from hub.model import ClientInfo, Position, Publication
from tests.support.waiting import eventually

_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One publication as it arrived."""

    channel: str
    publication: Publication
    position: Position | None


@dataclass(slots=True)
class RecordingEvents:
    """Implements ``BrokerEvents``."""

    publications: list[Heard] = field(default_factory=list)
    comings: list[tuple[str, str, ClientInfo]] = field(default_factory=list)
    doubts: list[Collection[str] | None] = field(default_factory=list)

    def on_publication(self, channel: str, publication: Publication, position: Position | None) -> None:
        """Remember it."""
        self.publications.append(Heard(channel, publication, position))

    def on_join(self, channel: str, info: ClientInfo) -> None:
        """Remember it."""
        self.comings.append(("join", channel, info))

    def on_leave(self, channel: str, info: ClientInfo) -> None:
        """Remember it."""
        self.comings.append(("leave", channel, info))

    def on_doubt(self, channels: Collection[str] | None) -> None:
        """Remember it."""
        self.doubts.append(channels)

    async def heard(self, count: int) -> list[Heard]:
        """The publications, once there are ``count`` of them; a turn of the loop more would show another."""
        await eventually(lambda: len(self.publications) >= count, _TIMEOUT_S)
        await asyncio.sleep(0)
        return self.publications

    async def seen(self, count: int) -> list[tuple[str, str, ClientInfo]]:
        """The joins and leaves, once there are ``count`` of them."""
        await eventually(lambda: len(self.comings) >= count, _TIMEOUT_S)
        await asyncio.sleep(0)
        return self.comings
