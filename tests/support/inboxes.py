"""A user's inbox and device behind a hub of the test's own process, as the engine sees them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

from hub.app import Hub
from hub.delivery.inbox import inbox_channel
from hub.delivery.model import DeviceRecord, DeviceView, EntryTerms, Mark, NewEntry
from hub.errors import EngineUnavailable
from tests.support.waiting import eventually_true
from tests.support.wire_client import Json, WireClient

DEVICE = "phone-0123456789"
LANE = "recording:app:production"

WITH_INBOX: Json = {"inbox.enabled": True}
"""The setting that the base of the tests turns off."""

_FAR_MS = 4_102_444_800_000


def hub_data(device: str = DEVICE, state: str = "foreground") -> Json:
    """The data of a connect command that names a device."""
    return {"hub": {"device": device, "state": state}}


class Inbox:
    """What backends and workers do to one user, without the API between."""

    def __init__(self, hub: Hub | None, user: str = "42", device: str = DEVICE) -> None:
        assert hub is not None
        self.hub = hub
        self.engine = hub.node.engine
        self.user = user
        self.device = device
        self.channel = inbox_channel(user)

    async def register(self, device: str = "", token: str = "") -> None:
        """The app registers."""
        device = device or self.device
        record = DeviceRecord("android", "recording", "app", "production", token or f"token-of-{device}")
        await self.engine.devices.register(self.user, device, record)

    async def notify(self, number: int, *, size: int = 0) -> int:
        """A notification that may be pushed, of at least ``size`` bytes; its offset."""
        data: dict[str, Any] = {"type": "notification", "id": f"n{number}", "data": {"n": number}}
        if size:
            data["data"]["filler"] = "x" * size
        terms = EntryTerms(f"n{number}", push=True, expires_at_ms=_FAR_MS)
        entry = NewEntry(terms, json.dumps(data).encode(), f"hash of {number}")
        return (await self.engine.ledger.notify(self.user, entry)).position.offset

    async def view(self, device: str = "") -> DeviceView:
        """The device as operators see it."""
        return {each.id: each for each in await self.engine.devices.view(self.user)}[device or self.device]

    async def owed(self) -> int:
        """Notifications that the device may still be pushed."""
        return (await self.view()).owed

    async def becomes_proven(self, offset: int) -> None:
        """Return once the device has proven to have everything up to ``offset``."""

        await self._becomes(lambda view: view.acked >= offset)

    async def becomes(self, state: str) -> None:
        """Return once the ledger says so of the device."""

        await self._becomes(lambda view: view.state == state)

    async def _becomes(self, as_wanted: Callable[[DeviceView], bool]) -> None:
        async def look() -> bool:
            with contextlib.suppress(EngineUnavailable):
                return as_wanted(await self.view())
            return False

        await eventually_true(look, every_s=0.01)

    async def marks(self, number: int) -> list[Mark]:
        """The trace of a notification."""
        return await self.engine.ledger.trace(self.user, f"n{number}")

    async def claimable(self) -> int:
        """Devices that a worker would push to now."""
        return len((await self.engine.ledger.claim(LANE, 10, "worker")).rows)


async def answer_ping(client: WireClient) -> None:
    """Take the next message, which must be a ping, and answer it."""
    message = await client.next()
    assert message == {}, message
    client.send_text("{}")


async def numbers(client: WireClient, count: int) -> list[int]:
    """The next notifications, pushed one by one."""
    pushes = [await client.push() for _ in range(count)]
    return [push["pub"]["data"]["data"]["n"] for push in pushes]
