"""What may be asked about notifications, inboxes and devices, by backends and by apps. Pure data.

Apps say the same as backends but for ``user``, which their token names. Of them, fields that are
not here are ignored; of backends they are refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct

from hub.api.request_base import Payload, Request
from hub.delivery.notification import MAX_TTL_S

Offset = Annotated[int, Meta(ge=0, le=2**53)]
PageLimit = Annotated[int, Meta(ge=1, le=100)]
NotificationId = Annotated[str, Meta(min_length=1, max_length=64)]


class Shown(Request, omit_defaults=True):
    """What is shown on the phone; all of it may be left out."""

    title: str | None = None
    body: str | None = None
    badge: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    sound: str | None = None
    image: str | None = None
    thread: Annotated[str, Meta(max_length=256)] | None = None
    collapse_key: Annotated[str, Meta(max_length=256)] | None = None


class Overrides(Request, omit_defaults=True):
    """Merged into the message for one provider."""

    apns: dict[str, Any] | None = None
    fcm: dict[str, Any] | None = None
    webpush: dict[str, Any] | None = None


class NotifyRequest(Request):
    """Tell users something, each device once: over its socket, or by a push when it does not prove receipt.

    The same `id` with the same body answers as the first time. `dry_run` only tells the plan.
    """

    users: list[str]
    id: NotificationId | None = None
    data: Payload = UNSET
    notification: Shown | None = None
    overrides: Overrides | None = None
    ttl_s: Annotated[int, Meta(ge=1, le=MAX_TTL_S)] = 86_400
    priority: Literal["high", "normal"] = "high"
    fallback: Literal["push", "none"] = "push"
    dry_run: bool = False


class NotifyCancelRequest(Request):
    """Take a notification back, from `users` or from all who got it."""

    id: NotificationId
    users: list[str] | None = None


class NotifyStatusRequest(Request):
    """How far a notification has come."""

    id: NotificationId


class NotificationTraceRequest(Request):
    """What happened to a notification, step by step; of one user, of one device, or of all."""

    id: NotificationId
    user: str | None = None
    device: str | None = None


class DeviceFields(Struct, kw_only=True):
    """An installed app, so that it can be pushed to. The whole record is replaced."""

    id: str | None = None
    platform: str
    provider: str
    app: str
    environment: str
    token: str | None = None
    subscription: dict[str, Any] | None = None
    locale: str | None = None
    timezone: str | None = None
    app_version: str | None = None


class DeviceRegisterRequest(DeviceFields, forbid_unknown_fields=True, kw_only=True):
    """Register a device for a user. `id` is the install id that the app made."""

    user: str


class NoFields(Struct):
    """Nothing to say."""


class DeviceListRequest(Request):
    """The devices of a user."""

    user: str


class DeviceChoice(Struct, kw_only=True):
    """Which device; the connection's own if left out."""

    id: str | None = None


class DeviceRemoveRequest(Request):
    """Forget a device of a user."""

    user: str
    id: str


class StateFields(Struct, kw_only=True):
    """Where the app is."""

    state: Literal["foreground", "background"]


class InboxHistoryFields(Struct, kw_only=True):
    """A page of the inbox. With `device`, paging through it counts as that device's proof."""

    cursor: str | None = None
    limit: PageLimit = 20
    order: Literal["newest", "oldest"] = "newest"
    device: str | None = None


class InboxHistoryRequest(InboxHistoryFields, forbid_unknown_fields=True, kw_only=True):
    """A page of a user's inbox."""

    user: str


class PositionFields(Struct, kw_only=True):
    """A place in the inbox."""

    epoch: str
    offset: Offset


class InboxReadRequest(PositionFields, forbid_unknown_fields=True, kw_only=True):
    """A user has read everything up to `offset`."""

    user: str


class AckFields(PositionFields, kw_only=True):
    """A device has everything up to `offset`; the connection's own if left out."""

    device: str | None = None


class OpenedFields(Struct, kw_only=True):
    """The user opened a notification."""

    id: NotificationId
    device: str | None = None


class ReceiptFields(Struct, kw_only=True):
    """The receipt that came in a push, and what happened to that push."""

    receipt: str
    event: Literal["delivered", "opened"]


class DeadLettersRequest(Request):
    """Notifications that could not be sent, oldest first."""

    lane: str | None = None
    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class DeadLettersActRequest(Request):
    """The letters named, or all of a lane: exactly one of both."""

    ids: list[str] | None = None
    lane: str | None = None


class UserForgetRequest(Request):
    """Remove inbox, devices and traces of a user."""

    user: str
