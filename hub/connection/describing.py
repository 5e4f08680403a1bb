"""What operators may know of a connection, as JSON-ready values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hub.delivery.inbox import owner_of

if TYPE_CHECKING:
    from hub.connection.connection import Connection


def describe(connection: Connection) -> Mapping[str, Any]:
    """The connection as the server API and the console show it."""
    return {
        "user": connection.user,
        "app_name": connection.sdk_name,
        "app_version": connection.sdk_version,
        "transport": "websocket",
        "protocol": connection.encoding.codec.name,
        "client_ip": connection.client_ip,
        "connected_at": connection.connected_at_ms,
        # Their inbox goes without saying.
        "channels": sorted(each for each in connection.session.subscriptions if owner_of(each) is None),
    }
