"""What each method of the server API answers. Field names are the JSON keys.

A payload that is not JSON cannot stand in a JSON answer: its base64 is then in the field
with ``b64`` before the name, and ``data`` is null. Pure data and its making.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType

from hub.api.notification_results import NotifyResult
from hub.errors import BAD_REQUEST, HubError
from hub.model import ClientInfo as Client
from hub.model import HistoryPage
from hub.model import Publication as StoredPublication
from hub.payloads import is_json

_NULL = Raw(b"null")


class Empty(Struct):
    """Done; there is nothing to tell."""


class Error(Struct, omit_defaults=True):
    """A refusal. `detail` says more to people and is there only when there is more to say."""

    code: int
    message: str
    detail: str = ""


class PublishResult(Struct, omit_defaults=True):
    """Where the publication stands; empty for a channel without history."""

    offset: int | UnsetType = UNSET
    epoch: str | UnsetType = UNSET
    notify: NotifyResult | UnsetType = UNSET


class BroadcastItem(Struct, omit_defaults=True):
    """What came of one channel: exactly one of both."""

    result: PublishResult | UnsetType = UNSET
    error: Error | UnsetType = UNSET


class BroadcastResult(Struct):
    """One item per channel, in the order of the request."""

    responses: list[BroadcastItem]


class BatchResult(Struct):
    """One reply per command, in the same order: an object of its method and bare result, or of `error`."""

    replies: list[dict[str, Any]]


class ClientInfo(Struct, omit_defaults=True):
    """Somebody in a channel."""

    user: str
    client: str
    conn_info: Raw | UnsetType = UNSET
    chan_info: Raw | UnsetType = UNSET
    b64conn_info: str | UnsetType = UNSET
    b64chan_info: str | UnsetType = UNSET


class PresenceResult(Struct):
    """Clients by their id."""

    presence: dict[str, ClientInfo]


class PresenceStatsResult(Struct):
    """Connections and distinct users; anonymous connections are one user."""

    num_clients: int
    num_users: int


class Publication(Struct, omit_defaults=True):
    """One item of a stream. `time` is unix milliseconds."""

    offset: int
    data: Raw
    b64data: str | UnsetType = UNSET
    info: ClientInfo | UnsetType = UNSET
    tags: Mapping[str, str] | UnsetType = UNSET
    time: int | UnsetType = UNSET


class HistoryResult(Struct):
    """Publications, and the top of the stream at the moment of reading."""

    publications: list[Publication]
    epoch: str
    offset: int


class ChannelCount(Struct):
    """How many connections are subscribed."""

    num_clients: int


class ChannelsResult(Struct):
    """Channels by name."""

    channels: dict[str, ChannelCount]


class ConnectionsResult(Struct):
    """Connections by client id; the channels of each are the keys of its `state.channels`."""

    connections: dict[str, dict[str, Any]]


class InfoResult(Struct):
    """The living nodes."""

    nodes: list[Mapping[str, Any]]


class Success(Struct):
    """Envelope of a result."""

    result: Any


class Failure(Struct):
    """Envelope of a refusal."""

    error: Error


def error_of(refusal: HubError) -> Error:
    """The refusal as the API tells it.

    With 107 the message itself says what is wrong, since most clients show nothing else.
    """
    error, detail = refusal.error, refusal.detail
    if error is BAD_REQUEST and detail:
        return Error(error.code, f"{error.message}: {detail}")
    return Error(error.code, error.message, detail)


def client_info_of(client: Client) -> ClientInfo:
    """Somebody, with payloads verbatim."""
    shown = ClientInfo(client.user, client.client)
    if client.conn_info is not None:
        if is_json(client.conn_info):
            shown.conn_info = Raw(client.conn_info)
        else:
            shown.b64conn_info = b64encode(client.conn_info).decode()
    if client.chan_info is not None:
        if is_json(client.chan_info):
            shown.chan_info = Raw(client.chan_info)
        else:
            shown.b64chan_info = b64encode(client.chan_info).decode()
    return shown


def history_of(page: HistoryPage) -> HistoryResult:
    """A page of history, with payloads verbatim."""
    items = [_publication_of(publication) for publication in page.publications]
    return HistoryResult(items, page.top.epoch, page.top.offset)


def _publication_of(stored: StoredPublication) -> Publication:
    shown = Publication(stored.offset, _NULL)
    if is_json(stored.data):
        shown.data = Raw(stored.data)
    else:
        shown.b64data = b64encode(stored.data).decode()
    if stored.info is not None:
        shown.info = client_info_of(stored.info)
    if stored.tags:
        shown.tags = stored.tags
    if stored.time_ms:
        shown.time = stored.time_ms
    return shown
