"""Devices of the embedded engine: the rules of registration over the users of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator

from hub.delivery import registering
from hub.delivery.inbox import inbox_owner
from hub.delivery.model import DeviceRecord, DeviceView, ExportedDevice
from hub.delivery.moment import Moment
from hub.engine.memory.inboxes import Inboxes


class MemoryDevices:
    """Registrations of one process."""

    def __init__(self, inboxes: Inboxes) -> None:
        self._inboxes = inboxes

    async def register(self, user: str, device: str, record: DeviceRecord) -> None:
        at = self._inboxes.moment()
        owner = inbox_owner(user)
        state = self._inboxes.open(user, at, keep=True)
        self._take_token(owner, device, registering.hash_token(record.token), at)
        row = state.devices.get(device)
        if row is not None:
            self._inboxes.release_token(owner, device, row.token_hash)
        for left in registering.register(state, device, record, at):
            self._inboxes.release(owner, left)
        if record.token:
            self._inboxes.holders[state.devices[device].token_hash] = (owner, device)
        self._inboxes.commit(state, at)

    def _take_token(self, owner: str, device: str, token_hash: str, at: Moment) -> None:
        """Let go of a token whoever holds it now: whose phone it is, its newest registration tells."""
        holder = self._inboxes.holders.get(token_hash)
        if holder is None or holder == (owner, device):
            return
        state = self._inboxes.find(holder[0], at)
        row = None if state is None else state.devices.get(holder[1])
        if state is not None and row is not None and row.token_hash == token_hash:
            row.drop_token()
            self._inboxes.commit(state, at)

    async def view(self, user: str) -> list[DeviceView]:
        at = self._inboxes.moment()
        return registering.view(self._inboxes.open(user, at, keep=False), at)

    async def remove(self, user: str, device: str) -> bool:
        at = self._inboxes.moment()
        row = self._inboxes.open(user, at, keep=False).devices.pop(device, None)
        if row is None:
            return False
        self._inboxes.release(inbox_owner(user), row)
        return True

    async def export(self) -> AsyncIterator[ExportedDevice]:
        for owner in self._inboxes.owners():
            state = self._inboxes.find(owner, self._inboxes.moment())
            if state is None:
                continue
            for row in list(state.devices.values()):
                if row.is_usable:
                    yield ExportedDevice(state.user, row.id, row.record, row.token_updated_ms)
