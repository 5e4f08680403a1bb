"""What each command of a client does, once the session found it legal. Knows no frame and no socket."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Raw

from hub.channels import Asker
from hub.connection import inbox, joining, revoked
from hub.connection.credentials import (
    server_side_terms,
    verify_connect,
    verify_refresh,
    verify_subscription,
)
from hub.connection.membership import Terms, Wish, whole_ttl_s
from hub.connection.server_side import watch_expiry
from hub.delivery.model import DeviceState
from hub.errors import (
    BAD_REQUEST,
    CHANNEL_LIMIT,
    CONNECTION_LIMIT,
    EXPIRED,
    INSUFFICIENT_STATE,
    METHOD_NOT_FOUND,
    NOT_AVAILABLE,
    PERMISSION_DENIED,
    DisconnectError,
    HubError,
)
from hub.fanout import info_message, publication_message
from hub.fanout.encoding import push_publication
from hub.model import HistoryFilter, Position
from hub.protocol import is_json
from hub.protocol import messages as m
from hub.protocol.messages import Reply, Request
from hub.session import State

if TYPE_CHECKING:
    from hub.connection.connection import Connection


_NO_WISH = Wish()


async def serve(connection: Connection, command_id: int, request: Request) -> None:
    """Do what ``request`` asks for and write the reply.

    Raises:
        HubError: the reply is this error instead.
        DisconnectError: the connection must end.
    """
    match request:
        case m.ConnectRequest():
            await _connect(connection, command_id, request)
        case m.SubscribeRequest():
            await _subscribe(connection, command_id, request)
        case m.UnsubscribeRequest():
            await _unsubscribe(connection, command_id, request)
        case m.SubRefreshRequest():
            connection.send(Reply(id=command_id, sub_refresh=await _sub_refresh(connection, request)))
        case m.RefreshRequest():
            connection.send(Reply(id=command_id, refresh=await _refresh(connection, request)))
        case m.PublishRequest():
            await _publish(connection, request)
            connection.send(Reply(id=command_id, publish=m.PublishResultMessage()))
        case m.HistoryRequest():
            connection.send(Reply(id=command_id, history=await _history(connection, request)))
        case m.PresenceRequest():
            connection.send(Reply(id=command_id, presence=await _presence(connection, request)))
        case m.PresenceStatsRequest():
            connection.send(Reply(id=command_id, presence_stats=await _stats(connection, request)))
        case m.RPCRequest():
            connection.send(Reply(id=command_id, rpc=await _rpc(connection, request)))
        case _:
            raise HubError(NOT_AVAILABLE)


async def _connect(connection: Connection, command_id: int, request: m.ConnectRequest) -> None:
    services = connection.services
    options = services.options
    try:
        token = request.token or connection.bearer_token
        credentials = await verify_connect(services.verifier, options, token)
        revoked.check_newcomer(connection, credentials)
        remaining_s = connection.remaining_s(credentials.expire_at_s)
        if remaining_s is not None and remaining_s <= 0:
            raise HubError(EXPIRED)
        wanted = server_side_terms(services.node, credentials)
        if len(wanted) > options.max_channels:
            services.metrics.limit_reached("channels")
            raise DisconnectError(CHANNEL_LIMIT)
        connection.bearer_token = ""
        connection.user = credentials.user
        connection.info = credentials.info
        connection.token_mark = credentials.token_mark
        connection.granted = credentials.granted
        connection.sdk_name = request.name
        connection.sdk_version = request.version
        connection.connected_at_ms = int(services.wall_s() * 1000)
        named = inbox.named_device(bytes(request.data)) if options.inbox else None
        if named is None:
            _check_count(connection)
        ready, told = await _join_all(connection, wanted, named, request.subs)
    except DisconnectError:
        raise
    except Exception:
        connection.turned_away()
        raise
    if connection.session.state is State.CLOSED:
        # It left while this waited. Its farewell waits for this command, and takes it out of the channels.
        return
    # A device has replaced its former connection by now, if that is on this node.
    _check_count(connection)
    result = m.ConnectResult(client=connection.client, version=options.version)
    if remaining_s is not None:
        result.expires = True
        result.ttl = whole_ttl_s(remaining_s)
    if not connection.native_ping:
        result.ping = max(1, int(options.ping_interval_s))
        result.pong = True
    if told:
        result.data = Raw(told)
    late = inbox.taken_out(ready)
    result.subs = {each.membership.channel: each.result for each in ready}
    # Once more: who is not counted in yet is not found by what is revoked meanwhile.
    revoked.check(connection, credentials)
    connection.opened()
    connection.lifetime.expire_at(credentials.expire_at_s)
    connection.send(Reply(id=command_id, connect=result))
    await _go_live(connection, ready, late)


def _check_count(connection: Connection) -> None:
    """Raises ``DisconnectError`` 3504 when the user has all the connections that one may have."""
    services, most = connection.services, connection.services.options.max_connections_per_user
    if most and connection.user and services.node.registry.count_of(connection.user) >= most:
        services.metrics.limit_reached("connections_per_user")
        raise DisconnectError(CONNECTION_LIMIT)


async def _go_live(
    connection: Connection, ready: list[joining.Joining], late: list[m.PublicationMessage]
) -> None:
    """After the reply, which ``late`` publications of the inbox were too many for."""
    for publication in late:
        connection.send(push_publication(ready[-1].membership.channel, publication))
    for each in ready:
        joining.go_live(connection, each)
        watch_expiry(connection, each.membership)
    if connection.device_session is not None:
        connection.device_session.go_live(ready[-1])
    for each in ready:
        await joining.announce(connection, each.membership)


async def _join_all(
    connection: Connection,
    wanted: dict[str, Terms],
    named: tuple[str, DeviceState] | None,
    resumed: dict[str, m.SubscribeRequest],
) -> tuple[list[joining.Joining], bytes]:
    """All server-side channels, the inbox last, and the data of the reply."""
    ready: list[joining.Joining] = []
    told = b""
    try:
        for channel, terms in wanted.items():
            ready.append(await joining.join(connection, channel, terms, _resume(resumed.get(channel))))
        if connection.services.options.inbox and connection.user:
            joined, told = await inbox.join(connection, named, resumed)
            ready.append(joined)
        elif named is not None:
            told = inbox.no_inbox_data(named[0])
    except BaseException:
        connection.drop_device(None)
        for each in ready:
            await joining.leave(connection, each.membership)
        raise
    return ready, told


def _resume(request: m.SubscribeRequest | None) -> Wish:
    if request is None or not request.recover:
        return _NO_WISH
    return Wish(cursor=Position(request.offset, request.epoch))


async def _subscribe(connection: Connection, command_id: int, request: m.SubscribeRequest) -> None:
    terms = await _client_terms(connection, request)
    wish = Wish(
        cursor=Position(request.offset, request.epoch) if request.recover else None,
        recoverable=request.recoverable,
        positioned=request.positioned,
        join_leave=request.join_leave,
        delta=request.delta == "fossil",
        reject_unrecovered=bool(request.flag & m.FLAG_REJECT_UNRECOVERED),
    )
    ready = await joining.join(connection, request.channel, terms, wish)
    connection.send(Reply(id=command_id, subscribe=ready.result))
    joining.go_live(connection, ready)
    watch_expiry(connection, ready.membership)
    await joining.announce(connection, ready.membership)


async def _client_terms(connection: Connection, request: m.SubscribeRequest) -> Terms:
    rules = connection.services.node.rules
    name, options = rules.resolve(request.channel)
    may_see_presence = False
    if request.join_leave:
        with suppress(HubError):
            rules.check_presence(name, options, Asker(connection.user, subscribed=True))
            may_see_presence = True
    if not request.token:
        rules.check_subscribe(name, options, Asker(connection.user))
        return Terms(options=options, may_see_presence=may_see_presence)
    token = await verify_subscription(
        connection.services.subscription_verifier,
        user=connection.user,
        client=connection.client,
        channel=request.channel,
        token=request.token,
    )
    mark = revoked.check_subscription(connection, token)
    rules.check_token_subscribe(name)
    return Terms(
        options=options.overridden(token.override),
        info=token.info,
        data=token.data,
        expire_at_s=token.expire_at_s,
        may_see_presence=may_see_presence,
        token_mark=mark,
    )


async def _unsubscribe(connection: Connection, command_id: int, request: m.UnsubscribeRequest) -> None:
    membership = connection.membership(request.channel)
    if membership is not None:
        # Detached before the reply: nothing of the channel may follow it.
        joining.detach(connection, membership)
        await joining.leave(connection, membership)
    connection.send(Reply(id=command_id, unsubscribe=m.UnsubscribeResult()))


async def _sub_refresh(connection: Connection, request: m.SubRefreshRequest) -> m.SubRefreshResult:
    token = await verify_subscription(
        connection.services.subscription_verifier,
        user=connection.user,
        client=connection.client,
        channel=request.channel,
        token=request.token,
    )
    mark = revoked.check_subscription(connection, token)
    membership = connection.membership(token.channel)
    if membership is None:
        raise HubError(PERMISSION_DENIED)
    remaining_s = connection.remaining_s(token.expire_at_s)
    if remaining_s is not None and remaining_s <= 0:
        raise HubError(EXPIRED)
    membership.expire_at_s = token.expire_at_s
    membership.token_mark = mark
    watch_expiry(connection, membership)
    if remaining_s is None:
        return m.SubRefreshResult()
    return m.SubRefreshResult(expires=True, ttl=whole_ttl_s(remaining_s))


async def _refresh(connection: Connection, request: m.RefreshRequest) -> m.RefreshResult:
    credentials = await verify_refresh(connection.services.verifier, connection.user, request.token)
    revoked.check(connection, credentials)
    if set(credentials.granted) != set(connection.granted):
        # The channels of the token changed: only a new connect can tell the client which.
        raise DisconnectError(INSUFFICIENT_STATE)
    remaining_s = connection.remaining_s(credentials.expire_at_s)
    if remaining_s is not None and remaining_s <= 0:
        raise HubError(EXPIRED)
    connection.info = credentials.info
    connection.token_mark = credentials.token_mark
    connection.lifetime.expire_at(credentials.expire_at_s)
    result = m.RefreshResult(client=connection.client, version=connection.services.options.version)
    if remaining_s is not None:
        result.expires = True
        result.ttl = whole_ttl_s(remaining_s)
    return result


async def _publish(connection: Connection, request: m.PublishRequest) -> None:
    node = connection.services.node
    name, options = node.rules.resolve(request.channel)
    membership = connection.membership(request.channel)
    node.rules.check_publish(name, options, Asker(connection.user, membership is not None))
    data = bytes(request.data)
    if connection.encoding.codec.name != "json" and not is_json(request.data):
        # Every JSON subscriber would have to be thrown out for what one client sent.
        raise HubError(BAD_REQUEST, "data is JSON, also inside Protobuf")
    await node.publish(request.channel, data, info=joining.info_of(connection, membership))


async def _history(connection: Connection, request: m.HistoryRequest) -> m.HistoryResult:
    node = connection.services.node
    name, options = node.rules.resolve(request.channel)
    node.rules.check_history(name, options, _asker(connection, request.channel))
    most = connection.services.options.history_max_limit
    if request.limit < -1:
        raise HubError(BAD_REQUEST, "limit is -1, 0 or the number of publications wanted")
    limit = most if request.limit == -1 else min(request.limit, most)
    since = request.since
    page = await node.history(
        request.channel,
        HistoryFilter(
            limit=limit,
            since=None if since is None else Position(since.offset, since.epoch),
            reverse=request.reverse,
        ),
    )
    return m.HistoryResult(
        publications=[publication_message(p) for p in page.publications],
        epoch=page.top.epoch,
        offset=page.top.offset,
    )


async def _presence(connection: Connection, request: m.PresenceRequest) -> m.PresenceResult:
    node = connection.services.node
    name, options = node.rules.resolve(request.channel)
    node.rules.check_presence(name, options, _asker(connection, request.channel))
    members = await node.presence(request.channel)
    shown = {client: info_message(info) for client, info in members.items()}
    if connection.encoding.codec.name == "json":
        for info in shown.values():
            # One member's token may carry what another's codec cannot say.
            if not is_json(info.conn_info):
                info.conn_info = m.NO_DATA
            if not is_json(info.chan_info):
                info.chan_info = m.NO_DATA
    return m.PresenceResult(shown)


async def _stats(connection: Connection, request: m.PresenceStatsRequest) -> m.PresenceStatsResult:
    node = connection.services.node
    name, options = node.rules.resolve(request.channel)
    node.rules.check_presence(name, options, _asker(connection, request.channel))
    stats = await node.presence_stats(request.channel)
    return m.PresenceStatsResult(stats.num_clients, stats.num_users)


async def _rpc(connection: Connection, request: m.RPCRequest) -> m.RPCResult:
    methods = connection.services.rpc_methods
    if not methods:
        raise HubError(NOT_AVAILABLE)
    method = methods.get(request.method)
    if method is None:
        raise HubError(METHOD_NOT_FOUND)
    return m.RPCResult(data=Raw(await method(connection, bytes(request.data))))


def _asker(connection: Connection, channel: str) -> Asker:
    return Asker(connection.user, connection.membership(channel) is not None)
