"""Every user's inbox: attached by the hub at connect, resumed from what its device has.

Reads what the client says of its device and writes the answer. Knows no proof and no ledger but the
hello and the welcome.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec
import orjson
from msgspec import Raw, Struct

from hub.channels import INBOX_OPTIONS
from hub.connection import joining
from hub.connection.device import DeviceSession
from hub.connection.joining import Joining
from hub.connection.membership import Terms, Wish
from hub.delivery.inbox import (
    MAX_RECOVERY_BYTES,
    MAX_RECOVERY_ENTRIES,
    inbox_channel,
    is_device_id,
    owner_of,
)
from hub.delivery.model import DeviceState, Welcome
from hub.errors import BAD_REQUEST, HubError
from hub.model import Position
from hub.protocol.messages import NO_DATA, PublicationMessage, SubscribeRequest

if TYPE_CHECKING:
    from hub.connection.connection import Connection

MAX_REPLY_BYTES = 480 * 1024
"""Publications in one connect reply: no frame with an inbox in it may pass 512 KiB."""

_TERMS = Terms(
    options=INBOX_OPTIONS,
    server_side=True,
    max_recovered=MAX_RECOVERY_ENTRIES,
    max_recovered_bytes=MAX_RECOVERY_BYTES,
)


class _AppData(Struct):
    hub: Raw = NO_DATA


class _HubData(Struct):
    device: str | None = None
    state: Literal["foreground", "background"] = "foreground"


_app_data = msgspec.json.Decoder(_AppData)
_hub_data = msgspec.json.Decoder(_HubData | None)


def named_device(payload: bytes) -> tuple[str, DeviceState] | None:
    """The device, and where its app is, that the data of a connect command names; None where it names none.

    All else in it, and data that is no JSON object, is the app's own.

    Raises:
        HubError: 107 when what is meant for the hub is malformed.
    """
    if not payload:
        return None
    try:
        told = bytes(_app_data.decode(payload).hub)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not told:
        return None
    try:
        found = _hub_data.decode(told)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise HubError(BAD_REQUEST, "connect data: hub is {device, state}") from None
    if found is None or found.device is None:
        return None
    if not is_device_id(found.device):
        raise HubError(BAD_REQUEST, "a device id is 16 to 64 letters, digits, dots, dashes or underscores")
    return found.device, found.state


async def join(
    connection: Connection,
    named: tuple[str, DeviceState] | None,
    resumed: Mapping[str, SubscribeRequest],
) -> tuple[Joining, bytes]:
    """Bring ``connection`` into its user's inbox; also the data of the connect reply, empty for none.

    A device without a cursor of its own gets what it has not had. Whoever calls lets a device that
    is then there leave again when the connect fails.

    Raises:
        EngineUnavailable: the engine did not answer.
    """
    channel = inbox_channel(connection.user)
    cursor = _cursor(resumed.get(channel))
    told = b""
    if named is not None:
        device = DeviceSession(connection, *named)
        connection.device_session = device
        welcome = await device.hello(cursor)
        told = _reply_data(device.id, channel, welcome)
        if cursor is None and welcome.known:
            cursor = Position(welcome.acked, welcome.summary.top.epoch)
    # The hub attached it, hence it takes nothing of what the client may subscribe to.
    connection.session.max_channels += 1
    return await joining.join(connection, channel, _TERMS, Wish(cursor=cursor)), told


def _cursor(request: SubscribeRequest | None) -> Position | None:
    if request is None or not request.recover:
        return None
    return Position(request.offset, request.epoch)


def _reply_data(device: str, channel: str, welcome: Welcome) -> bytes:
    summary = welcome.summary
    return orjson.dumps(
        {
            "hub": {
                "device": {"id": device, "registered": welcome.registered},
                "inbox": {
                    "channel": channel,
                    "epoch": summary.top.epoch,
                    "head": summary.top.offset,
                    "read": summary.read,
                    "unread": summary.unread,
                },
            }
        }
    )


def no_inbox_data(device: str) -> bytes:
    """The data of a connect reply to the anonymous user, who named a device."""
    return orjson.dumps({"hub": {"device": {"id": device, "registered": False}}})


def taken_out(ready: Sequence[Joining]) -> list[PublicationMessage]:
    """What of the inbox must follow the connect reply, lest its frame get too large; mostly nothing."""
    inbox = ready[-1] if ready else None
    if inbox is None or not inbox.result.publications or owner_of(inbox.membership.channel) is None:
        return []
    publications = inbox.result.publications
    size = sum(len(bytes(each.data)) for joined in ready for each in joined.result.publications)
    if size <= MAX_REPLY_BYTES:
        return []
    inbox.result.publications = []
    return publications
