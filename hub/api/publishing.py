"""Methods that say something: publish, broadcast. The node decides what a channel keeps."""

from __future__ import annotations

from msgspec import Struct

from hub.api import requests, results
from hub.api.call import Call, attempt_all
from hub.api.notification_results import NotifyResult
from hub.api.notifying import notification_of
from hub.api.payloads import payload_of
from hub.engine.jobs import NewNotice
from hub.engine.notifying import distinct_users, notice_of
from hub.errors import BAD_REQUEST, LIMIT_EXCEEDED, HubError
from hub.model import PublishResult


async def handle_publish(call: Call, request: requests.PublishRequest) -> results.PublishResult:
    """Publish to one channel."""
    if request.notify is None:
        return _told(await _publish(call, request.channel, request, _payload(request)))
    call.caller.require_scope("notify")
    if request.notify.dry_run:
        raise HubError(BAD_REQUEST, "dry_run is for notify alone")
    users = distinct_users(request.notify.users)
    notification = notification_of(call, request.notify, len(users))
    job = notice_of(notification, users, as_job=True)
    if request.notify.id is not None:
        await call.notifications.check_conflict(job)
    published = await _publish(call, request.channel, request, _payload(request), job)
    told = _told(published)
    if not published.duplicate:
        # What was published before was notified of then; nothing was queued now.
        told.notify = NotifyResult(notification.id, len(users), job=notification.id)
    return told


async def handle_broadcast(call: Call, request: requests.BroadcastRequest) -> results.BroadcastResult:
    """Publish the same to many channels; a refusal of one is the answer for that one only."""
    if not request.channels:
        raise HubError(BAD_REQUEST, "`channels` is empty")
    if len(request.channels) > call.limits.max_broadcast_channels:
        raise HubError(LIMIT_EXCEEDED, f"a broadcast takes {call.limits.max_broadcast_channels} channels")
    payload = _payload(request)

    async def publish_to(channel: str) -> Struct:
        return _told(await _publish(call, channel, request, payload))

    outcomes = await attempt_all(request.channels, publish_to, parallel=True)
    return results.BroadcastResult([_item(outcome) for outcome in outcomes])


async def _publish(
    call: Call,
    channel: str,
    request: requests.PublishRequest | requests.BroadcastRequest,
    payload: bytes,
    job: NewNotice | None = None,
) -> PublishResult:
    call.caller.require_channel(channel)
    return await call.node.publish(
        channel,
        payload,
        tags=request.tags or None,
        skip_history=bool(request.skip_history),
        idempotency_key=request.idempotency_key or "",
        delta=bool(request.delta),
        version=request.version or 0,
        version_epoch=request.version_epoch or "",
        job=job,
    )


def _told(published: PublishResult) -> results.PublishResult:
    if published.position is None:
        return results.PublishResult()
    return results.PublishResult(published.position.offset, published.position.epoch)


def _payload(request: requests.PublishRequest | requests.BroadcastRequest) -> bytes:
    payload = payload_of(request.data, request.b64data, "data")
    if not payload:
        raise HubError(BAD_REQUEST, "`data` is required")
    return payload


def _item(outcome: Struct | results.Error) -> results.BroadcastItem:
    match outcome:
        case results.PublishResult():
            return results.BroadcastItem(result=outcome)
        case results.Error():
            return results.BroadcastItem(error=outcome)
        case _:
            raise AssertionError(f"a publication cannot end in {type(outcome).__name__}")
