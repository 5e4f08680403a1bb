"""Methods that look and change nothing: presence, history, channels, connections, nodes.

A caller that is confined to some channels sees no others, in lists either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub.api import requests, results
from hub.api.call import Call
from hub.delivery.inbox import owner_of
from hub.errors import NOT_AVAILABLE, HubError
from hub.model import HistoryFilter, Position


async def handle_presence(call: Call, request: requests.PresenceRequest) -> results.PresenceResult:
    """Who is in the channel."""
    call.caller.require_channel(request.channel)
    members = await call.node.presence(request.channel)
    return results.PresenceResult({client: results.client_info_of(info) for client, info in members.items()})


async def handle_presence_stats(
    call: Call, request: requests.PresenceStatsRequest
) -> results.PresenceStatsResult:
    """How many are in the channel."""
    call.caller.require_channel(request.channel)
    stats = await call.node.presence_stats(request.channel)
    return results.PresenceStatsResult(stats.num_clients, stats.num_users)


async def handle_history(call: Call, request: requests.HistoryRequest) -> results.HistoryResult:
    """The channel's stream, or only its position."""
    call.caller.require_channel(request.channel)
    if owner_of(request.channel) is not None:
        call.caller.require_scope("inbox")
    since = Position(request.since.offset, request.since.epoch) if request.since else None
    wanted = HistoryFilter(request.limit or 0, since, bool(request.reverse))
    return results.history_of(await call.node.history(request.channel, wanted))


async def handle_channels(call: Call, request: requests.ChannelsRequest) -> results.ChannelsResult:
    """Channels that somebody is subscribed to."""
    counts = await call.node.channels(request.pattern or "")
    return results.ChannelsResult(
        {name: results.ChannelCount(count) for name, count in counts.items() if call.caller.sees(name)}
    )


async def handle_connections(call: Call, request: requests.ConnectionsRequest) -> results.ConnectionsResult:
    """Live connections, of everybody, of one user, or of one client id."""
    if request.expression:
        raise HubError(NOT_AVAILABLE, "connections cannot be filtered by an expression")
    found = await call.node.connections(request.user or "", request.client or "")
    return results.ConnectionsResult({client: _connection(call, shown) for client, shown in found.items()})


async def handle_info(call: Call, request: requests.InfoRequest) -> results.InfoResult:
    """The living nodes."""
    return results.InfoResult(await call.node.info())


def _connection(call: Call, told: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in told.items() if name != "channels"}
    channels: dict[str, dict[str, Any]] = {
        name: {} for name in told.get("channels", ()) if call.caller.sees(name)
    }
    return shown | {"state": {"channels": channels}}
