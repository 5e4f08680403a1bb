"""Getting a connection into a channel without losing or doubling a publication, and out again.

The order is the guarantee: gather, then presence, then read history, then the reply, then
what was gathered meanwhile, then live. Knows no token and no command.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Raw

from hub.connection.membership import Membership, Terms, Wish, whole_ttl_s
from hub.errors import (
    ALREADY_SUBSCRIBED,
    EXPIRED,
    INSUFFICIENT_STATE,
    UNRECOVERABLE_POSITION,
    DisconnectError,
    EngineUnavailable,
    HubError,
)
from hub.fanout import delta_chain, publication_message
from hub.fanout.encoding import delta_message, push_publication
from hub.model import ClientInfo, HistoryPage, Position, Publication
from hub.protocol.messages import NO_DATA, SubscribeResult
from hub.session import (
    WANTED_FOR_CACHE,
    Gap,
    Recovered,
    catch_up,
    is_beyond,
    may_be_missing,
    recover,
    recover_cache,
    wanted_for_stream,
)

if TYPE_CHECKING:
    from hub.connection.connection import Connection

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Joining:
    """A subscription that is ready to be told to the client. ``end`` is None where offsets do not matter."""

    membership: Membership
    result: SubscribeResult
    end: Position | None
    last_given: Publication | None


async def join(connection: Connection, channel: str, terms: Terms, wish: Wish) -> Joining:
    """Bring ``connection`` into ``channel`` up to the point where its client can be told.

    The caller writes the reply and calls :func:`go_live` in the same step, or :func:`leave`.
    On any error nothing is left behind.

    Raises:
        HubError: 105 already in it, 110 the terms have expired, 112 when a resume that may
            not be incomplete is.
        EngineUnavailable: the engine did not answer.
    """
    session = connection.session
    if channel in session.subscriptions:
        raise HubError(ALREADY_SUBSCRIBED)
    membership = Membership(connection, channel, terms, wish)
    remaining_s = connection.remaining_s(terms.expire_at_s)
    if remaining_s is not None and remaining_s <= 0:
        raise HubError(EXPIRED)
    session.subscriptions[channel] = membership
    try:
        node = connection.services.node
        top = await node.listening.attach(channel, membership)
        if membership.keeps_presence:
            await node.engine.presence.add(channel, info_of(connection, membership))
        recovered = await _read(connection, membership, terms, wish, top)
        if recovered is not None and wish.reject_unrecovered and not recovered.complete:
            raise HubError(UNRECOVERABLE_POSITION)
    except BaseException:
        await leave(connection, membership)
        raise
    result = _result(connection, membership, terms, wish, recovered)
    publications = recovered.publications if recovered is not None else ()
    return Joining(
        membership,
        result,
        end=recovered.end if recovered is not None else None,
        last_given=publications[-1] if publications else None,
    )


async def _read(
    connection: Connection,
    membership: Membership,
    terms: Terms,
    wish: Wish,
    top: Position | None,
) -> Recovered | None:
    """Where the client stands after this subscribe; None where the channel gives it no positions.

    ``top`` is where the stream stood after gathering began, where that is known.
    """
    if not membership.positioned:
        return None
    listening = connection.services.node.listening
    options = terms.options
    limit = terms.max_recovered or connection.services.options.recovery_max_publications
    cursor = wish.cursor if membership.recoverable else None
    if membership.recoverable and options.recovery_mode == "cache":
        page = await listening.history(membership.channel, WANTED_FOR_CACHE, options.history)
        recovered = recover_cache(cursor, page)
    elif top is not None and not may_be_missing(cursor, top, limit):
        recovered = recover(cursor, HistoryPage((), top), limit)
    else:
        wanted = wanted_for_stream(cursor, limit)
        page = await listening.history(membership.channel, wanted, options.history)
        recovered = recover(cursor, page, limit, terms.max_recovered_bytes)
    if cursor is not None:
        metrics = connection.services.metrics
        metrics.recovery_finished(recovered.complete)
        if not recovered.complete and is_beyond(cursor, recovered.position, limit):
            metrics.limit_reached("recovery_publications")
    return recovered


def _result(
    connection: Connection, membership: Membership, terms: Terms, wish: Wish, recovered: Recovered | None
) -> SubscribeResult:
    result = SubscribeResult(
        data=Raw(terms.data) if terms.data else NO_DATA,
        delta=membership.delta,
        was_recovering=wish.cursor is not None,
        recoverable=membership.recoverable,
        positioned=membership.positioned,
    )
    remaining_s = connection.remaining_s(terms.expire_at_s)
    if remaining_s is not None:
        result.expires = True
        result.ttl = whole_ttl_s(remaining_s)
    if recovered is not None:
        result.epoch = recovered.position.epoch
        result.offset = recovered.position.offset
        result.recovered = recovered.complete
        if membership.delta:
            result.publications = delta_chain(
                membership.channel,
                recovered.position.epoch,
                recovered.publications,
                connection.encoding.codec,
                connection.services.node.listening.patches,
            )
        else:
            result.publications = [publication_message(p) for p in recovered.publications]
        if recovered.complete and wish.cursor is None:
            # Cache recovery gives the newest value unasked, which is a recovery all the same.
            result.was_recovering = True
    return result


def go_live(connection: Connection, joining: Joining) -> None:
    """After the reply: write what arrived meanwhile, then everything as it comes. Never waits.

    Raises:
        DisconnectError: 3010, when something was lost on the way.
    """
    membership = joining.membership
    gathered = membership.gathered or []
    last = joining.last_given
    if joining.end is not None:
        if membership.broken:
            raise DisconnectError(INSUFFICIENT_STATE)
        try:
            gathered = catch_up(joining.end, gathered)
        except Gap:
            raise DisconnectError(INSUFFICIENT_STATE) from None
    for publication in gathered:
        message = (
            delta_message(publication, None, connection.encoding.codec)
            if membership.delta
            else publication_message(publication)
        )
        connection.send(push_publication(membership.channel, message))
        last = publication
    feed = connection.services.node.listening.feed(membership.channel)
    if feed is not None:
        feed.go_live(membership, base=last, reached=_reached(joining.end, gathered))
    membership.live = True


def _reached(end: Position | None, given: Sequence[Publication]) -> Position | None:
    if end is None:
        return None
    stored = [publication.offset for publication in given if publication.offset]
    return Position(stored[-1], end.epoch) if stored else end


async def announce(connection: Connection, membership: Membership) -> None:
    """Tell the others, and the client itself where it wants to know, that it joined."""
    if not membership.emits_join_leave:
        return
    try:
        broker = connection.services.node.engine.broker
        await broker.publish_join(membership.channel, info_of(connection, membership))
    except EngineUnavailable:
        # The reply is out: the client is in, whether the others learn of it or not.
        log.warning("! joined unannounced: the engine was away")


def detach(connection: Connection, membership: Membership) -> None:
    """Deliver nothing more to this membership. Never waits; :func:`leave` does the rest."""
    connection.services.node.listening.detach(membership.channel, membership)
    if membership.expiry_timer is not None:
        membership.expiry_timer.cancel()
        membership.expiry_timer = None
    if connection.session.subscriptions.get(membership.channel) is membership:
        del connection.session.subscriptions[membership.channel]


async def leave(connection: Connection, membership: Membership) -> None:
    """End a membership at any stage; presence and the others learn of it."""
    detach(connection, membership)
    engine = connection.services.node.engine
    try:
        if membership.keeps_presence:
            await engine.presence.remove(membership.channel, connection.client)
        if membership.live and membership.emits_join_leave:
            await engine.broker.publish_leave(membership.channel, info_of(connection, membership))
    except EngineUnavailable:
        # Leaving always succeeds for the leaver; the engine makes good what it could not do now, and says
        # itself that it is away: a line for each of thousands would hide that one.
        log.debug("! left while the engine was away")


def info_of(connection: Connection, membership: Membership | None) -> ClientInfo:
    """Who this client is, as a member or, without one, as a mere publisher."""
    return ClientInfo(
        user=connection.user,
        client=connection.client,
        conn_info=connection.info,
        chan_info=membership.info if membership is not None else None,
    )
