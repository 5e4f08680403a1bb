"""Who may not come in, or stay in, although their token is good: blocked users and revoked tokens.

Asks the node's copy, which answers at once. Knows the codes, and not where the rules come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.auth import SubscriptionToken
from hub.connection import server_side
from hub.connection.credentials import Credentials
from hub.connection.membership import Membership, TokenMark
from hub.errors import (
    PERMISSION_DENIED,
    UNSUBSCRIBED_BY_SERVER,
    USER_BLOCKED,
    DisconnectError,
    EngineUnavailable,
    HubError,
)

if TYPE_CHECKING:
    from hub.connection.connection import Connection


def check_newcomer(connection: Connection, credentials: Credentials) -> None:
    """Whether a client may come in with these credentials.

    Raises:
        DisconnectError: 4501 for a blocked user, 3500 for a revoked token.
        EngineUnavailable: the node has not known for long who is kept out.
    """
    if connection.services.node.revoked.is_stale:
        raise EngineUnavailable("revocations could not be read lately")
    check(connection, credentials)


def check(connection: Connection, credentials: Credentials) -> None:
    """Whether a client may be, or stay, connected with these credentials.

    Raises:
        DisconnectError: 4501 for a blocked user, 3500 for a revoked token.
    """
    why = connection.services.node.revoked.refusal(credentials.user, *credentials.token_mark)
    if why is not None:
        raise DisconnectError(why)


def check_subscription(connection: Connection, token: SubscriptionToken) -> TokenMark:
    """By what a subscription token of the connection's user can be revoked, which it is not.

    Raises:
        HubError: 103 for a revoked one.
        DisconnectError: 4501 for a blocked user, who was not found yet.
    """
    revoked = connection.services.node.revoked
    if revoked.is_blocked(connection.user):
        raise DisconnectError(USER_BLOCKED)
    mark = TokenMark(token.token_id, token.issued_at_s)
    if revoked.is_revoked(connection.user, *mark):
        raise HubError(PERMISSION_DENIED, "the subscription token was revoked")
    return mark


def look_again(connection: Connection) -> None:
    """Something was revoked: end the connection if that is what it rests on, or subscriptions that do."""
    revoked = connection.services.node.revoked
    why = revoked.refusal(connection.user, *connection.token_mark)
    if why is not None:
        connection.disconnect(why)
        return
    for membership in list(connection.session.subscriptions.values()):
        if not isinstance(membership, Membership) or membership.token_mark is None:
            continue
        if revoked.is_revoked(connection.user, *membership.token_mark):
            _end_in_turn(connection, membership)


def _end_in_turn(connection: Connection, membership: Membership) -> None:
    async def work() -> None:
        if connection.membership(membership.channel) is membership:
            await server_side.end(connection, membership, UNSUBSCRIBED_BY_SERVER)

    connection.in_order(server_side.ServerWork(work, None))
