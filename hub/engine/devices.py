"""Port: the registry of installed apps.

Possession of the provider token moves a phone to another user, the device id alone does not.
Knows no connection and no provider. Any method may raise ``EngineUnavailable``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from hub.delivery.model import DeviceRecord, DeviceView, ExportedDevice


class Devices(Protocol):
    """Registrations of all users."""

    async def register(self, user: str, device: str, record: DeviceRecord) -> None:
        """Replace the whole record of a device; a token that another row holds leaves that row first.

        At the limit of devices per user, the least recently seen one leaves. Never are there two
        rows with one usable token, wherever a caller dies.
        """
        ...

    async def view(self, user: str) -> list[DeviceView]:
        """The user's devices, most recently seen first."""
        ...

    async def remove(self, user: str, device: str) -> bool:
        """Forget a device with its debts; False when there was none."""
        ...

    def export(self) -> AsyncIterator[ExportedDevice]:
        """Every registration with a usable token, in no order. One that changes meanwhile may come or not."""
        ...
