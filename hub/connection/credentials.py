"""Who a client is and what its token brings: from a connect or refresh token to plain facts.

Maps the verifier's verdicts to the codes that make SDKs do the right thing. Knows no
channel's state and sends nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from msgspec import Struct

from hub.auth import ConnectionToken, InvalidToken, SubscriptionGrant, SubscriptionToken, TokenVerifier
from hub.connection.membership import NO_TOKEN, Terms, TokenMark
from hub.connection.services import ConnectionOptions
from hub.errors import (
    BAD_FRAME,
    CONNECTION_EXPIRED,
    DISCONNECT_PERMISSION_DENIED,
    INVALID_TOKEN,
    PERMISSION_DENIED,
    RESERVED_CHANNEL,
    TOKEN_EXPIRED,
    DisconnectError,
    HubError,
)
from hub.node import Node

log = logging.getLogger(__name__)


class Credentials(Struct, frozen=True, gc=False):
    """A client that may connect. ``granted`` are the channels its token names, ``grants`` their options."""

    user: str
    expire_at_s: int | None = None
    info: bytes | None = None
    granted: tuple[str, ...] = ()
    grants: Mapping[str, SubscriptionGrant] | None = None
    token_mark: TokenMark = NO_TOKEN


ANONYMOUS = Credentials(user="")
_NO_GRANT = SubscriptionGrant()


async def verify_connect(verifier: TokenVerifier, options: ConnectionOptions, token: str) -> Credentials:
    """Credentials for a connect command; an empty ``token`` is a client without one.

    Raises:
        DisconnectError: 3500 for a bad token, 3501 for none where one is needed, 3507 for one
            that names no user where anonymous users are not allowed.
        HubError: 109 for an expired token; 100 while no keys could be had.
    """
    if not token:
        if options.insecure or options.anonymous:
            return ANONYMOUS
        raise DisconnectError(BAD_FRAME)
    verified = verifier.cached_connection(token)
    if verified is None:
        try:
            verified = await verifier.verify_connection(token)
        except InvalidToken as exc:
            log.info("a connection token was refused: %s", exc.reason)
            raise DisconnectError(INVALID_TOKEN) from None
    if not verified.user and not (options.insecure or options.anonymous):
        raise DisconnectError(DISCONNECT_PERMISSION_DENIED)
    return _credentials(verified)


def _credentials(token: ConnectionToken) -> Credentials:
    granted = tuple(dict.fromkeys((*token.channels, *token.subs)))
    mark = TokenMark(token.token_id, token.issued_at_s)
    return Credentials(token.user, token.expire_at_s, token.info, granted, token.subs or None, mark)


async def verify_refresh(verifier: TokenVerifier, user: str, token: str) -> Credentials:
    """Credentials for a refresh command of ``user``.

    Raises:
        DisconnectError: 3500 for a bad token or another user's, 3005 for an expired one.
        HubError: 100 while no keys could be had.
    """
    try:
        verified = await verifier.verify_connection(token)
    except InvalidToken as exc:
        log.info("a refresh token was refused: %s", exc.reason)
        raise DisconnectError(INVALID_TOKEN) from None
    except HubError as exc:
        if exc.error is TOKEN_EXPIRED:
            raise DisconnectError(CONNECTION_EXPIRED) from None
        raise
    if verified.user != user:
        raise DisconnectError(INVALID_TOKEN)
    return _credentials(verified)


async def verify_subscription(
    verifier: TokenVerifier, *, user: str, client: str, channel: str, token: str
) -> SubscriptionToken:
    """A subscription token for this very user and, where not empty, this very channel.

    Raises:
        HubError: 103 for a bad token, 109 for an expired one, 100 while no keys could be had.
        DisconnectError: 3500 for a good token that is somebody else's or another channel's.
    """
    try:
        verified = await verifier.verify_subscription(token)
    except InvalidToken as exc:
        log.info("a subscription token was refused: %s", exc.reason)
        raise HubError(PERMISSION_DENIED) from None
    if verified.user != user or (channel and verified.channel != channel):
        raise DisconnectError(INVALID_TOKEN)
    if verified.client and verified.client != client:
        raise DisconnectError(INVALID_TOKEN)
    return verified


def server_side_terms(node: Node, credentials: Credentials) -> dict[str, Terms]:
    """The channels that the hub attaches this client to, and on which terms.

    Raises:
        HubError: 102 or 107 for a channel that cannot exist, 103 for one of the hub's own.
    """
    wanted: dict[str, Terms] = {}
    personal = node.rules.personal_channel(credentials.user)
    channels = credentials.granted if personal is None else (personal, *credentials.granted)
    for channel in channels:
        grant = credentials.grants.get(channel) if credentials.grants is not None else None
        wanted[channel] = server_terms(node, channel, grant or _NO_GRANT)
    return wanted


def server_terms(node: Node, channel: str, grant: SubscriptionGrant, expire_at_s: int | None = None) -> Terms:
    """Terms for a channel that the server side attaches a client to.

    Raises:
        HubError: 102 or 107 for a channel that cannot exist, 103 for one of the hub's own.
    """
    name, options = node.rules.resolve(channel)
    if name.reserved:
        raise HubError(PERMISSION_DENIED, RESERVED_CHANNEL.message)
    return Terms(
        options=options.overridden(grant.override),
        server_side=True,
        info=grant.info,
        data=grant.data,
        expire_at_s=expire_at_s,
    )
