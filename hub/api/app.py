"""The server API over HTTP: ``POST /api/<method>``. Keys, statuses and bodies; the methods are elsewhere.

A plain ASGI endpoint: a request object and middleware for each publication would cost more
than the publication. Knows no method by name.
"""

from __future__ import annotations

import logging
from asyncio import timeout
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from msgspec.json import Encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from hub.api.call import Call, Limits, Malformed, Method
from hub.api.keys import ANYBODY, ApiKey, KeyRing
from hub.api.openapi import openapi_document
from hub.api.ports import HubNode
from hub.api.registry import METHODS
from hub.api.request_name import request_name
from hub.api.results import Error, Failure, Success, error_of
from hub.errors import (
    BAD_REQUEST,
    DATA_TOO_LARGE,
    INTERNAL,
    METHOD_NOT_FOUND,
    PERMISSION_DENIED,
    UNAUTHORIZED,
    EngineUnavailable,
    HubError,
)
from hub.log_context import say_request
from hub.metrics import Metrics, NopMetrics
from hub.node.notifications import Notifications

logger = logging.getLogger(__name__)

Headers = tuple[tuple[bytes, bytes], ...]

_JSON = (b"content-type", b"application/json")
_RETRY_AFTER = ((b"retry-after", b"1"),)
_ALLOW = ((b"allow", b"POST"),)
_CHALLENGE = ((b"www-authenticate", b"ApiKey"),)
_encode = Encoder().encode


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """How the server API is opened.

    ``insecure`` lets callers without a key do everything; one that sends a key is still held
    to it. ``key_in_query`` accepts ``?api_key=`` too, which ends up in the logs of everything
    on the way. ``body_timeout_s`` is how long a request body may take to arrive.
    """

    keys: tuple[ApiKey, ...] = ()
    insecure: bool = False
    key_in_query: bool = False
    max_body_bytes: int = 16 * 1024 * 1024
    body_timeout_s: float = 30.0
    limits: Limits = field(default_factory=Limits)


def create_api(
    node: HubNode,
    options: ApiOptions,
    notifications: Notifications | None = None,
    keys: KeyRing | None = None,
    metrics: Metrics | None = None,
) -> list[Route]:
    """The routes of the server API, to be mounted at the root of a public or an internal application.

    ``keys``, where given, stand for those of the options: their owner may replace them.

    The OpenAPI document needs no key: it says nothing about this hub in particular.

    Raises:
        ValueError: when two keys are the same.
    """
    document = _encode(openapi_document(METHODS, max_body_bytes=options.max_body_bytes))

    async def handle_openapi(request: Request) -> Response:
        return Response(document, media_type="application/json")

    return [
        Route("/api/openapi.json", handle_openapi),
        Route(
            "/api/{method:path}",
            ApiEndpoint(node, options, METHODS, notifications, keys, metrics),
            name="api",
        ),
    ]


class _Refused(Exception):
    """A refusal by HTTP itself, whatever error mode was asked for."""

    def __init__(self, status: int, error: HubError, headers: Headers = ()) -> None:
        super().__init__(status)
        self.status = status
        self.error = error
        self.headers = headers


class _CallerLeft(Exception):
    """The connection closed before the body was whole; nobody waits for an answer."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the headers say that matters here. Keys stay bytes, as they came."""

    api_key: bytes
    authorization: bytes
    content_length: int
    origin: bytes
    host: bytes
    transport_errors: bool
    request_id: bytes


class ApiEndpoint:
    """Answers every method of the server API, as an ASGI application.

    Statuses (client protocol, section 17.1): 200 for results and for refusals by a method,
    401, 404, 405, 400 and 413 for requests that never reach one, 503 and 429 with
    Retry-After where the same request may succeed later. With ``X-Centrifugo-Error-Mode:
    transport`` a refusal has its own status and a bare error object as body.
    """

    def __init__(
        self,
        node: HubNode,
        options: ApiOptions,
        methods: Mapping[str, Method[Any]],
        notifications: Notifications | None = None,
        keys: KeyRing | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._node = node
        self._notifications = notifications
        self._options = options
        self._methods = methods
        self._metrics = metrics or NopMetrics()
        self._keys = keys if keys is not None else KeyRing(options.keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = _asked(scope)
        say_request(request_name(asked.request_id))
        headers: Headers = ()
        try:
            status, answer = 200, _encode(await self._answer(scope, receive, asked))
        except _CallerLeft:
            return
        except _Refused as refused:
            status, headers = refused.status, refused.headers
            answer = _refusal(error_of(refused.error), asked.transport_errors)
        except HubError as error:
            status, headers = _status(error, asked.transport_errors)
            answer = _refusal(error_of(error), asked.transport_errors)
        except Exception:
            logger.exception("the server API failed")
            status, answer = 500, _refusal(error_of(HubError(INTERNAL)), asked.transport_errors)
        name = scope["path_params"]["method"]
        logger.debug("api %s: %d", name if name in self._methods else "?", status)
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": status, "headers": [_JSON, length, *headers]})
        await send({"type": "http.response.body", "body": answer})

    async def _answer(self, scope: Scope, receive: Receive, asked: _Asked) -> Any:
        if scope["method"] != "POST":
            raise _Refused(405, HubError(METHOD_NOT_FOUND, "methods are called by POST"), _ALLOW)
        caller = self._caller(scope, asked)
        name = scope["path_params"]["method"]
        method = self._methods.get(name)
        if method is None:
            raise _Refused(404, HubError(METHOD_NOT_FOUND))
        try:
            body = await self._body(receive, asked.content_length)
            if not body.isascii():
                body.decode()
            call = Call(self._node, self._notifications, caller, self._options.limits, self._methods)
            result = await call.run(name, body or b"{}")
        except UnicodeDecodeError:
            raise _Refused(400, HubError(BAD_REQUEST, "the body is not UTF-8")) from None
        except Malformed as error:
            raise _Refused(400, HubError(BAD_REQUEST, str(error))) from None
        return Success(result) if method.enveloped else result

    def _caller(self, scope: Scope, asked: _Asked) -> ApiKey:
        presented = asked.api_key or _apikey_scheme(asked.authorization)
        if not presented and self._options.key_in_query:
            presented = parse_qs(scope["query_string"]).get(b"api_key", [b""])[0]
        if presented:
            caller = self._keys.find(presented)
            if caller is not None:
                return caller
        elif self._options.insecure:
            if _is_foreign_page(asked):
                raise _Refused(403, HubError(PERMISSION_DENIED, "a web page of another origin has no key"))
            return ANYBODY
        raise _Refused(401, HubError(UNAUTHORIZED), _CHALLENGE)

    async def _body(self, receive: Receive, content_length: int) -> bytes:
        max_bytes = self._options.max_body_bytes
        if content_length > max_bytes:
            raise self._too_large(max_bytes)
        try:
            async with timeout(self._options.body_timeout_s):
                return await self._whole_body(receive, max_bytes)
        except TimeoutError:
            raise _Refused(408, HubError(BAD_REQUEST, "the body did not arrive in time")) from None

    async def _whole_body(self, receive: Receive, max_bytes: int) -> bytes:
        chunks: list[bytes] = []
        size_bytes = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _CallerLeft
            chunk: bytes = message.get("body", b"")
            size_bytes += len(chunk)
            if size_bytes > max_bytes:
                raise self._too_large(max_bytes)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large(self, max_bytes: int) -> _Refused:
        self._metrics.limit_reached("api_body_bytes")
        return _Refused(413, HubError(DATA_TOO_LARGE, f"a request body has at most {max_bytes} bytes"))


def _asked(scope: Scope) -> _Asked:
    """Pick the headers; of one that came twice the last counts."""
    found: dict[bytes, bytes] = dict(scope["headers"])
    length = found.get(b"content-length", b"")
    return _Asked(
        api_key=found.get(b"x-api-key", b"").strip(),
        authorization=found.get(b"authorization", b""),
        content_length=int(length) if length.isdigit() else 0,
        origin=found.get(b"origin", b""),
        host=found.get(b"host", b""),
        transport_errors=found.get(b"x-centrifugo-error-mode") == b"transport",
        request_id=found.get(b"x-request-id", b""),
    )


def _apikey_scheme(authorization: bytes) -> bytes:
    scheme, _, key = authorization.partition(b" ")
    return key.strip() if scheme.lower() == b"apikey" else b""


def _is_foreign_page(asked: _Asked) -> bool:
    """Whether a browser sends this for a page of another origin.

    Without a key nothing else stops any page on the web from posting to a hub on localhost:
    a plain form post asks for no CORS permission first.
    """
    if not asked.origin:
        return False
    return asked.origin.partition(b"://")[2].lower() != asked.host.lower()


def _status(error: HubError, transport_errors: bool) -> tuple[int, Headers]:
    if isinstance(error, EngineUnavailable):
        return 503, _RETRY_AFTER
    status = error.error.http_status
    if status == 429:
        return status, _RETRY_AFTER
    return (status if transport_errors else 200), ()


def _refusal(error: Error, bare: bool) -> bytes:
    return _encode(error if bare else Failure(error))
