"""What the server side does to a connection: attach it, detach it, move its expiry.

Each runs in the connection's own order, between its client's commands. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from msgspec import Raw

from hub.auth import SubscriptionGrant
from hub.channels import Override
from hub.connection import joining
from hub.connection.credentials import server_terms
from hub.connection.membership import Membership, Wish
from hub.errors import (
    CHANNEL_LIMIT,
    CONNECTION_EXPIRED,
    INSUFFICIENT_STATE_UNSUBSCRIBE,
    SUBSCRIPTION_EXPIRED,
    SUBSCRIPTION_EXPIRED_UNSUBSCRIBE,
    DisconnectError,
    HubError,
    UnsubscribeCode,
)
from hub.fanout import ServerSubscription
from hub.protocol.messages import NO_DATA, Push, Reply, Subscribe, Unsubscribe

if TYPE_CHECKING:
    from hub.connection.connection import Connection


class ServerWork:
    """Something to do to a connection in its turn, and whoever waits for it."""

    __slots__ = ("_finished", "_work")

    def __init__(self, work: Callable[[], Awaitable[None]], finished: asyncio.Future[None] | None) -> None:
        self._work = work
        self._finished = finished

    async def run(self) -> None:
        """Do it. A refusal goes to whoever waits, everything else to the connection."""
        try:
            await self._work()
        except HubError as exc:
            if self._finished is None:
                raise
            if not self._finished.done():
                self._finished.set_exception(exc)
        finally:
            self.drop()

    def drop(self) -> None:
        """The connection ended first, which is no error: nobody is left to be attached or detached."""
        if self._finished is not None and not self._finished.done():
            self._finished.set_result(None)


async def _in_its_turn(connection: Connection, work: Callable[[], Awaitable[None]]) -> None:
    """Run ``work`` in the connection's order and wait for it. Cancelling the wait leaves the work be."""
    finished: asyncio.Future[None] = connection.services.loop.create_future()
    if connection.in_order(ServerWork(work, finished)):
        await finished


async def subscribe(connection: Connection, wanted: ServerSubscription) -> None:
    """Attach ``connection`` to a channel and tell its client; nothing happens where it is in it already.

    Raises:
        HubError: when the channel cannot be subscribed to.
    """
    override = None if wanted.options is None else Override(**wanted.options)
    grant = SubscriptionGrant(wanted.info, wanted.data, override)
    terms = server_terms(connection.services.node, wanted.channel, grant, wanted.expire_at_s)

    async def work() -> None:
        if wanted.channel in connection.session.subscriptions:
            return
        if connection.subscription_count >= connection.session.max_channels:
            connection.services.metrics.limit_reached("channels")
            raise DisconnectError(CHANNEL_LIMIT)
        wish = Wish(cursor=wanted.recover_since)
        ready = await joining.join(connection, wanted.channel, terms, wish)
        result = ready.result
        push = Subscribe(
            recoverable=result.recoverable,
            epoch=result.epoch,
            # The push has no list of recovered publications: they follow it one by one.
            offset=result.offset,
            positioned=result.positioned,
            data=Raw(terms.data) if terms.data else NO_DATA,
        )
        connection.send(Reply(push=Push(channel=wanted.channel, subscribe=push)))
        for publication in result.publications:
            connection.send(Reply(push=Push(channel=wanted.channel, pub=publication)))
        joining.go_live(connection, ready)
        watch_expiry(connection, ready.membership)
        await joining.announce(connection, ready.membership)

    await _in_its_turn(connection, work)


async def unsubscribe(connection: Connection, channel: str, why: UnsubscribeCode) -> None:
    """Detach ``connection`` from a channel and tell its client; nothing happens where it is not in it."""

    async def work() -> None:
        membership = connection.membership(channel)
        if membership is not None:
            await end(connection, membership, why)

    await _in_its_turn(connection, work)


async def end(connection: Connection, membership: Membership, why: UnsubscribeCode) -> None:
    """End a membership and tell the client why."""
    joining.detach(connection, membership)
    _tell_unsubscribed(connection, membership.channel, why)
    await joining.leave(connection, membership)


def end_for_gap(connection: Connection, membership: Membership) -> None:
    """End a membership at once because publications were lost; its client comes back and recovers."""
    joining.detach(connection, membership)
    _tell_unsubscribed(connection, membership.channel, INSUFFICIENT_STATE_UNSUBSCRIBE)
    _enqueue(connection, lambda: joining.leave(connection, membership))


def _tell_unsubscribed(connection: Connection, channel: str, why: UnsubscribeCode) -> None:
    push = Push(channel=channel, unsubscribe=Unsubscribe(code=why.code, reason=why.reason))
    connection.send(Reply(push=push))


def refresh(connection: Connection, expired: bool, expire_at_s: int | None, info: bytes | None) -> None:
    """Move the expiry of ``connection``, or end it as expired; without a time it no longer expires.

    The client is not told: SDKs on a bidirectional transport keep to the ttl of their token.
    """
    if expired:
        connection.disconnect(CONNECTION_EXPIRED)
        return
    if info is not None:
        connection.info = info
    connection.lifetime.expire_at(expire_at_s)


def _enqueue(connection: Connection, work: Callable[[], Awaitable[None]]) -> None:
    connection.in_order(ServerWork(work, None))


def watch_expiry(connection: Connection, membership: Membership) -> None:
    """End the membership some time after it should have been refreshed."""
    if membership.expiry_timer is not None:
        membership.expiry_timer.cancel()
        membership.expiry_timer = None
    remaining_s = connection.remaining_s(membership.expire_at_s)
    if remaining_s is None:
        return

    async def work() -> None:
        late_s = connection.remaining_s(membership.expire_at_s)
        if connection.membership(membership.channel) is not membership or late_s is None or late_s > 0:
            return  # left or refreshed while this waited for its turn
        if membership.server_side:
            raise DisconnectError(SUBSCRIPTION_EXPIRED)
        await end(connection, membership, SUBSCRIPTION_EXPIRED_UNSUBSCRIBE)

    grace_s = connection.services.options.subscription_expire_grace_s
    membership.expiry_timer = connection.services.wheel.after(
        remaining_s + grace_s, lambda: _enqueue(connection, work)
    )
