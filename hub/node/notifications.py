"""Notifications, inboxes and devices, as backends and apps ask for them; the engine's ports do the work.

Checks what only the deployment knows (which apps are configured, which receipts are good).
Knows no request format and no connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import orjson

from hub.delivery.inbox import INBOX_POLICY, MAX_USER_BYTES, inbox_channel, is_device_id, is_too_long
from hub.delivery.model import (
    Ack,
    Acked,
    DeadLetterPage,
    DeviceState,
    DeviceView,
    Mark,
    ReadResult,
    Summary,
)
from hub.delivery.notification import Fallback, Notification
from hub.delivery.paging import Order, PageCursor, parse_cursor, proven_by_paging
from hub.delivery.receipts import RECEIPT_SECRET, verify_receipt
from hub.delivery.registration import device_record
from hub.engine import Engine
from hub.engine.jobs import NewNotice, NoticeStatus
from hub.engine.notifying import HOW_TO_SOLVE_A_CONFLICT, NotifyAnswer, PlannedDevice
from hub.engine.notifying import notify as notify_all
from hub.engine.notifying import plan as plan_all
from hub.engine.notifying import withdraw as withdraw_all
from hub.errors import (
    BAD_REQUEST,
    ID_CONFLICT,
    PERMISSION_DENIED,
    UNKNOWN_DEVICE,
    UNKNOWN_NOTIFICATION,
    UNRECOVERABLE_POSITION,
    HubError,
)
from hub.model import HistoryFilter, Position, Publication

MAX_TRACED_USERS = 1_000
MAX_LETTERS = 10_000
"""Dead letters that one call replays or drops by their lane."""

_LETTERS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class InboxItem:
    """One notification of an inbox, and whether the user has read it."""

    publication: Publication
    read: bool


@dataclass(frozen=True, slots=True)
class InboxPage:
    """Some of an inbox; ``cursor`` reads on, empty at the end."""

    items: tuple[InboxItem, ...]
    cursor: str
    summary: Summary
    acked: int | None = None
    """Up to where the device that paged has everything; None without a device."""


@dataclass(frozen=True, slots=True)
class DeviceTrace:
    """What happened to one notification on one device, oldest first."""

    user: str
    device: str
    marks: tuple[Mark, ...]


class LiveDevices(Protocol):
    """The connections of devices, on whichever node."""

    async def tell_device(self, user: str, device: str, state: DeviceState | None = None) -> None:
        """A device was registered or, with a ``state``, its app went there: its connection learns of it."""
        ...


class Notifications:
    """What can be asked about notifications. ``lanes`` are those that devices may register for.

    ``live`` reaches the connections of devices; without it there are none. ``traceparent`` tells of the
    span that a call is part of, empty for none.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        lanes: Collection[str],
        live: LiveDevices | None = None,
        wall_s: Callable[[], float] = time.time,
        traceparent: Callable[[], str] = str,
    ) -> None:
        self._engine = engine
        self._live = live
        self._lanes = frozenset(lanes)
        self._wall_s = wall_s
        self._traceparent = traceparent
        self._receipt_secret = b""

    @property
    def now_ms(self) -> int:
        """Unix milliseconds of this process: when a notification was asked for."""
        return int(self._wall_s() * 1000)

    # what backends ask

    async def notify(self, notification: Notification, users: Sequence[str]) -> NotifyAnswer:
        """As :func:`hub.engine.notifying.notify`."""
        if traceparent := self._traceparent():
            notification = replace(notification, traceparent=traceparent)
        return await notify_all(self._engine.ledger, self._engine.jobs, notification, users)

    async def check_conflict(self, notice: NewNotice) -> None:
        """For who publishes with it: it would not be noted if its id was another call's.

        Raises:
            HubError: 1005.
        """
        if await self._engine.jobs.conflicts(notice):
            raise HubError(ID_CONFLICT, HOW_TO_SOLVE_A_CONFLICT)

    async def plan(self, users: Sequence[str], fallback: Fallback = "push") -> list[PlannedDevice]:
        """What a notification would do to each device now."""
        return await plan_all(self._engine.ledger, users, fallback)

    async def withdraw(self, notification_id: str, users: Sequence[str] | None) -> int:
        """As :func:`hub.engine.notifying.withdraw`."""
        return await withdraw_all(self._engine.ledger, self._engine.jobs, notification_id, users)

    async def status(self, notification_id: str) -> NoticeStatus:
        """How far a notification has come.

        Raises:
            HubError: 1009.
        """
        status = await self._engine.jobs.status(notification_id)
        if status is None:
            raise HubError(UNKNOWN_NOTIFICATION)
        return status

    async def trace(self, notification_id: str, user: str = "", device: str = "") -> list[DeviceTrace]:
        """What happened, per device; steps of the user as a whole are told for each of them.

        Raises:
            HubError: 1009 when nothing is known, or no more.
        """
        users = [user] if user else (await self._engine.jobs.users(notification_id))[:MAX_TRACED_USERS]
        found: list[DeviceTrace] = []
        for each in users:
            found += _by_device(each, device, await self._engine.ledger.trace(each, notification_id))
        if not found:
            known = await self._engine.jobs.status(notification_id) is not None
            raise HubError(UNKNOWN_NOTIFICATION, _NO_MARKS if known else "")
        return found

    async def forget(self, user: str) -> None:
        """Remove all that is kept of a user."""
        await self._engine.ledger.forget(_named(user))

    async def dead_letters(self, lane: str | None, cursor: str, limit: int) -> DeadLetterPage:
        """Notifications that could not be sent, oldest first."""
        return await self._engine.ledger.dead_letters(lane, cursor, limit)

    async def act_on_dead_letters(
        self, action: Literal["replay", "drop"], *, ids: Sequence[str] = (), lane: str = ""
    ) -> int:
        """Owe them again, or forget them: the ones named, or all of a lane; how many it were."""
        ledger = self._engine.ledger
        act = ledger.replay_dead_letters if action == "replay" else ledger.drop_dead_letters
        if not lane:
            return await act(ids)
        count, cursor = 0, ""
        while count < MAX_LETTERS:
            page = await ledger.dead_letters(lane, cursor, _LETTERS_AT_ONCE)
            if page.letters:
                count += await act([letter.id for letter in page.letters])
            cursor = page.cursor
            if not cursor:
                break
        return count

    # what apps ask, or backends for them

    async def register(self, user: str, device: str, fields: dict[str, Any]) -> None:
        """Register a device of a user; ``fields`` are those of ``device_record``.

        Raises:
            HubError: 103 for the anonymous user, 107, 1002 or 1003 for what cannot be registered.
        """
        if is_too_long(user):
            raise HubError(BAD_REQUEST, f"a user id has at most {MAX_USER_BYTES} bytes")
        record = device_record(**fields, lanes=self._lanes)
        await self._engine.devices.register(_named(user), _device(device), record)

    async def devices(self, user: str) -> list[DeviceView]:
        """The user's devices, most recently seen first."""
        return await self._engine.devices.view(_named(user))

    async def remove_device(self, user: str, device: str) -> None:
        """Forget a device.

        Raises:
            HubError: 1001 when the user has none of this id.
        """
        if not await self._engine.devices.remove(_named(user), _device(device)):
            raise HubError(UNKNOWN_DEVICE)

    async def set_device_state(self, user: str, device: str, state: DeviceState) -> None:
        """Tell the state of an app otherwise than over its connection; without one there is none to tell."""
        await self._tell(_named(user), _device(device), state)

    async def registered(self, user: str, device: str) -> None:
        """A device was registered, and not over its connection: if it has one, that learns of it."""
        await self._tell(_named(user), _device(device), None)

    async def _tell(self, user: str, device: str, state: DeviceState | None) -> None:
        if self._live is not None:
            await self._live.tell_device(user, device, state)

    async def read(self, user: str, epoch: str, offset: int) -> ReadResult:
        """The user has seen everything up to ``offset``.

        Raises:
            HubError: 112 for another epoch.
        """
        result = await self._engine.ledger.read(_named(user), epoch, offset)
        if not result.same_epoch:
            raise HubError(UNRECOVERABLE_POSITION, _OTHER_EPOCH)
        return result

    async def ack(self, user: str, device: str, epoch: str, offset: int) -> int:
        """The device has everything up to ``offset``; up to where it has now.

        Raises:
            HubError: 1001 for a device that is not registered, 112 for another epoch.
        """
        acked = await self._ack(Ack(_named(user), _device(device), epoch, offset))
        if not acked.known:
            raise HubError(UNKNOWN_DEVICE)
        if not acked.same_epoch:
            raise HubError(UNRECOVERABLE_POSITION, _OTHER_EPOCH)
        return acked.acked

    async def opened(self, user: str, device: str, notification_id: str) -> None:
        """The user opened a notification, on a device or, where that is empty, on one that has no id.

        Raises:
            HubError: 107 for what names no device, 1009.
        """
        # The trace keeps it: nobody may write there what they like, in any length.
        if device:
            _device(device)
        if not await self._engine.ledger.opened(_named(user), device, notification_id):
            raise HubError(UNKNOWN_NOTIFICATION)

    async def receipt(self, text: str, event: Literal["delivered", "opened"]) -> None:
        """What the receipt of a push proves: delivered up to its offset, or that one opened.

        Raises:
            HubError: 1013.
        """
        receipt = verify_receipt(text, await self._secret(), self.now_ms)
        await self._ack(Ack(receipt.user, receipt.device, receipt.epoch, receipt.acks, how="receipt"))
        if event == "opened":
            before = Position(receipt.offset - 1, receipt.epoch)
            page = await self._engine.broker.history(
                inbox_channel(receipt.user), HistoryFilter(limit=1, since=before), INBOX_POLICY
            )
            shown = page.publications[0] if page.publications else None
            if shown is not None and shown.offset == receipt.offset and page.top.epoch == receipt.epoch:
                await self._engine.ledger.opened(receipt.user, receipt.device, _notification_id(shown))

    async def inbox_page(
        self, user: str, *, cursor: str = "", limit: int = 20, order: Order = "newest", device: str = ""
    ) -> InboxPage:
        """Some of the inbox; with ``device``, what paging through proves counts as its ack.

        Raises:
            HubError: 107 for a cursor that is none, or limit out of 1 to 100; 112 for a cursor of
                another epoch.
        """
        if not 1 <= limit <= 100:
            raise HubError(BAD_REQUEST, "limit is 1 to 100")
        after = parse_cursor(cursor) if cursor else None
        if after is not None:
            order = after.order
        wanted = HistoryFilter(
            limit=limit,
            since=None if after is None else Position(after.offset, after.epoch),
            reverse=order == "newest",
        )
        channel = inbox_channel(_named(user))
        page = await self._engine.broker.history(channel, wanted, INBOX_POLICY)
        if after is not None and after.epoch != page.top.epoch:
            raise HubError(UNRECOVERABLE_POSITION, _OTHER_EPOCH)
        offsets = [publication.offset for publication in page.publications]
        is_last = len(offsets) < limit
        acked = None
        if device:
            acked = await self._ack_by_paging(user, device, after, order, page.top, offsets, is_last)
        summary = await self._engine.ledger.summary(user)
        following = ""
        if not is_last:
            start = after.start if after is not None else page.top.offset if order == "newest" else 0
            following = PageCursor(order, page.top.epoch, start, offsets[-1]).text()
        items = tuple(
            InboxItem(publication, publication.offset <= summary.read)
            for publication in page.publications
            if not publication.data.startswith(_WITHDRAWN)
        )
        return InboxPage(items, following, summary, acked)

    async def _ack_by_paging(
        self,
        user: str,
        device: str,
        after: PageCursor | None,
        order: Order,
        top: Position,
        offsets: list[int],
        is_last: bool,
    ) -> int:
        now = await self._ack(Ack(user, _device(device), top.epoch, 0, how="history"))
        if not now.known:
            raise HubError(UNKNOWN_DEVICE)
        proven = proven_by_paging(
            after,
            order,
            top=top.offset,
            lowest=min(offsets, default=None),
            is_last=is_last,
            acked=now.acked,
        )
        if proven > now.acked:
            now = await self._ack(Ack(user, device, top.epoch, proven, how="history"))
        return now.acked

    async def _ack(self, ack: Ack) -> Acked:
        return (await self._engine.ledger.ack([ack]))[0]

    async def _secret(self) -> bytes:
        if not self._receipt_secret:
            self._receipt_secret = await self._engine.lanes.secret(RECEIPT_SECRET)
        return self._receipt_secret


_NO_MARKS = "no marks of it yet, or no more; notify_status tells how far it is"
_OTHER_EPOCH = "the inbox has another epoch now: inbox.history tells it"
_WITHDRAWN = b'{"type":"withdrawn"'


def _named(user: str) -> str:
    if not user:
        raise HubError(PERMISSION_DENIED, "the anonymous user has no inbox and no devices")
    return user


def _device(device: str) -> str:
    if not is_device_id(device):
        raise HubError(BAD_REQUEST, "a device id is 16 to 64 of the characters A-Z a-z 0-9 . _ -")
    return device


def _by_device(user: str, device: str, marks: Sequence[Mark]) -> list[DeviceTrace]:
    if not marks:
        return []
    devices = [device] if device else sorted({mark.device for mark in marks if mark.device}) or [""]
    # A mark may be told long after its time, as what was written is; and that time is another clock's.
    timeline = sorted(marks, key=lambda mark: (mark.event != "accepted", mark.time_ms))
    return [
        DeviceTrace(user, each, tuple(mark for mark in timeline if mark.device in ("", each)))
        for each in devices
    ]


def _notification_id(publication: Publication) -> str:
    found = orjson.loads(publication.data).get("id", "")
    return found if isinstance(found, str) else ""
