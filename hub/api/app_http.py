"""What apps call over HTTP: devices, inbox, and the receipts of pushes, under ``/client/v1``.

The user's own token says who calls, as it does over the socket; a receipt says so by itself.
Errors carry a true status. Knows no connection and no engine.
"""

from __future__ import annotations

import logging
from asyncio import timeout
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from msgspec import Struct, ValidationError, convert
from msgspec.json import Decoder, Encoder
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from hub.api import inboxes
from hub.api import notification_requests as q
from hub.api import notification_results as r
from hub.api.app_limits import AppLimits
from hub.api.app_rpc import decode_fields
from hub.api.complaint import complaint_of
from hub.api.request_name import request_name
from hub.api.results import Empty
from hub.auth import ConnectionToken, InvalidToken
from hub.errors import (
    BAD_REQUEST,
    INTERNAL,
    PERMISSION_DENIED,
    UNAUTHORIZED,
    USER_BLOCKED,
    USER_BLOCKED_ERROR,
    Disconnect,
    EngineUnavailable,
    HubError,
)
from hub.log_context import say_request
from hub.node.notifications import Notifications

log = logging.getLogger(__name__)

BODY_TIMEOUT_S = 15.0
_F = TypeVar("_F", bound=Struct)
_encode = Encoder().encode
_RETRY_AFTER = {"retry-after": "1"}


class Verifier(Protocol):
    """Who holds a token."""

    async def verify_connection(self, token: str) -> ConnectionToken:
        """As ``hub.auth.TokenVerifier``."""
        ...


class OriginRule(Protocol):
    """Which pages may call."""

    def allows(self, origin: str | None, host: str | None) -> bool:
        """Whether a page of ``origin`` may read the answers."""
        ...


class Revoked(Protocol):
    """Who is kept out although their token is good."""

    @property
    def is_stale(self) -> bool:
        """Whether that has not been known for long."""
        ...

    def refusal(self, user: str, token_id: str, issued_at_s: int | None) -> Disconnect | None:
        """As ``hub.engine.revoked.RevokedCopy``."""
        ...


Handle = Callable[[Request], Awaitable[Struct]]


def create_client_api(
    notifications: Notifications,
    verifier: Verifier,
    origins: OriginRule,
    limits: AppLimits | None = None,
    *,
    revoked: Revoked,
) -> list[Mount]:
    """The routes, to be mounted at the root of the public application."""
    handlers = _Handlers(notifications, verifier, limits or AppLimits(), revoked)
    routes = [
        _route("/devices", "GET", handlers.list_devices),
        _route("/devices/{id}", "PUT", handlers.register),
        _route("/devices/{id}", "DELETE", handlers.remove),
        _route("/devices/{id}/state", "PUT", handlers.set_state),
        _route("/inbox", "GET", handlers.history),
        _route("/inbox/read", "POST", handlers.read),
        _route("/inbox/ack", "POST", handlers.ack),
        _route("/inbox/opened", "POST", handlers.opened),
        _route("/receipts", "POST", handlers.receipt),
    ]
    cors = Middleware(
        _Cors,
        origins=origins,
        allow_methods=["GET", "PUT", "POST", "DELETE"],
        allow_headers=["authorization", "content-type"],
        max_age=600,
    )
    return [Mount("/client/v1", routes=routes, middleware=[cors])]


class _Cors(CORSMiddleware):
    """Starlette's, with the origins that may open a WebSocket."""

    def __init__(self, app: Any, /, origins: OriginRule, **options: Any) -> None:
        super().__init__(app, **options)
        self._origins = origins

    def is_allowed_origin(self, origin: str) -> bool:
        return self._origins.allows(origin, None)


def _route(path: str, method: str, handle: Handle) -> Route:
    async def endpoint(request: Request) -> Response:
        say_request(request_name(request.headers.get("x-request-id", "").encode("latin-1")))
        try:
            return _answer(200, await handle(request))
        except HubError as error:
            return _refusal(error)
        except (HTTPException, ClientDisconnect):
            raise
        except Exception:
            log.exception("! a call of an app failed")
            return _refusal(HubError(INTERNAL))

    return Route(path, endpoint, methods=[method])


class _Handlers:
    def __init__(
        self, notifications: Notifications, verifier: Verifier, limits: AppLimits, revoked: Revoked
    ) -> None:
        self._notifications = notifications
        self._verifier = verifier
        self._limits = limits
        self._revoked = revoked

    async def register(self, request: Request) -> Struct:
        user = await self._user(request)
        fields = await self._fields(request, _REGISTER)
        fields.id = request.path_params["id"]
        return await inboxes.register_device(self._notifications, user, "", fields)

    async def remove(self, request: Request) -> Struct:
        await self._notifications.remove_device(await self._user(request), request.path_params["id"])
        return Empty()

    async def list_devices(self, request: Request) -> Struct:
        return await inboxes.list_devices(self._notifications, await self._user(request))

    async def set_state(self, request: Request) -> Struct:
        user = await self._user(request)
        fields = await self._fields(request, _STATE)
        await self._notifications.set_device_state(user, request.path_params["id"], fields.state)
        return Empty()

    async def history(self, request: Request) -> Struct:
        user = await self._user(request)
        try:
            fields = convert(dict(request.query_params), q.InboxHistoryFields, strict=False)
        except ValidationError as error:
            raise HubError(BAD_REQUEST, complaint_of(q.InboxHistoryFields, error)) from None
        return r.inbox_of(await inboxes.page_inbox(self._notifications, user, fields))

    async def read(self, request: Request) -> Struct:
        user = await self._user(request)
        return await inboxes.read_inbox(self._notifications, user, await self._fields(request, _POSITION))

    async def ack(self, request: Request) -> Struct:
        user = await self._user(request)
        return await inboxes.ack_inbox(self._notifications, user, "", await self._fields(request, _ACK))

    async def opened(self, request: Request) -> Struct:
        user = await self._user(request)
        fields = await self._fields(request, _OPENED)
        await self._notifications.opened(user, fields.device or "", fields.id)
        return Empty()

    async def receipt(self, request: Request) -> Struct:
        if request.client is not None:
            self._limits.check_receipt(request.client.host)
        fields = await self._fields(request, _RECEIPT)
        await self._notifications.receipt(fields.receipt, fields.event)
        return Empty()

    async def _user(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise HubError(UNAUTHORIZED, "send the user's token: Authorization: Bearer …")
        try:
            verified = await self._verifier.verify_connection(token.strip())
        except InvalidToken as error:
            log.info("a token of an app was refused: %s", error.reason)
            raise HubError(UNAUTHORIZED, "the token is not valid") from None
        if not verified.user:
            raise HubError(PERMISSION_DENIED, "the anonymous user has no inbox and no devices")
        self._check_revoked(verified)
        self._limits.check_call(verified.user)
        return verified.user

    def _check_revoked(self, token: ConnectionToken) -> None:
        if self._revoked.is_stale:
            raise EngineUnavailable("revocations could not be read lately")
        match self._revoked.refusal(token.user, token.token_id, token.issued_at_s):
            case None:
                return
            case why if why is USER_BLOCKED:
                raise HubError(USER_BLOCKED_ERROR)
            case _:
                raise HubError(UNAUTHORIZED, "the token was revoked")

    async def _fields(self, request: Request, decoder: Decoder[_F]) -> _F:
        body = bytearray()
        try:
            async with timeout(BODY_TIMEOUT_S):
                async for chunk in request.stream():
                    body += chunk
                    self._limits.check_body(len(body))
        except TimeoutError:
            raise HubError(BAD_REQUEST, "the body did not arrive in time") from None
        return decode_fields(decoder, bytes(body))


_REGISTER = Decoder(q.DeviceFields)
_STATE = Decoder(q.StateFields)
_POSITION = Decoder(q.PositionFields)
_ACK = Decoder(q.AckFields)
_OPENED = Decoder(q.OpenedFields)
_RECEIPT = Decoder(q.ReceiptFields)


def _answer(status: int, answer: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(_encode(answer), status, headers, media_type="application/json")


def _refusal(refused: HubError) -> Response:
    error = refused.error
    message = (
        f"{error.message}: {refused.detail}" if refused.detail and error is not INTERNAL else error.message
    )
    status = 503 if isinstance(refused, EngineUnavailable) else error.http_status
    body = {"error": {"code": error.code, "message": message, "temporary": error.temporary}}
    return _answer(status, body, _RETRY_AFTER if status in (429, 503) else None)
