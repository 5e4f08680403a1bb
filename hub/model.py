"""Values that every room of the hub speaks of: positions, publications, who somebody is.

Immutable, standard library only. Knows no wire format, no engine and no socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NewType

UserId = NewType("UserId", str)
"""Authenticated identity; the empty text is the anonymous user."""

ClientId = NewType("ClientId", str)
"""Unique id that the hub gives to one live connection."""

NodeId = NewType("NodeId", str)
"""One hub process; new at every process start."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a channel's stream: the last publication seen, and which stream it was seen in.

    ``offset`` counts from 1; 0 means before the first publication. Positions of
    different epochs cannot be compared.
    """

    offset: int
    epoch: str


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """Who published, or who is present. ``conn_info`` and ``chan_info`` are opaque payloads, usually JSON."""

    user: str
    client: str
    conn_info: bytes | None = None
    chan_info: bytes | None = None


@dataclass(frozen=True, slots=True)
class Publication:
    """One immutable item of a channel. ``offset`` 0 means it was never stored and has no position.

    ``data`` is the publisher's payload byte for byte. ``time_ms`` is the engine's unix
    clock. ``delta`` says that its publisher allows it to travel as a patch.
    """

    data: bytes
    offset: int = 0
    info: ClientInfo | None = None
    tags: Mapping[str, str] | None = None
    time_ms: int = 0
    delta: bool = False


@dataclass(frozen=True, slots=True)
class HistoryPolicy:
    """How much of a channel is kept. A policy with ``size`` 0 keeps nothing.

    ``ttl_s`` is the life of a publication after its append, ``meta_ttl_s`` that of the
    position itself (offset and epoch) after the last use, which outlives them.
    """

    size: int
    ttl_s: int
    meta_ttl_s: int = 30 * 24 * 3600

    @property
    def keeps(self) -> bool:
        """True when publications are stored at all."""
        return self.size > 0 and self.ttl_s > 0


NO_HISTORY = HistoryPolicy(size=0, ttl_s=0)


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Which part of the history to read.

    ``limit`` 0 asks for the position alone, -1 for everything. Forward, ``since`` gives
    what came after it; in reverse, what came before it, newest first. A ``since`` with
    an empty epoch skips the epoch test.
    """

    limit: int = 0
    since: Position | None = None
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """What a history read found, and the top of the stream at that very moment."""

    publications: tuple[Publication, ...]
    top: Position


@dataclass(frozen=True, slots=True)
class PublishResult:
    """Where a publication went. ``position`` is None where the channel keeps no history.

    ``duplicate`` says that nothing was published, because the idempotency key or the
    version was known; the position is then that of the first answer.
    """

    position: Position | None
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class PresenceStats:
    """How many connections and how many distinct users are in a channel."""

    num_clients: int
    num_users: int
