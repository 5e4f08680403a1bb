"""What every connection of this process shares: limits, the node, the verifier, the clocks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from hub.auth import TokenVerifier
from hub.connection.wheel import Wheel
from hub.fanout import Encoding, Turn
from hub.metrics import Metrics
from hub.node import Node
from hub.pacing import Buckets, Pace
from hub.protocol.codec import Codec

if TYPE_CHECKING:
    from hub.connection.connection import Connection

RpcMethod: TypeAlias = "Callable[[Connection, bytes], Awaitable[bytes]]"
"""Answers one RPC method: request payload in, result payload out; refuses by raising ``HubError``."""


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Limits and habits of connections.

    ``insecure`` lets clients in without a token; one that is given is verified all the
    same. ``anonymous`` accepts clients without a user id. The limits name the harm they
    stop: ``max_commands_per_frame`` and ``max_pending_commands`` a client that asks faster
    than it is served, ``max_outbox_bytes`` one that does not read, ``max_channels`` one that
    subscribes without end, ``connect_timeout_s`` one that never says who it is, ``write_timeout_s``
    one whose socket takes nothing. ``commands`` paces each connection and ``user_commands``
    each user over this node, who has at most ``max_connections_per_user`` (0: no limit) of them.
    """

    version: str
    insecure: bool = False
    anonymous: bool = False
    max_channels: int = 128
    max_commands_per_frame: int = 1_000
    max_pending_commands: int = 1_000
    max_outbox_bytes: int = 1_048_576
    recovery_max_publications: int = 300
    history_max_limit: int = 300
    max_connections_per_user: int = 0
    commands: Pace = field(default_factory=Pace)
    user_commands: Pace = field(default_factory=Pace)
    write_timeout_s: float = 20.0
    connect_timeout_s: float = 10.0
    refused_linger_s: float = 5.0
    """How long a client whose connect was answered with an error may take to leave."""
    ping_interval_s: float = 25.0
    pong_timeout_s: float = 8.0
    connection_expire_grace_s: float = 25.0
    subscription_expire_grace_s: float = 25.0
    inbox: bool = False
    """Attach every user to their inbox, and serve the devices that clients name."""
    background_counts: bool = False
    """Take the pong of an app in the background for proof that its user was told."""


@dataclass(slots=True)
class ConnectionServices:
    """The rooms a connection works with. ``wall_s`` is unix time in seconds.

    ``options`` may be replaced while connections live, but for what clients were told when they
    connected: the pings.
    """

    loop: asyncio.AbstractEventLoop
    node: Node
    verifier: TokenVerifier
    subscription_verifier: TokenVerifier
    """The same as ``verifier``, unless subscription tokens have a key of their own."""
    options: ConnectionOptions
    wheel: Wheel
    turn: Turn
    metrics: Metrics
    rpc_methods: Mapping[str, RpcMethod] = field(default_factory=dict)
    wall_s: Callable[[], float] = time.time
    user_buckets: Buckets = field(default_factory=lambda: Buckets(Pace()))
    """What users have left of their commands, whichever of their connections they come through."""
    _encodings: dict[tuple[str, bool], Encoding] = field(default_factory=dict)

    def encoding(self, codec: Codec, compressed: bool) -> Encoding:
        """The shared way to write for clients of this kind."""
        key = (codec.name, compressed)
        found = self._encodings.get(key)
        if found is None:
            found = self._encodings[key] = Encoding(codec, compressed)
        return found
