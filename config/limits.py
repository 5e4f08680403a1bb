"""How much one connection, one user and one address may take, and how long they may take for it."""

from __future__ import annotations

from pydantic import Field

from config.section import Section


class LimitsSettings(Section):
    """Bounds of connections. Each stops some clients from taking what belongs to all. Rates and counts \
are those of one process of the hub."""

    max_message_bytes: int = Field(default=65_536, ge=1_024)
    """Largest WebSocket message that a client may send."""
    max_commands_per_frame: int = Field(default=1_000, ge=1)
    """Most commands in one message."""
    max_pending_commands: int = Field(default=1_000, ge=1)
    """Most commands of one connection that wait for their answer; above it, the hub stops reading."""
    max_channels: int = Field(default=128, ge=1)
    """Most subscriptions of one connection."""
    max_outbox_bytes: int = Field(default=1_048_576, ge=16_384)
    """Most bytes that wait for a client that reads too slowly; above it, it is cut off and may resume."""
    recovery_max_publications: int = Field(default=300, ge=1)
    """Most publications that one recovery sends; above it, `recovered` is false."""
    history_max_limit: int = Field(default=300, ge=1)
    """Most publications in one answer to a client's history call."""
    max_revocations: int = Field(default=100_000, ge=1)
    """Most blocked users and revoked tokens at a time. Each process of the hub has all of them in memory."""
    max_connections: int = Field(default=0, ge=0)
    """Most WebSockets open at once; beyond, newcomers are answered with 503. 0: no limit but open files."""
    connections_per_ip: int = Field(default=0, ge=0)
    """Most WebSockets of one address (IPv6: one /64) open at once; beyond, 429. 0: no limit. Set it only \
where `http.trusted_proxies` names every proxy before the hub, or all clients have the address of one."""
    connections_per_user: int = Field(default=100, ge=0)
    """Most connections of one user at once; beyond, the newcomer is closed for good. The anonymous \
user has no limit. 0: nobody has."""
    max_http_connections: int = Field(default=2_000, ge=0)
    """Most plain HTTP connections that wait for their clients, for the next request, the rest of a body, or \
an answer to be read; beyond, the one that waited longest is cut off. 0: no limit but open files."""
    connects_per_s: float = Field(default=1_000, ge=0)
    """WebSockets opened a second in the long run; beyond, newcomers are answered with 503 and when to come \
again. 0: no limit."""
    connects_burst: int = Field(default=2_000, ge=1)
    """WebSockets opened at once after a pause."""
    connects_per_ip_per_s: float = Field(default=0, ge=0)
    """As `connects_per_s`, for each address (IPv6: each /64), answered with 429. 0: no limit. Set it under \
the same condition as `connections_per_ip`."""
    connects_per_ip_burst: int = Field(default=100, ge=1)
    """WebSockets that one address opens at once after a pause."""
    commands_per_s: float = Field(default=100, ge=0)
    """Commands of one connection a second in the long run; beyond, they are refused, and who goes on is cut \
off. 0: no limit."""
    commands_burst: int = Field(default=1_000, ge=1)
    """Commands of one connection at once after a pause."""
    user_commands_per_s: float = Field(default=300, ge=0)
    """As `commands_per_s`, over all connections of one user. The anonymous user has none. 0: no limit."""
    user_commands_burst: int = Field(default=3_000, ge=1)
    """Commands of one user at once after a pause."""
    app_calls_per_s: float = Field(default=20, ge=0)
    """Calls of one user to `/client/v1` a second in the long run; beyond, they are answered with 429. \
0: no limit."""
    app_calls_burst: int = Field(default=200, ge=1)
    """Calls of one user at once after a pause."""
    receipts_per_ip_per_s: float = Field(default=0, ge=0)
    """Receipts of one address (IPv6: one /64) a second in the long run; beyond, 429. 0: no limit. Set it \
under the same condition as `connections_per_ip`."""
    receipts_per_ip_burst: int = Field(default=500, ge=1)
    """Receipts of one address at once after a pause."""
    write_timeout_s: float = Field(default=20, gt=0)
    """Seconds that a socket may take nothing of what waits for it, before its connection is cut off."""
    handshake_timeout_s: float = Field(default=10, gt=0)
    """Seconds for the opening handshake, TLS included."""
    connect_timeout_s: float = Field(default=10, gt=0)
    """Seconds until the connect command must have arrived."""
    close_timeout_s: float = Field(default=5, gt=0)
    """Seconds for the closing handshake."""


class PingSettings(Section):
    """Pings that the hub sends, and the pongs that it expects."""

    interval_s: int = Field(default=25, ge=1)
    """Seconds between two pings."""
    pong_timeout_s: float = Field(default=8, gt=0)
    """Seconds to wait for the pong; must be less than `interval_s`."""


class ExpirySettings(Section):
    """Time a client gets to bring a new token after the old one ended."""

    connection_grace_s: int = Field(default=25, ge=0)
    """Seconds after a connection's token ended."""
    subscription_grace_s: int = Field(default=25, ge=0)
    """Seconds after a subscription's token ended."""
