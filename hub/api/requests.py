"""What may be asked of each method of the server API. Field names are the JSON keys.

A field that is not here is refused by name, one of another type likewise. ``null`` in an
optional field means that it is absent, because some clients write every field they know.
Payloads stay the bytes that the publisher sent. Pure data.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Raw

from hub.api.notification_requests import NotifyRequest
from hub.api.request_base import (
    CloseCode,
    Key,
    Milliseconds,
    Natural,
    Payload,
    Request,
    Seconds,
    Subject,
)


class StreamPosition(Request):
    """A place in a channel's stream."""

    offset: Natural = 0
    epoch: str = ""


class PublishRequest(Request):
    """Publish to one channel. `b64data` (base64, for payloads that are not JSON) wins over `data`.

    With `notify`, users are notified too: both happen, or neither.
    """

    channel: str
    data: Payload = UNSET
    b64data: str | None = None
    skip_history: bool | None = None
    tags: dict[str, str] | None = None
    idempotency_key: Key | None = None
    delta: bool | None = None
    version: Natural | None = None
    version_epoch: Key | None = None
    notify: NotifyRequest | None = None


class BroadcastRequest(Request):
    """Publish the same to many channels. The idempotency key counts in each of them by itself."""

    channels: list[str]
    data: Payload = UNSET
    b64data: str | None = None
    skip_history: bool | None = None
    tags: dict[str, str] | None = None
    idempotency_key: Key | None = None
    delta: bool | None = None
    version: Natural | None = None
    version_epoch: Key | None = None


class BatchRequest(Request):
    """Several commands, each an object of one method and its parameters.

    They run one after another, or, with `parallel`, side by side. Replies keep their order.
    """

    commands: list[dict[str, Raw]]
    parallel: bool | None = None


class Switch(Request):
    """A yes or no that was set."""

    value: bool


class OptionsOverride(Request):
    """Channel options for one subscription; what is left out stays as the namespace says."""

    presence: Switch | None = None
    join_leave: Switch | None = None
    force_push_join_leave: Switch | None = None
    force_recovery: Switch | None = None
    force_positioning: Switch | None = None


class SubscribeRequest(Request):
    """Subscribe a user's connections to a channel. The base64 forms win over the plain ones."""

    user: str
    channel: str
    client: str | None = None
    session: str | None = None
    info: Payload = UNSET
    b64info: str | None = None
    data: Payload = UNSET
    b64data: str | None = None
    recover_since: StreamPosition | None = None
    expire_at: Seconds | None = None
    override: OptionsOverride | None = None


class UnsubscribeRequest(Request):
    """End a user's subscriptions to a channel."""

    user: str
    channel: str
    client: str | None = None
    session: str | None = None


class CloseFrame(Request):
    """Code and reason of the close frame. Code 0 stands for 3503, force disconnect."""

    code: CloseCode = 0
    reason: str = ""


class DisconnectRequest(Request):
    """Close a user's connections, except the client ids in `whitelist`."""

    user: str
    client: str | None = None
    session: str | None = None
    whitelist: list[str] | None = None
    disconnect: CloseFrame | None = None


class RefreshRequest(Request):
    """Move the expiry of a user's connections, or, with `expired`, expire them now."""

    user: str
    client: str | None = None
    session: str | None = None
    expired: bool | None = None
    expire_at: Seconds | None = None
    info: Payload = UNSET


class PresenceRequest(Request):
    """Who is in the channel."""

    channel: str


class PresenceStatsRequest(Request):
    """How many are in the channel."""

    channel: str


class HistoryRequest(Request):
    """Read a channel's stream. Without `limit` only its position, with -1 as much as the hub gives."""

    channel: str
    limit: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    since: StreamPosition | None = None
    reverse: bool | None = None


class HistoryRemoveRequest(Request):
    """Drop what a channel keeps; its position stays."""

    channel: str


class ChannelsRequest(Request):
    """Channels with subscribers, those that match the glob."""

    pattern: str | None = None


class ConnectionsRequest(Request):
    """Live connections, of one user or one client. A non-empty `expression` is refused with 108."""

    user: str | None = None
    client: str | None = None
    expression: str | None = None


class InfoRequest(Request):
    """The living nodes."""


class UserBlockRequest(Request):
    """Keep a user out until a time, or for good: connections end with 4501, nothing is pushed meanwhile."""

    user: Subject
    until: Milliseconds | None = None


class UserUnblockRequest(Request):
    """Let a blocked user in again. One who is not blocked is no error."""

    user: Subject


class TokenRevokeRequest(Request):
    """Have a token not count any more, by its `jti`, or those of `user` that were issued earlier.

    `until` is when the last of them has ended by itself; left out, they are remembered for 400 days.
    """

    jti: Subject | None = None
    user: Subject | None = None
    issued_before: Milliseconds | None = None
    until: Milliseconds | None = None


class RpcRequest(Request):
    """A call to a method of the application's own, of which this hub has none."""

    method: str
    params: Payload = UNSET
