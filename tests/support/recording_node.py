"""A node that remembers what the server API asked of it, with just enough streams to answer from.

For the shapes of requests and answers only; what a hub really does is tested with the real node.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from hub.errors import NOT_AVAILABLE, RESERVED_CHANNEL, UNKNOWN_CHANNEL, UNRECOVERABLE_POSITION, HubError
from hub.model import (
    ClientInfo,
    HistoryFilter,
    HistoryPage,
    Position,
    PresenceStats,
    Publication,
    PublishResult,
)

EPOCH = "ep0c"


class RecordingNode:
    """Records every call as ``(method, arguments)``.

    Channels of ``undefined:`` are unknown, those of ``inbox:`` reserved, and those of
    ``plain:`` keep nothing. Whatever is in ``failures`` under a method's name, or under a
    channel's, is raised instead of an answer.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.streams: dict[str, list[Publication]] = defaultdict(list)
        self.members: dict[str, ClientInfo] = {}
        self.subscribers: dict[str, int] = {}
        self.live: dict[str, dict[str, Any]] = {}
        self.failures: dict[str, Exception] = {}

    @property
    def revoking(self) -> RecordingNode:
        """Revocations are recorded like everything else."""
        return self

    async def block(self, user: str, until_ms: int | None) -> None:
        self._record("block", user=user, until_ms=until_ms)

    async def unblock(self, user: str) -> None:
        self._record("unblock", user=user)

    async def revoke_token(self, token_id: str, until_ms: int) -> None:
        self._record("revoke_token", token_id=token_id, until_ms=until_ms)

    async def revoke_issued_before(self, user: str, before_ms: int, until_ms: int) -> None:
        self._record("revoke_issued_before", user=user, before_ms=before_ms, until_ms=until_ms)

    @property
    def published(self) -> list[tuple[str, bytes]]:
        """Channel and payload of each publication, in order."""
        return [(asked["channel"], asked["data"]) for name, asked in self.calls if name == "publish"]

    @property
    def last(self) -> tuple[str, dict[str, Any]]:
        """The last call."""
        return self.calls[-1]

    async def publish(self, channel: str, data: bytes, **how: Any) -> PublishResult:
        self._record("publish", channel, data=data, **how)
        if channel.startswith("plain:"):
            return PublishResult(None)
        stream = self.streams[channel]
        stream.append(Publication(data, len(stream) + 1, tags=how["tags"], time_ms=1_700_000_000_000))
        return PublishResult(Position(len(stream), EPOCH))

    async def history(self, channel: str, wanted: HistoryFilter) -> HistoryPage:
        self._record("history", channel, wanted=wanted)
        if channel.startswith("plain:"):
            raise HubError(NOT_AVAILABLE, "the channel keeps no history")
        if wanted.since is not None and wanted.since.epoch not in ("", EPOCH):
            raise HubError(UNRECOVERABLE_POSITION)
        stream = self.streams[channel]
        shown = stream if wanted.limit == -1 else stream[: wanted.limit]
        return HistoryPage(tuple(shown), Position(len(stream), EPOCH))

    async def remove_history(self, channel: str) -> None:
        self._record("remove_history", channel)

    async def presence(self, channel: str) -> Mapping[str, ClientInfo]:
        self._record("presence", channel)
        return self.members

    async def presence_stats(self, channel: str) -> PresenceStats:
        self._record("presence_stats", channel)
        return PresenceStats(len(self.members), len({info.user for info in self.members.values()}))

    async def subscribe(self, user: str, channel: str, **how: Any) -> None:
        self._record("subscribe", channel, user=user, **how)

    async def unsubscribe(self, user: str, channel: str, **how: Any) -> None:
        self._record("unsubscribe", channel, user=user, **how)

    async def disconnect(self, user: str, **how: Any) -> None:
        self._record("disconnect", user=user, **how)

    async def refresh(self, user: str, **how: Any) -> None:
        self._record("refresh", user=user, **how)

    async def channels(self, pattern: str = "") -> Mapping[str, int]:
        self._record("channels", pattern=pattern)
        return self.subscribers

    async def connections(self, user: str = "", client: str = "") -> Mapping[str, Mapping[str, Any]]:
        self._record("connections", user=user, client=client)
        return self.live

    async def info(self) -> list[Mapping[str, Any]]:
        self._record("info")
        counts = {"num_clients": 2, "num_users": 1, "num_subs": 3, "num_channels": 2}
        return [{"uid": "n1", "name": "hub-1", "version": "0.1.0", "uptime": 7, **counts}]

    def _record(self, method: str, channel: str | None = None, **asked: Any) -> None:
        self.calls.append((method, asked if channel is None else {"channel": channel, **asked}))
        failure = self.failures.get(method) or self.failures.get(channel or "")
        if failure is not None:
            raise failure
        if channel is not None and channel.startswith("undefined:"):
            raise HubError(UNKNOWN_CHANNEL)
        if channel is not None and channel.startswith("inbox:"):
            raise HubError(RESERVED_CHANNEL)
