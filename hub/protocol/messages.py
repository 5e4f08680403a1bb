"""The messages of the Centrifuge client protocol as values: commands in, replies out.

Field names are the JSON keys; ``protobuf_schema`` holds the field numbers. A field that
equals its default is left out on the wire; a field without default is never left out.
Messages are trees, so none needs the collector of cycles.
Pure data: which command is legal when is the session's question.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, Struct

U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
U64 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""Protobuf takes all 64 bits; JSON text stops at 2**63 - 1, the highest bound msgspec can check."""
I32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
I64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]

NO_DATA = Raw(b"")

FLAG_REJECT_UNRECOVERED = 2
"""Bit of ``SubscribeRequest.flag``: answer 112 instead of an empty recovery."""


class StreamPosition(Struct, omit_defaults=True, gc=False):
    offset: U64 = 0
    epoch: str = ""


class FilterNode(Struct, omit_defaults=True, gc=False):
    op: str = ""
    key: str = ""
    cmp: str = ""
    val: str = ""
    vals: list[str] = []
    nodes: list[FilterNode] = []


class SubscribeRequest(Struct, omit_defaults=True, gc=False):
    channel: str = ""
    token: str = ""
    recover: bool = False
    epoch: str = ""
    offset: U64 = 0
    data: Raw = NO_DATA
    positioned: bool = False
    recoverable: bool = False
    join_leave: bool = False
    delta: str = ""
    tf: FilterNode | None = None
    flag: I64 = 0
    type: I32 = 0


class ConnectRequest(Struct, omit_defaults=True, gc=False):
    token: str = ""
    data: Raw = NO_DATA
    subs: dict[str, SubscribeRequest] = {}
    name: str = ""
    version: str = ""
    headers: dict[str, str] = {}
    flag: I64 = 0


class UnsubscribeRequest(Struct, omit_defaults=True, gc=False):
    channel: str = ""


class PublishRequest(Struct, omit_defaults=True, gc=False):
    channel: str = ""
    data: Raw = NO_DATA
    type: I32 = 0


class PresenceRequest(Struct, omit_defaults=True, gc=False):
    channel: str = ""


class PresenceStatsRequest(Struct, omit_defaults=True, gc=False):
    channel: str = ""


class HistoryRequest(Struct, omit_defaults=True, gc=False):
    channel: str = ""
    limit: I32 = 0
    since: StreamPosition | None = None
    reverse: bool = False


class PingRequest(Struct, omit_defaults=True, gc=False):
    pass


class SendRequest(Struct, omit_defaults=True, gc=False):
    data: Raw = NO_DATA


class RPCRequest(Struct, omit_defaults=True, gc=False):
    data: Raw = NO_DATA
    method: str = ""


class RefreshRequest(Struct, omit_defaults=True, gc=False):
    token: str = ""


class SubRefreshRequest(Struct, omit_defaults=True, gc=False):
    channel: str = ""
    token: str = ""
    type: I32 = 0


class Command(Struct, omit_defaults=True, gc=False):
    """What a client asks. Which request is meant when there are several: :func:`request_of`."""

    id: U32 = 0
    connect: ConnectRequest | None = None
    subscribe: SubscribeRequest | None = None
    unsubscribe: UnsubscribeRequest | None = None
    publish: PublishRequest | None = None
    presence: PresenceRequest | None = None
    presence_stats: PresenceStatsRequest | None = None
    history: HistoryRequest | None = None
    ping: PingRequest | None = None
    send: SendRequest | None = None
    rpc: RPCRequest | None = None
    refresh: RefreshRequest | None = None
    sub_refresh: SubRefreshRequest | None = None


Request = (
    ConnectRequest
    | SubscribeRequest
    | UnsubscribeRequest
    | PublishRequest
    | PresenceRequest
    | PresenceStatsRequest
    | HistoryRequest
    | RPCRequest
    | SendRequest
    | RefreshRequest
    | SubRefreshRequest
    | PingRequest
)
"""Anything a command can ask for."""


def request_of(command: Command) -> Request | None:
    """The one request that ``command`` means; None when it carries none (with id 0 that is a pong).

    Presence decides, not content, and the first in the protocol's order wins. A ping comes
    last: the protocol gives clients none, so whatever stands beside it is what they meant.
    """
    return (
        command.connect
        or command.subscribe
        or command.unsubscribe
        or command.publish
        or command.presence
        or command.presence_stats
        or command.history
        or command.rpc
        or command.send
        or command.refresh
        or command.sub_refresh
        or command.ping
    )


class Error(Struct, omit_defaults=True, gc=False):
    code: U32
    message: str
    temporary: bool = False


class ClientInfoMessage(Struct, omit_defaults=True, gc=False):
    user: str
    client: str
    conn_info: Raw = NO_DATA
    chan_info: Raw = NO_DATA


class PublicationMessage(Struct, omit_defaults=True, gc=False):
    data: Raw = NO_DATA
    info: ClientInfoMessage | None = None
    offset: U64 = 0
    tags: dict[str, str] = {}
    delta: bool = False
    time: I64 = 0
    channel: str = ""


class Join(Struct, omit_defaults=True, gc=False):
    info: ClientInfoMessage


class Leave(Struct, omit_defaults=True, gc=False):
    info: ClientInfoMessage


class Unsubscribe(Struct, omit_defaults=True, gc=False):
    code: U32
    reason: str


class Subscribe(Struct, omit_defaults=True, gc=False):
    recoverable: bool = False
    epoch: str = ""
    offset: U64 = 0
    positioned: bool = False
    data: Raw = NO_DATA


class Message(Struct, omit_defaults=True, gc=False):
    data: Raw = NO_DATA


class Refresh(Struct, omit_defaults=True, gc=False):
    expires: bool = False
    ttl: U32 = 0


class Push(Struct, omit_defaults=True, gc=False):
    channel: str = ""
    pub: PublicationMessage | None = None
    join: Join | None = None
    leave: Leave | None = None
    unsubscribe: Unsubscribe | None = None
    message: Message | None = None
    subscribe: Subscribe | None = None
    refresh: Refresh | None = None


class SubscribeResult(Struct, omit_defaults=True, gc=False):
    expires: bool = False
    ttl: U32 = 0
    recoverable: bool = False
    epoch: str = ""
    publications: list[PublicationMessage] = []
    recovered: bool = False
    offset: U64 = 0
    positioned: bool = False
    data: Raw = NO_DATA
    was_recovering: bool = False
    delta: bool = False


class ConnectResult(Struct, omit_defaults=True, gc=False):
    client: str = ""
    version: str = ""
    expires: bool = False
    ttl: U32 = 0
    data: Raw = NO_DATA
    subs: dict[str, SubscribeResult] = {}
    ping: U32 = 0
    pong: bool = False
    session: str = ""
    node: str = ""
    time: I64 = 0


class UnsubscribeResult(Struct, omit_defaults=True, gc=False):
    pass


class PublishResultMessage(Struct, omit_defaults=True, gc=False):
    pass


class PresenceResult(Struct, omit_defaults=True, gc=False):
    presence: dict[str, ClientInfoMessage]


class PresenceStatsResult(Struct, omit_defaults=True, gc=False):
    num_clients: U32
    num_users: U32


class HistoryResult(Struct, omit_defaults=True, gc=False):
    publications: list[PublicationMessage]
    epoch: str
    offset: U64


class PingResult(Struct, omit_defaults=True, gc=False):
    pass


class RPCResult(Struct, omit_defaults=True, gc=False):
    data: Raw = NO_DATA


class RefreshResult(Struct, omit_defaults=True, gc=False):
    client: str = ""
    version: str = ""
    expires: bool = False
    ttl: U32 = 0


class SubRefreshResult(Struct, omit_defaults=True, gc=False):
    expires: bool = False
    ttl: U32 = 0


class Reply(Struct, omit_defaults=True, gc=False):
    """What the hub says: an answer (``id`` > 0), a push (``push``), or a ping (nothing set)."""

    id: U32 = 0
    error: Error | None = None
    push: Push | None = None
    connect: ConnectResult | None = None
    subscribe: SubscribeResult | None = None
    unsubscribe: UnsubscribeResult | None = None
    publish: PublishResultMessage | None = None
    presence: PresenceResult | None = None
    presence_stats: PresenceStatsResult | None = None
    history: HistoryResult | None = None
    ping: PingResult | None = None
    rpc: RPCResult | None = None
    refresh: RefreshResult | None = None
    sub_refresh: SubRefreshResult | None = None
