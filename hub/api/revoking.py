"""Methods that keep somebody out before a token ends: user_block, user_unblock, token_revoke."""

from __future__ import annotations

import time

from hub.api import requests
from hub.api.call import Call
from hub.api.results import Empty
from hub.errors import BAD_REQUEST, HubError

KEPT_MS = 400 * 86_400_000
"""How long tokens stay revoked where the call does not say how long they live."""


async def handle_user_block(call: Call, request: requests.UserBlockRequest) -> Empty:
    """Keep a user out, and end their connections."""
    if request.until is not None:
        _check_to_come(request.until)
    await call.node.revoking.block(request.user, request.until)
    return Empty()


async def handle_user_unblock(call: Call, request: requests.UserUnblockRequest) -> Empty:
    """Let a blocked user in again."""
    await call.node.revoking.unblock(request.user)
    return Empty()


async def handle_token_revoke(call: Call, request: requests.TokenRevokeRequest) -> Empty:
    """Have tokens not count any more, and end the connections that were made with them."""
    until_ms = _now_ms() + KEPT_MS if request.until is None else request.until
    _check_to_come(until_ms)
    if request.jti is not None:
        if request.user is not None or request.issued_before is not None:
            raise HubError(BAD_REQUEST, "either `jti`, or `user` and `issued_before`")
        await call.node.revoking.revoke_token(request.jti, until_ms)
    elif request.user is not None and request.issued_before is not None:
        await call.node.revoking.revoke_issued_before(request.user, request.issued_before, until_ms)
    else:
        raise HubError(BAD_REQUEST, "either `jti`, or `user` and `issued_before`")
    return Empty()


def _check_to_come(until_ms: int) -> None:
    if until_ms <= _now_ms():
        raise HubError(BAD_REQUEST, "`until` is in the past")


def _now_ms() -> int:
    return int(time.time() * 1000)
