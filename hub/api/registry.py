"""The table of methods: scope, request, result, what it does, an example. A new method is a line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hub.api import notification_requests as q
from hub.api import notification_results as r
from hub.api import notifying, requests, results, revoking
from hub.api.batching import BATCH, handle_batch
from hub.api.call import Method
from hub.api.control import (
    handle_disconnect,
    handle_history_remove,
    handle_refresh,
    handle_rpc,
    handle_subscribe,
    handle_unsubscribe,
)
from hub.api.publishing import handle_broadcast, handle_publish
from hub.api.reading import (
    handle_channels,
    handle_connections,
    handle_history,
    handle_info,
    handle_presence,
    handle_presence_stats,
)

_CHAT = {"channel": "chat:lobby"}
_USER = {"user": "42"}
_HELLO = {"data": {"text": "hello"}}
_SINCE = {"offset": 17, "epoch": "xVhD"}
_NOTIFICATION = {"id": "01938c2e-6f3a-7c1b-9d2e-4a5b6c7d8e9f"}
_DEVICE = {"id": "6f1c0b52-3d7e-4f8a-9b1c-2d3e4f5a6b7c"}
_LANE = {"lane": "apns:com.example.chat:production"}

METHODS: Mapping[str, Method[Any]] = MappingProxyType(
    {
        "publish": Method(
            "publish",
            requests.PublishRequest,
            results.PublishResult,
            handle_publish,
            _CHAT | _HELLO | {"idempotency_key": "order-1001"},
        ),
        "broadcast": Method(
            "publish",
            requests.BroadcastRequest,
            results.BroadcastResult,
            handle_broadcast,
            {"channels": ["chat:lobby", "chat:garden"]} | _HELLO,
        ),
        BATCH: Method(
            None,
            requests.BatchRequest,
            results.BatchResult,
            handle_batch,
            {"commands": [{"publish": _CHAT | _HELLO}, {"presence": _CHAT}], "parallel": True},
            enveloped=False,
        ),
        "subscribe": Method(
            "control",
            requests.SubscribeRequest,
            results.Empty,
            handle_subscribe,
            _USER | _CHAT | {"recover_since": _SINCE, "override": {"presence": {"value": False}}},
        ),
        "unsubscribe": Method(
            "control", requests.UnsubscribeRequest, results.Empty, handle_unsubscribe, _USER | _CHAT
        ),
        "disconnect": Method(
            "control",
            requests.DisconnectRequest,
            results.Empty,
            handle_disconnect,
            _USER | {"disconnect": {"code": 4001, "reason": "logged in elsewhere"}},
        ),
        "refresh": Method(
            "control",
            requests.RefreshRequest,
            results.Empty,
            handle_refresh,
            _USER | {"expire_at": 1_900_000_000},
        ),
        "presence": Method("read", requests.PresenceRequest, results.PresenceResult, handle_presence, _CHAT),
        "presence_stats": Method(
            "read", requests.PresenceStatsRequest, results.PresenceStatsResult, handle_presence_stats, _CHAT
        ),
        "history": Method(
            "read",
            requests.HistoryRequest,
            results.HistoryResult,
            handle_history,
            _CHAT | {"limit": 20, "since": _SINCE},
        ),
        "history_remove": Method(
            "control", requests.HistoryRemoveRequest, results.Empty, handle_history_remove, _CHAT
        ),
        "channels": Method(
            "read", requests.ChannelsRequest, results.ChannelsResult, handle_channels, {"pattern": "chat:*"}
        ),
        "connections": Method(
            "read", requests.ConnectionsRequest, results.ConnectionsResult, handle_connections, _USER
        ),
        "info": Method("read", requests.InfoRequest, results.InfoResult, handle_info, {}),
        "notify": Method(
            "notify",
            q.NotifyRequest,
            r.NotifyResult,
            notifying.handle_notify,
            {
                "users": ["42"],
                "notification": {"title": "Anna", "body": "Coming?"},
                "data": {"chat": "lobby"},
            },
        ),
        "notify_cancel": Method(
            "notify", q.NotifyCancelRequest, r.WithdrawnResult, notifying.handle_notify_cancel, _NOTIFICATION
        ),
        "notify_status": Method(
            "trace",
            q.NotifyStatusRequest,
            r.NotifyStatusResult,
            notifying.handle_notify_status,
            _NOTIFICATION,
        ),
        "notification_trace": Method(
            "trace",
            q.NotificationTraceRequest,
            r.TraceResult,
            notifying.handle_notification_trace,
            _NOTIFICATION | _USER,
        ),
        "device_register": Method(
            "devices",
            q.DeviceRegisterRequest,
            r.RegisteredResult,
            notifying.handle_device_register,
            _USER
            | _DEVICE
            | {
                "platform": "ios",
                "provider": "apns",
                "app": "com.example.chat",
                "environment": "production",
                "token": "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9",
            },
        ),
        "device_list": Method(
            "devices", q.DeviceListRequest, r.DevicesResult, notifying.handle_device_list, _USER
        ),
        "device_remove": Method(
            "devices", q.DeviceRemoveRequest, results.Empty, notifying.handle_device_remove, _USER | _DEVICE
        ),
        "inbox_history": Method(
            "inbox",
            q.InboxHistoryRequest,
            r.InboxHistoryResult,
            notifying.handle_inbox_history,
            _USER | {"limit": 20},
        ),
        "inbox_read": Method(
            "inbox", q.InboxReadRequest, r.ReadResult, notifying.handle_inbox_read, _USER | _SINCE
        ),
        "dead_letters": Method(
            "admin", q.DeadLettersRequest, r.DeadLettersResult, notifying.handle_dead_letters, {"limit": 100}
        ),
        "dead_letters_replay": Method(
            "admin", q.DeadLettersActRequest, r.CountResult, notifying.handle_dead_letters_replay, _LANE
        ),
        "dead_letters_drop": Method(
            "admin", q.DeadLettersActRequest, r.CountResult, notifying.handle_dead_letters_drop, _LANE
        ),
        "user_block": Method(
            "admin",
            requests.UserBlockRequest,
            results.Empty,
            revoking.handle_user_block,
            _USER | {"until": 1_900_000_000_000},
        ),
        "user_unblock": Method(
            "admin", requests.UserUnblockRequest, results.Empty, revoking.handle_user_unblock, _USER
        ),
        "token_revoke": Method(
            "admin",
            requests.TokenRevokeRequest,
            results.Empty,
            revoking.handle_token_revoke,
            _USER | {"issued_before": 1_795_000_000_000},
        ),
        "user_forget": Method(
            "admin", q.UserForgetRequest, results.Empty, notifying.handle_user_forget, _USER
        ),
        "rpc": Method("control", requests.RpcRequest, results.Empty, handle_rpc, {"method": "stats"}),
    }
)
"""Every method of ``POST /api/<method>`` by its name."""
