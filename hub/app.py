"""The composition root: builds one hub out of its settings, and starts and ends it in order.

The only place that knows every room.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from dataclasses import replace

from starlette.applications import Starlette
from starlette.routing import BaseRoute

import hub
from config import LoadedSettings, Settings
from hub import from_push_settings, from_settings
from hub.api import ApiOptions, create_api
from hub.api.app_http import create_client_api
from hub.api.app_rpc import create_rpc_methods
from hub.auth import KeySet, TokenVerifier
from hub.auth.jwks import JWKSSource
from hub.connection import (
    Connection,
    ConnectionServices,
    Link,
    LinkEvents,
    Refused,
    RpcMethod,
    Upgrade,
    Wheel,
)
from hub.engines import build_engine
from hub.errors import SHUTDOWN
from hub.fanout import Turn
from hub.metrics import Metrics, NopMetrics
from hub.model import NodeId
from hub.node import Node
from hub.node.notifications import Notifications
from hub.ops.health import HealthOptions, LoopWatch, Readiness, create_health
from hub.transport.origins import OriginPolicy
from hub.transport.server import HubServer
from workers.worker import Worker

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1
"""What a client that comes while the hub ends is told to wait: another hub takes it by then."""

_DISCONNECTS_PER_TURN = 500
"""Connections ended before other work gets a turn."""


class Hub:
    """One hub in this process: everything it consists of, and the order in which that starts and ends."""

    def __init__(
        self, settings: Settings, loaded: LoadedSettings | None = None, metrics: Metrics | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        metrics = metrics or NopMetrics()
        self._settings = settings
        self._draining = False
        node_id = NodeId(secrets.token_hex(8))
        name = settings.node.name or f"{socket.gethostname()}_{os.getpid()}"
        self.node = Node(
            node_id=node_id,
            name=name,
            version=hub.__version__,
            engine=build_engine(settings, loaded, node_id, name),
            healing=from_settings.healing_options(settings),
            rules=from_settings.channel_rules(settings),
            metrics=metrics,
        )
        self._jwks = from_settings.jwks_source(settings, loaded)
        verifier = self._verifier(from_settings.verification_keys(settings, loaded), self._jwks)
        own_keys = from_settings.subscription_keys(settings, loaded)
        self._wheel = Wheel(loop)
        self.notifications: Notifications | None = None
        """Notifications, inboxes and devices, where they are on."""
        self.rpc_methods: dict[str, RpcMethod] = {}
        """What clients can call. Without any, every call is answered that RPC is not available."""
        if settings.inbox.enabled:
            self.notifications = Notifications(
                self.node.engine, lanes=from_settings.push_lanes(settings), live=self.node
            )
            self.rpc_methods.update(create_rpc_methods(self.notifications))
        self._services = ConnectionServices(
            loop=loop,
            node=self.node,
            verifier=verifier,
            subscription_verifier=verifier if own_keys is None else self._verifier(own_keys, None),
            options=from_settings.connection_options(settings),
            wheel=self._wheel,
            turn=Turn(loop),
            metrics=metrics,
            rpc_methods=self.rpc_methods,
        )
        self._worker = self._embedded_worker(name)
        self._build_servers(from_settings.api_options(settings), verifier, metrics)

    def _embedded_worker(self, name: str) -> Worker | None:
        """On the embedded engine nobody else can do a worker's work; beside Redis there are workers."""
        if self._settings.chosen_engine != "memory" or self.notifications is None:
            return None
        return Worker(
            self.node.engine,
            from_push_settings.lane_plans(self._settings),
            # A hub serves its sockets, whatever becomes of its pushes.
            replace(from_push_settings.worker_options(self._settings), needs_lane=False),
            name=name,
        )

    def _verifier(self, keys: KeySet, jwks: JWKSSource | None) -> TokenVerifier:
        return TokenVerifier(from_settings.verifier_options(self._settings), keys, jwks)

    def _build_servers(self, api_options: ApiOptions, verifier: TokenVerifier, metrics: Metrics) -> None:
        internal = from_settings.internal_server_options(self._settings)
        # Why a hub is not ready is for operators: on the public port it is a yes or a no.
        shown, hidden = HealthOptions(details=True), HealthOptions(details=False)
        self._readiness = Readiness(self.node.engine.health.probe, hidden)
        self._loop_watch = LoopWatch()
        api = create_api(self.node, api_options, self.notifications)
        public: list[BaseRoute] = [*create_health(self._readiness, self._loop_watch, hidden)]
        if self.notifications is not None:
            origins = OriginPolicy(self._settings.http.allowed_origins)
            public += create_client_api(self.notifications, verifier, origins)
        if internal is None:
            public += api
        self._public = HubServer(
            Starlette(routes=public),
            from_settings.public_server_options(self._settings),
            self._accept,
            metrics,
        )
        self._internal: HubServer | None = None
        if internal is not None:
            routes = [*create_health(self._readiness, self._loop_watch, shown), *api]
            self._internal = HubServer(Starlette(routes=routes), internal, None, metrics)

    @property
    def urls(self) -> list[str]:
        """Where it can be reached: the public port first, the internal one behind it."""
        scheme = "https" if self._settings.http.tls_cert is not None else "http"
        found = [_url(scheme, self._public)]
        if self._internal is not None:
            found.append(_url("http", self._internal))
        return found

    def _accept(self, link: Link, upgrade: Upgrade) -> LinkEvents:
        if self._draining:
            raise Refused(503, "shutting down", RETRY_AFTER_S)
        if not self.node.engine.health.answers:
            # Those who are connected stay; a newcomer could be served nothing here.
            raise Refused(503, "the engine does not answer", RETRY_AFTER_S)
        return Connection(self._services, link, upgrade)

    async def start(self) -> None:
        """Be ready when this returns. Nothing is left behind when it fails.

        Raises:
            OSError: when a port cannot be had.
        """
        async with contextlib.AsyncExitStack() as undo:
            await self.node.start()
            undo.push_async_callback(self.node.stop)
            if self._jwks is not None:
                self._jwks.start()
                undo.push_async_callback(self._jwks.stop)
            if self._worker is not None:
                await self._worker.start()
                undo.push_async_callback(self._worker.abort)
            self._loop_watch.start()
            undo.callback(self._loop_watch.stop)
            await self._public.start()
            undo.push_async_callback(self._public.stop, 0)
            if self._internal is not None:
                await self._internal.start()
            undo.pop_all()
        self._readiness.mark_started()

    async def stop(self) -> None:
        """End in order: take nobody new, send everybody to another hub, finish requests, let go."""
        deadline_s = self._settings.shutdown.deadline_s
        self._draining = True
        self._readiness.mark_draining()
        self._public.stop_accepting()
        for count, connection in enumerate(list(self.node.registry), start=1):
            connection.disconnect(SHUTDOWN)
            if count % _DISCONNECTS_PER_TURN == 0:
                await asyncio.sleep(0)
        servers = [server for server in (self._public, self._internal) if server is not None]
        await asyncio.gather(*(server.stop(deadline_s) for server in servers))
        if self._worker is not None:
            await self._worker.stop()
        self._readiness.stop()
        self._loop_watch.stop()
        self._wheel.stop()
        if self._jwks is not None:
            await self._jwks.stop()
        await self.node.stop(deadline_s)


def _url(scheme: str, server: HubServer) -> str:
    host, port = server.addresses[0]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
