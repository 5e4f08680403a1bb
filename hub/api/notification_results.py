"""What is answered about notifications, inboxes and devices. Field names are the JSON keys. Pure data."""

from __future__ import annotations

from msgspec import UNSET, Raw, Struct, UnsetType

from hub.delivery.model import DeviceView
from hub.node.notifications import DeviceTrace, InboxItem, InboxPage


class PlannedDevice(Struct):
    """What would happen to one device: `socket` first and a push after `wait_ms`, `push` now, or `none`."""

    user: str
    device: str
    way: str
    wait_ms: int


class NotifyResult(Struct, omit_defaults=True):
    """`accepted` users have it, or will by `job`. `duplicate`: this is the first answer, given again."""

    id: str
    accepted: int
    duplicate: bool | UnsetType = UNSET
    job: str | UnsetType = UNSET
    plan: list[PlannedDevice] | UnsetType = UNSET


class WithdrawnResult(Struct):
    """From how many users it was taken back."""

    withdrawn: int


class NotifyStatusResult(Struct):
    """How many users there are, how many are notified, and for how many that failed."""

    state: str
    users: int
    done: int
    failed: int


class TraceEvent(Struct, omit_defaults=True):
    """One step. `time` is unix milliseconds, `node` the hub or worker that took it."""

    time: int
    event: str
    node: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET


class TracedDevice(Struct):
    """The steps on one device, oldest first; without a device, those of the user."""

    user: str
    device: str
    events: list[TraceEvent]


class TraceResult(Struct):
    """One timeline a device."""

    devices: list[TracedDevice]


class RegisteredResult(Struct):
    """The device is registered under `id`."""

    id: str
    registered: bool = True


class Device(Struct):
    """A registered device. `last_seen` is unix milliseconds, `owed` what it has no proof of."""

    id: str
    platform: str
    provider: str
    app: str
    environment: str
    token_hash: str
    state: str
    last_seen: int
    acked: int
    owed: int


class DevicesResult(Struct):
    """Most recently seen first."""

    devices: list[Device]


class InboxHistoryResult(Struct, omit_defaults=True):
    """A page; `cursor` is there when there is more. Each item has `offset`, `time`, `read` and the entry."""

    items: list[Raw]
    epoch: str
    head: int
    read: int
    unread: int
    cursor: str | UnsetType = UNSET


class ReadResult(Struct):
    """The watermark, and how many entries are above it."""

    read: int
    unread: int


class AckedResult(Struct):
    """Up to where the device has everything."""

    acked: int


class DeadLetter(Struct):
    """A notification that could not be sent to one device. `time` is unix milliseconds."""

    id: str
    lane: str
    user: str
    device: str
    notification: str
    offset: int
    reason: str
    time: int


class DeadLettersResult(Struct, omit_defaults=True):
    """Oldest first; `cursor` is there when there are more."""

    letters: list[DeadLetter]
    cursor: str | UnsetType = UNSET


class CountResult(Struct):
    """How many it were."""

    count: int


def device_of(view: DeviceView) -> Device:
    """A device as the answer shows it."""
    return Device(
        id=view.id,
        platform=view.platform,
        provider=view.provider,
        app=view.app,
        environment=view.environment,
        token_hash=view.token_hash,
        state=view.state,
        last_seen=view.last_seen_ms,
        acked=view.acked,
        owed=view.owed,
    )


def inbox_of(page: InboxPage) -> InboxHistoryResult:
    """A page, its entries verbatim."""
    summary = page.summary
    return InboxHistoryResult(
        items=[_item(item) for item in page.items],
        epoch=summary.top.epoch,
        head=summary.top.offset,
        read=summary.read,
        unread=summary.unread,
        cursor=page.cursor or UNSET,
    )


def _item(item: InboxItem) -> Raw:
    stored = item.publication
    read = b"true" if item.read else b"false"
    head = b'{"offset":%d,"time":%d,"read":%s,' % (stored.offset, stored.time_ms, read)
    # The hub alone writes entries, always as an object that is not empty.
    return Raw(head + stored.data[1:])


def traced(found: DeviceTrace) -> TracedDevice:
    """One device's timeline."""
    events = [
        TraceEvent(mark.time_ms, mark.event, mark.node or UNSET, mark.detail or UNSET) for mark in found.marks
    ]
    return TracedDevice(found.user, found.device, events)
