"""Methods that act on connections and streams: subscribe, unsubscribe, disconnect, refresh, history_remove.

A target that nobody matches is no error: the user may just have gone.
"""

from __future__ import annotations

from hub.api import requests, results
from hub.api.call import Call
from hub.api.payloads import payload_of
from hub.channels import Override
from hub.errors import BAD_REQUEST, FORCE_DISCONNECT, NOT_AVAILABLE, Disconnect, HubError
from hub.model import Position

_MIN_CLOSE_CODE = 3001
"""Below, the codes belong to WebSocket itself and SDKs do not take them for a decision of the hub."""
_MAX_REASON_BYTES = 123
"""All that a close frame has room for (RFC 6455, section 5.5.1)."""


async def handle_subscribe(call: Call, request: requests.SubscribeRequest) -> results.Empty:
    """Subscribe a user's connections from the server's side."""
    call.caller.require_channel(request.channel)
    since = request.recover_since
    await call.node.subscribe(
        request.user,
        request.channel,
        client=request.client or "",
        session=request.session or "",
        info=payload_of(request.info, request.b64info, "info"),
        data=payload_of(request.data, request.b64data, "data"),
        recover_since=Position(since.offset, since.epoch) if since else None,
        expire_at_s=request.expire_at or None,
        override=_override(request.override),
    )
    return results.Empty()


async def handle_unsubscribe(call: Call, request: requests.UnsubscribeRequest) -> results.Empty:
    """End a user's subscriptions to a channel."""
    call.caller.require_channel(request.channel)
    await call.node.unsubscribe(
        request.user, request.channel, client=request.client or "", session=request.session or ""
    )
    return results.Empty()


async def handle_disconnect(call: Call, request: requests.DisconnectRequest) -> results.Empty:
    """Close a user's connections."""
    await call.node.disconnect(
        request.user,
        client=request.client or "",
        session=request.session or "",
        whitelist=request.whitelist or (),
        disconnect=_disconnect(request.disconnect),
    )
    return results.Empty()


async def handle_refresh(call: Call, request: requests.RefreshRequest) -> results.Empty:
    """Move the expiry of a user's connections, or expire them now."""
    await call.node.refresh(
        request.user,
        client=request.client or "",
        session=request.session or "",
        expired=bool(request.expired),
        expire_at_s=request.expire_at or None,
        info=payload_of(request.info, None, "info"),
    )
    return results.Empty()


async def handle_history_remove(call: Call, request: requests.HistoryRemoveRequest) -> results.Empty:
    """Drop what a channel keeps."""
    call.caller.require_channel(request.channel)
    await call.node.remove_history(request.channel)
    return results.Empty()


async def handle_rpc(call: Call, request: requests.RpcRequest) -> results.Empty:
    """Refused with 108: this hub runs no methods of the application's own."""
    raise HubError(NOT_AVAILABLE, "this hub has no rpc methods of the server API")


def _override(wanted: requests.OptionsOverride | None) -> Override | None:
    if wanted is None:
        return None

    def value(switch: requests.Switch | None) -> bool | None:
        return None if switch is None else switch.value

    return Override(
        presence=value(wanted.presence),
        join_leave=value(wanted.join_leave),
        force_push_join_leave=value(wanted.force_push_join_leave),
        force_recovery=value(wanted.force_recovery),
        force_positioning=value(wanted.force_positioning),
    )


def _disconnect(wanted: requests.CloseFrame | None) -> Disconnect:
    if wanted is None:
        return FORCE_DISCONNECT
    if len(wanted.reason.encode()) > _MAX_REASON_BYTES:
        raise HubError(BAD_REQUEST, f"`disconnect.reason` is longer than {_MAX_REASON_BYTES} bytes")
    if wanted.code == 0:
        return Disconnect(FORCE_DISCONNECT.code, wanted.reason or FORCE_DISCONNECT.reason)
    if wanted.code < _MIN_CLOSE_CODE:
        raise HubError(BAD_REQUEST, f"`disconnect.code` is below {_MIN_CLOSE_CODE}")
    return Disconnect(wanted.code, wanted.reason)
