"""The routes of the console: its files, live rates, and the watching of a channel.

Files hold nothing of this hub; whoever may reach the console at all gets them, and everybody else is
told that nothing is there. What is told of this hub needs the key of an administrator, each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from hub.api.keys import ApiKey, KeyRing
from hub.console.pages import HEADERS, INDEX, Pages
from hub.console.rates import Rates
from hub.console.watching import Watch
from hub.errors import (
    BAD_REQUEST,
    PERMISSION_DENIED,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
    EngineUnavailable,
    HubError,
)
from hub.fanout import Turn
from hub.metrics import Metrics
from hub.node import Node

_FRESH = {**HEADERS, "cache-control": "no-store"}
# Proxies that gather answers would keep everything until the end.
_LINES = {**_FRESH, "x-accel-buffering": "no"}
_LINES_TYPE = "application/x-ndjson"
_RETRY_AFTER_S = "1"


@dataclass(frozen=True, slots=True)
class ConsoleOptions:
    """How much the console may take. ``max_watches`` pages watch a channel at the same time."""

    max_watches: int = 20


class Console:
    """One console. ``permits`` says who may see that it is there; ``keys`` who may use it."""

    def __init__(
        self,
        node: Node,
        keys: KeyRing,
        rates: Rates,
        metrics: Metrics,
        permits: Callable[[Request], bool],
        options: ConsoleOptions | None = None,
    ) -> None:
        self._node = node
        self._keys = keys
        self._rates = rates
        self._metrics = metrics
        self._permits = permits
        self._options = options or ConsoleOptions()
        self._pages = Pages()
        self._turn = Turn(asyncio.get_running_loop())
        self._watches: set[Watch] = set()
        self._stopped = False

    def routes(self) -> list[Route]:
        """To be mounted at the root of the public or the internal application."""
        return [
            Route("/console", self._handle_bare),
            Route("/console/", self._handle_page),
            Route("/console/api/session", self._handle_session),
            Route("/console/api/rates", self._handle_rates),
            Route("/console/api/watch", self._handle_watch),
            Route("/console/{name}", self._handle_page),
        ]

    def stop(self) -> None:
        """Let every page that watches go, and take no other: the hub would wait for them. Idempotent."""
        self._stopped = True
        for watch in list(self._watches):
            watch.end()

    async def _handle_bare(self, request: Request) -> Response:
        if not self._permits(request):
            return _nothing_here()
        # Relative, for hubs that a proxy serves under a path of its own.
        return RedirectResponse("console/", headers=dict(HEADERS))

    async def _handle_page(self, request: Request) -> Response:
        name = request.path_params.get("name", INDEX)
        if not self._permits(request) or name not in self._pages:
            return _nothing_here()
        return self._pages.respond(request, name)

    async def _handle_session(self, request: Request) -> Response:
        try:
            caller = self._administrator(request)
        except HubError as error:
            return self._refusal(request, error)
        told = {"key": caller.name, "node": self._node.name, "version": self._node.version}
        return JSONResponse(told, headers=_FRESH)

    async def _handle_rates(self, request: Request) -> Response:
        try:
            self._administrator(request)
        except HubError as error:
            return self._refusal(request, error)
        return JSONResponse({"node": self._node.name, **await self._rates.read()}, headers=_FRESH)

    async def _handle_watch(self, request: Request) -> Response:
        channel = request.query_params.get("channel", "")
        try:
            caller = self._administrator(request)
            if not channel:
                raise HubError(BAD_REQUEST, "channel is missing")
            caller.require_channel(channel)
            self._node.rules.resolve(channel)
            if self._stopped:
                raise EngineUnavailable("this hub ends")
            if len(self._watches) >= self._options.max_watches:
                self._metrics.limit_reached("console_watches")
                raise HubError(TOO_MANY_REQUESTS, f"{self._options.max_watches} pages watch already")
            if request.method == "HEAD":
                # There are no lines to wait for: a watch would take its place for as long as the connection.
                return _watch_head()
            watch = Watch(channel, self._node.listening, self._turn)
            self._watches.add(watch)
            try:
                await watch.open()
            except BaseException:
                self._watches.discard(watch)
                raise
        except HubError as error:
            return self._refusal(request, error)
        return _WatchResponse(watch, partial(self._watches.discard, watch))

    def _administrator(self, request: Request) -> ApiKey:
        caller = self._keys.find(request.headers.get("x-api-key", "").strip().encode("latin-1"))
        if caller is None:
            raise HubError(UNAUTHORIZED)
        caller.require_scope("admin")
        return caller

    def _refusal(self, request: Request, error: HubError) -> Response:
        if error.error in (UNAUTHORIZED, PERMISSION_DENIED) and not self._permits(request):
            return _nothing_here()
        status = 503 if isinstance(error, EngineUnavailable) else error.error.http_status
        body: dict[str, Any] = {"code": error.error.code, "message": error.error.message}
        if error.detail:
            body["detail"] = error.detail
        headers = {**_FRESH, "retry-after": _RETRY_AFTER_S} if status in (429, 503) else _FRESH
        return JSONResponse({"error": body}, status, headers=headers)


class _WatchResponse(StreamingResponse):
    """Lines for as long as the page takes them. However it ends, the watch ends with it."""

    def __init__(self, watch: Watch, on_end: Callable[[], None]) -> None:
        super().__init__(watch.lines(), media_type=_LINES_TYPE, headers=_LINES)
        self._watch = watch
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._watch.close()
            self._on_end()


def _watch_head() -> Response:
    response = Response(headers=_LINES, media_type=_LINES_TYPE)
    # A watch has no length, least of all none (RFC 9110, 8.6).
    del response.headers["content-length"]
    return response


def _nothing_here() -> Response:
    return Response("Not Found", 404, media_type="text/plain")
