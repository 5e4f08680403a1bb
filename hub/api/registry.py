"""The table of methods: scope, request, result, what it does, an example. A new method is a line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hub.api import requests, results
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
        "rpc": Method("control", requests.RpcRequest, results.Empty, handle_rpc, {"method": "stats"}),
    }
)
"""Every method of ``POST /api/<method>`` by its name."""
