"""Devices and inbox as apps call them over their socket: what reaches the connection, and what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from hub.api.app_rpc import create_rpc_methods
from hub.engine import Engine
from hub.errors import HubError
from hub.node.notifications import Notifications

DEVICE = "install-0000000000000001"
RECORD = {
    "platform": "android",
    "provider": "recording",
    "app": "demo",
    "environment": "sandbox",
    "token": "token-of-a-phone",
}


@dataclass(slots=True)
class Caller:
    """A connection that remembers what it was told."""

    user: str = "7"
    device: str = DEVICE
    told: list[tuple[str, str]] = field(default_factory=list)

    async def device_registered(self, device: str) -> None:
        self.told.append(("registered", device))

    async def device_removed(self, device: str) -> None:
        self.told.append(("removed", device))

    def device_acked(self, acked: int) -> None:
        self.told.append(("acked", str(acked)))

    async def set_device_state(self, state: Literal["foreground", "background"]) -> None:
        self.told.append(("state", state))


async def call(notifications: Notifications, caller: Caller, method: str, body: Any = None) -> Any:
    """The answer of one call."""
    text = b"" if body is None else json.dumps(body).encode()
    return json.loads(await create_rpc_methods(notifications)[method](caller, text))


async def test_a_device_comes_and_goes(notifications: Notifications) -> None:
    """The connection hears of it; the id defaults to its own; fields nobody knows are ignored."""
    caller = Caller()
    answer = await call(notifications, caller, "device.register", RECORD | {"of_tomorrow": 1})
    assert answer == {"id": DEVICE, "registered": True}
    assert await call(notifications, caller, "device.state", {"state": "background"}) == {}
    (device,) = (await call(notifications, caller, "device.list"))["devices"]
    assert device["id"] == DEVICE
    assert await call(notifications, caller, "device.remove") == {}
    assert caller.told == [("registered", DEVICE), ("state", "background"), ("removed", DEVICE)]


async def test_the_inbox_is_paged_read_and_acked(notifications: Notifications, engine: Engine) -> None:
    """With the answers of the contract."""
    caller = Caller()
    await call(notifications, caller, "device.register", RECORD)
    page = await call(notifications, caller, "inbox.history", {})
    assert page == {"items": [], "epoch": page["epoch"], "head": 0, "read": 0, "unread": 0}
    place = {"epoch": page["epoch"], "offset": 0}
    assert await call(notifications, caller, "inbox.read", place) == {"read": 0, "unread": 0}
    assert await call(notifications, caller, "inbox.ack", place) == {"acked": 0}


@pytest.mark.parametrize(
    ("caller", "method", "body", "code"),
    [
        (Caller(user=""), "device.list", None, 103),
        (Caller(user=""), "inbox.history", None, 103),
        (Caller(device=""), "device.state", {"state": "background"}, 1000),
        (Caller(device=""), "device.remove", None, 1000),
        (Caller(device=""), "inbox.ack", {"epoch": "e", "offset": 0}, 1000),
        (Caller(device=""), "device.register", RECORD, 107),
        (Caller(), "inbox.ack", {"epoch": "e", "offset": 0}, 1001),
        (Caller(), "inbox.read", {"epoch": "e", "offset": 0}, 112),
        (Caller(), "inbox.opened", {"id": "n1"}, 1009),
        (Caller(), "inbox.opened", {"id": "n1", "device": "any\ntext, of any length"}, 107),
        (Caller(), "device.remove", None, 1001),
        (Caller(), "device.state", {"state": "asleep"}, 107),
        (Caller(), "inbox.history", [], 107),
    ],
)
async def test_refusals(
    notifications: Notifications, caller: Caller, method: str, body: Any, code: int
) -> None:
    """With the code of the contract; the connection is told nothing."""
    with pytest.raises(HubError) as refused:
        await call(notifications, caller, method, body)
    assert refused.value.error.code == code
    assert caller.told == []


async def test_a_refusal_says_what_would_do(notifications: Notifications) -> None:
    """In its message: a reply has no other place for it."""
    for method, body, told in (
        ("device.state", {"state": "asleep"}, "bad request: `state` is one of background, foreground"),
        ("inbox.ack", {"epoch": "other", "offset": 1}, "inbox.history"),
        ("device.register", RECORD | {"token": "short"}, "8 to 4096 visible ASCII characters"),
    ):
        await call(notifications, Caller(), "device.register", RECORD)
        with pytest.raises(HubError) as refused:
            await call(notifications, Caller(), method, body)
        assert told in refused.value.error.message
