"""How much one connection may take, and how long it may take for it."""

from __future__ import annotations

from pydantic import Field

from config.section import Section


class LimitsSettings(Section):
    """Bounds of one connection. Each stops one client from taking what belongs to all."""

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
