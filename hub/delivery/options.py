"""How long the ledger waits for what. All of it is configurable, so that tests can run at a tenth."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """The delays of the ledger, in seconds, as its scripts are told them.

    ``ack_wait_s`` is what a device in the foreground on a living hub gets to prove receipt;
    ``grace_s`` what one that just dropped gets to come back; ``max_defer_s`` how long a device
    that comes and goes can put a push off in all; ``claim_s`` how long a worker may hold a row.
    ``again_s`` is the pause before a device with debts left is due again, ``badge_delay_s`` that
    before a badge follows a read. ``background_counts`` takes the pong of a device in the
    background for proof that its user was told.
    """

    ack_wait_s: float = 5.0
    grace_s: float = 8.0
    max_defer_s: float = 20.0
    claim_s: float = 30.0
    again_s: float = 1.0
    badge_delay_s: float = 3.0
    background_counts: bool = False
    devices_per_user: int = 20
    trace_ttl_s: int = 86_400
    max_groups: int = 4
    """Threads that get a push of their own by one claim; what is beyond gets one ``sync`` together."""


MAX_TRACE_MARKS = 200
"""Newest marks kept of one notification for one user."""

SEEN_TTL_S = 7 * 86_400
"""How long a notification id is known for a user: as long as the entry itself may be in the inbox."""
