"""What can be done with a user's inbox and devices, alike for apps and for backends.


Each function takes who it is about and the fields of the request. Knows no HTTP and no connection.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, to_builtins

from hub.api import notification_requests as q
from hub.api import notification_results as r
from hub.errors import BAD_REQUEST, NO_DEVICE, HubError
from hub.node.notifications import InboxPage, Notifications


async def register_device(
    notifications: Notifications, user: str, own_device: str, fields: q.DeviceFields
) -> r.RegisteredResult:
    """Register a device; its id defaults to the connection's own."""
    device = fields.id or own_device
    if not device:
        raise HubError(BAD_REQUEST, "id is required, unless the connection named a device")
    record: dict[str, Any] = {
        name: getattr(fields, name)
        for name in ("platform", "provider", "app", "environment", "token", "subscription")
    }
    record |= {name: getattr(fields, name) or "" for name in ("locale", "timezone", "app_version")}
    await notifications.register(user, device, record)
    if device != own_device:
        await notifications.registered(user, device)
    return r.RegisteredResult(device)


async def list_devices(notifications: Notifications, user: str) -> r.DevicesResult:
    """The user's devices."""
    return r.DevicesResult([r.device_of(view) for view in await notifications.devices(user)])


async def page_inbox(notifications: Notifications, user: str, fields: q.InboxHistoryFields) -> InboxPage:
    """A page of the inbox."""
    return await notifications.inbox_page(
        user, cursor=fields.cursor or "", limit=fields.limit, order=fields.order, device=fields.device or ""
    )


async def read_inbox(notifications: Notifications, user: str, fields: q.PositionFields) -> r.ReadResult:
    """The user has read everything up to a place."""
    summary = (await notifications.read(user, fields.epoch, fields.offset)).summary
    return r.ReadResult(summary.read, summary.unread)


async def ack_inbox(
    notifications: Notifications, user: str, own_device: str, fields: q.AckFields
) -> r.AckedResult:
    """A device has everything up to a place."""
    device = fields.device or own_device
    if not device:
        raise HubError(NO_DEVICE, "name the device")
    return r.AckedResult(await notifications.ack(user, device, fields.epoch, fields.offset))


def given(fields: Struct | None) -> dict[str, Any]:
    """What was given of an optional object, as plain values."""
    if fields is None:
        return {}
    return {name: value for name, value in to_builtins(fields).items() if value is not None}
