"""Port: what the server API asks of the node that it stands in front of.

Values in, values out; refusals are :class:`~hub.errors.HubError`. Knows no HTTP and no JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from hub.channels import Override
from hub.engine.jobs import NewNotice
from hub.errors import FORCE_DISCONNECT, Disconnect
from hub.model import ClientInfo, HistoryFilter, HistoryPage, Position, PresenceStats, PublishResult


class Revoking(Protocol):
    """Keeps somebody out; who it concerns is disconnected on every node. Times are unix milliseconds.

    Each method may raise ``EngineUnavailable``, and 106 when too much is revoked already.
    """

    async def block(self, user: str, until_ms: int | None) -> None:
        """Keep ``user`` out until a time, or for good; a former block is replaced."""
        ...

    async def unblock(self, user: str) -> None:
        """Let ``user`` in again."""
        ...

    async def revoke_token(self, token_id: str, until_ms: int) -> None:
        """Have no token with this ``jti`` count until then."""
        ...

    async def revoke_issued_before(self, user: str, before_ms: int, until_ms: int) -> None:
        """Have no token of ``user`` count until then that was issued earlier."""
        ...


class HubNode(Protocol):
    """The node as the server API sees it.

    Every method may raise ``EngineUnavailable``; each one that names a channel may raise
    102 (namespace not configured) and 107 (impossible name). Whoever calls is trusted:
    permissions of clients do not apply, the reserved namespace still does (1014).
    A user, client or session that nobody has is not an error.
    """

    @property
    def revoking(self) -> Revoking:
        """Who is kept out."""
        ...

    async def publish(
        self,
        channel: str,
        data: bytes,
        *,
        info: ClientInfo | None = None,
        tags: Mapping[str, str] | None = None,
        skip_history: bool = False,
        idempotency_key: str = "",
        delta: bool = False,
        version: int = 0,
        version_epoch: str = "",
        job: NewNotice | None = None,
    ) -> PublishResult:
        """Publish ``data`` byte for byte; a known idempotency key returns the first answer again.

        A ``job`` is queued in the same step, or, with too many waiting, nothing happens (1012).
        """
        ...

    async def history(self, channel: str, wanted: HistoryFilter) -> HistoryPage:
        """Read the channel's stream.

        Raises:
            HubError: 108 where nothing is kept, 112 for a ``since`` of another epoch, 107 for
                a reverse read that starts before the first publication.
        """
        ...

    async def remove_history(self, channel: str) -> None:
        """Drop what the channel keeps; its position stays. 108 where nothing is kept."""
        ...

    async def presence(self, channel: str) -> Mapping[str, ClientInfo]:
        """Who is in the channel, by client id. 108 where presence is off."""
        ...

    async def presence_stats(self, channel: str) -> PresenceStats:
        """How many are in the channel. 108 where presence is off."""
        ...

    async def subscribe(
        self,
        user: str,
        channel: str,
        *,
        client: str = "",
        session: str = "",
        info: bytes | None = None,
        data: bytes | None = None,
        recover_since: Position | None = None,
        expire_at_s: int | None = None,
        override: Override | None = None,
    ) -> None:
        """Subscribe the user's connections (or the one named) from the server's side."""
        ...

    async def unsubscribe(self, user: str, channel: str, *, client: str = "", session: str = "") -> None:
        """End the user's subscriptions to the channel, whoever made them."""
        ...

    async def disconnect(
        self,
        user: str,
        *,
        client: str = "",
        session: str = "",
        whitelist: Sequence[str] = (),
        disconnect: Disconnect = FORCE_DISCONNECT,
    ) -> None:
        """Close the user's connections, except the client ids in ``whitelist``."""
        ...

    async def refresh(
        self,
        user: str,
        *,
        client: str = "",
        session: str = "",
        expired: bool = False,
        expire_at_s: int | None = None,
        info: bytes | None = None,
    ) -> None:
        """Move the expiry of the user's connections, or expire them now."""
        ...

    async def channels(self, pattern: str = "") -> Mapping[str, int]:
        """Channels that somebody is subscribed to and that match the glob, with their subscriber count."""
        ...

    async def connections(self, user: str = "", client: str = "") -> Mapping[str, Mapping[str, Any]]:
        """Live connections by client id; ``channels`` in each lists what it is subscribed to."""
        ...

    async def info(self) -> list[Mapping[str, Any]]:
        """One entry per living node."""
        ...
