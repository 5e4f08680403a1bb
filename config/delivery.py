"""Inboxes, devices and the delays of the ledger that decides socket or push."""

from __future__ import annotations

from pydantic import Field

from config.section import Section


class InboxSettings(Section):
    """Each user's own inbox, which `notify` writes to."""

    enabled: bool = True
    """Attach every user to their inbox, and serve devices and notifications."""


class DevicesSettings(Section):
    """Installed apps, as they register themselves."""

    per_user: int = Field(default=20, ge=1, le=1000)
    """Devices a user may have; with one more, the least recently seen one leaves."""


class DeliverySettings(Section):
    """How long the ledger waits before a device is pushed to. The same on every hub and worker."""

    ack_wait_s: float = Field(default=5, gt=0, le=600)
    """Seconds that a device in the foreground gets to prove receipt over its socket."""
    grace_s: float = Field(default=8, ge=0, le=600)
    """Seconds that a device that just dropped gets to come back."""
    max_defer_s: float = Field(default=20, gt=0, le=3600)
    """Seconds that a device that comes and goes can put a push off in all."""
    claim_s: float = Field(default=30, ge=1, le=600)
    """Seconds that a worker may hold a device's debts, after which another one takes over."""
    again_s: float = Field(default=1, gt=0, le=60)
    """Seconds until a device is due again after a push that left something owed."""
    badge_delay_s: float = Field(default=3, ge=0, le=600)
    """Seconds until the other devices of a user who read something are told by a silent push."""
    background_counts: bool = False
    """Take the pong of an app in the background for proof that its user was told: for apps that raise \
notifications of their own."""
    trace_ttl_s: int = Field(default=86_400, ge=60, le=604_800)
    """Seconds that the trace of a notification is kept after its last mark."""
    receipt_ttl_s: int = Field(default=604_800, ge=60, le=2_592_000)
    """Seconds that the receipt in a push is good for."""
