"""Devices come, change their token, and go. Possession of the token moves a phone, its id does not."""

from __future__ import annotations

import hashlib

from hub.delivery.debts import owed_entries
from hub.delivery.model import DeviceRecord, DeviceView
from hub.delivery.moment import Moment
from hub.delivery.rows import DeviceRow, UserState

SHOWN_HASH_CHARS = 8


def hash_token(token: str) -> str:
    """How a token is named where it must not be seen; empty for none."""
    return hashlib.sha256(token.encode()).hexdigest() if token else ""


def register(state: UserState, device: str, record: DeviceRecord, at: Moment) -> list[DeviceRow]:
    """Replace the whole record of a device; the rows that had to leave for it.

    What came before a device could be pushed to is not pushed. A new token in place of another
    one leaves what is owed. The caller sees to it that no other row holds the token.
    """
    row = state.devices.get(device)
    if row is None:
        top = state.top.offset
        row = state.devices[device] = DeviceRow(device, record, state.birth, acked=top, pushed=top)
    if not row.is_usable:
        row.pushed = state.top.offset
        row.sent.clear()
    row.record = record
    row.token_hash = hash_token(record.token)
    row.token_updated_ms = row.last_seen_ms = at.now_ms
    left: list[DeviceRow] = []
    while len(state.devices) > at.options.devices_per_user:
        others = (each for each in state.devices.values() if each is not row)
        stale = min(others, key=lambda each: (each.last_seen_ms, each.id))
        left.append(state.devices.pop(stale.id))
    return left


def view(state: UserState, at: Moment) -> list[DeviceView]:
    """The devices as their owner may see them, most recently seen first."""
    rows = sorted(state.devices.values(), key=lambda row: (-row.last_seen_ms, row.id))
    return [
        DeviceView(
            id=row.id,
            platform=row.record.platform,
            provider=row.record.provider,
            app=row.record.app,
            environment=row.record.environment,
            token_hash=row.token_hash[:SHOWN_HASH_CHARS],
            state=row.state if row.online and at.lives(row.node) else "offline",
            last_seen_ms=row.last_seen_ms,
            acked=row.acked,
            owed=len(owed_entries(state, row, at)),
        )
        for row in rows
    ]
