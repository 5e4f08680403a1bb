"""Methods of backends about notifications: notify, cancel, status, trace, devices, inboxes, dead letters."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET

from hub.api import inboxes
from hub.api import notification_requests as q
from hub.api import notification_results as r
from hub.api.call import Call
from hub.api.results import Empty
from hub.delivery.notification import Notification
from hub.engine.notifying import FULL_TRACE_USERS, MAX_PLANNED_USERS, distinct_users
from hub.errors import BAD_REQUEST, HubError


async def handle_notify(call: Call, request: q.NotifyRequest) -> r.NotifyResult:
    """Write to the inboxes of users; devices that prove nothing are pushed to."""
    notifications = call.notifications
    users = (
        distinct_users(request.users, MAX_PLANNED_USERS) if request.dry_run else distinct_users(request.users)
    )
    notification = notification_of(call, request, len(users))
    if request.dry_run:
        notification.entry()
        planned = [
            r.PlannedDevice(each.user, each.planned.device, each.planned.way, each.planned.wait_ms)
            for each in await notifications.plan(users, request.fallback)
        ]
        return r.NotifyResult(notification.id, 0, duplicate=False, plan=planned)
    answer = await notifications.notify(notification, users)
    return r.NotifyResult(answer.id, answer.accepted, answer.duplicate, answer.job or UNSET)


def notification_of(call: Call, request: q.NotifyRequest, user_count: int) -> Notification:
    """The notification that a request asks for.

    Raises:
        HubError: 107.
    """
    return Notification(
        created_ms=call.notifications.now_ms,
        id=request.id or "",
        data=None if request.data is UNSET else bytes(request.data),
        shown=inboxes.given(request.notification),
        overrides=inboxes.given(request.overrides),
        ttl_s=request.ttl_s,
        priority=request.priority,
        fallback=request.fallback,
        full_trace=user_count <= FULL_TRACE_USERS,
    )


async def handle_notify_cancel(call: Call, request: q.NotifyCancelRequest) -> r.WithdrawnResult:
    """Take a notification back."""
    users = None if request.users is None else distinct_users(request.users)
    return r.WithdrawnResult(await call.notifications.withdraw(request.id, users))


async def handle_notify_status(call: Call, request: q.NotifyStatusRequest) -> r.NotifyStatusResult:
    """How far a notification has come."""
    status = await call.notifications.status(request.id)
    return r.NotifyStatusResult(
        "running" if status.running else "done", status.users, status.done, status.failed
    )


async def handle_notification_trace(call: Call, request: q.NotificationTraceRequest) -> r.TraceResult:
    """What happened to a notification."""
    found = await call.notifications.trace(request.id, request.user or "", request.device or "")
    return r.TraceResult([r.traced(each) for each in found])


async def handle_device_register(call: Call, request: q.DeviceRegisterRequest) -> r.RegisteredResult:
    """Register a device for a user."""
    return await inboxes.register_device(call.notifications, request.user, "", request)


async def handle_device_list(call: Call, request: q.DeviceListRequest) -> r.DevicesResult:
    """The devices of a user."""
    return await inboxes.list_devices(call.notifications, request.user)


async def handle_device_remove(call: Call, request: q.DeviceRemoveRequest) -> Empty:
    """Forget a device of a user."""
    await call.notifications.remove_device(request.user, request.id)
    return Empty()


async def handle_inbox_history(call: Call, request: q.InboxHistoryRequest) -> r.InboxHistoryResult:
    """A page of a user's inbox."""
    return r.inbox_of(await inboxes.page_inbox(call.notifications, request.user, request))


async def handle_inbox_read(call: Call, request: q.InboxReadRequest) -> r.ReadResult:
    """A user has read everything up to a place."""
    return await inboxes.read_inbox(call.notifications, request.user, request)


async def handle_dead_letters(call: Call, request: q.DeadLettersRequest) -> r.DeadLettersResult:
    """Notifications that could not be sent."""
    page = await call.notifications.dead_letters(request.lane, request.cursor or "", request.limit)
    letters = [
        r.DeadLetter(
            each.id,
            each.lane,
            each.user,
            each.device,
            each.notification,
            each.offset,
            each.reason,
            each.time_ms,
        )
        for each in page.letters
    ]
    return r.DeadLettersResult(letters, page.cursor or UNSET)


async def handle_dead_letters_replay(call: Call, request: q.DeadLettersActRequest) -> r.CountResult:
    """Owe dead letters again."""
    return await _act(call, "replay", request)


async def handle_dead_letters_drop(call: Call, request: q.DeadLettersActRequest) -> r.CountResult:
    """Forget dead letters."""
    return await _act(call, "drop", request)


async def _act(
    call: Call, action: Literal["replay", "drop"], request: q.DeadLettersActRequest
) -> r.CountResult:
    if bool(request.ids) == bool(request.lane):
        raise HubError(BAD_REQUEST, "name ids, or a lane, but not both")
    count = await call.notifications.act_on_dead_letters(
        action, ids=request.ids or (), lane=request.lane or ""
    )
    return r.CountResult(count)


async def handle_user_forget(call: Call, request: q.UserForgetRequest) -> Empty:
    """Remove all that is kept of a user."""
    await call.notifications.forget(request.user)
    return Empty()
