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
from dataclasses import asdict, replace
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute

import hub
from config import LoadedSettings, Settings
from hub import from_push_settings, from_settings
from hub.api import ApiOptions, create_api
from hub.api.app_http import create_client_api
from hub.api.app_rpc import create_rpc_methods
from hub.api.keys import KeyRing
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
from hub.consoles import build_console
from hub.engines import build_engine
from hub.fanout import Turn
from hub.metrics import Metrics
from hub.model import NodeId
from hub.node import Node
from hub.node.notifications import Notifications
from hub.observing import Measuring, Tracers, everybody, operators_only
from hub.ops.drain import Drain
from hub.ops.health import HealthOptions, LoopWatch, Readiness, create_health
from hub.reloading import Change, Changeable, CurrentOrigins, Keys
from hub.transport.server import HubServer
from workers.worker import Worker

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1
"""What a client that comes while the hub ends is told to wait: another hub takes it by then."""

LAST_WORDS_S = 1.0
"""What the engine is to be told at the end, and backends to be answered, gets this beyond the deadline."""


class Hub:
    """One hub in this process: everything it consists of, and the order in which that starts and ends."""

    def __init__(
        self,
        settings: Settings,
        loaded: LoadedSettings | None = None,
        metrics: Metrics | None = None,
        *,
        shares_ports: bool = False,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._measuring = Measuring(settings)
        metrics = metrics or self._measuring.for_hub()
        self._settings = settings
        self._metrics = metrics
        self._draining = False
        node_id = NodeId(secrets.token_hex(8))
        name = settings.node.name or f"{socket.gethostname()}_{os.getpid()}"
        self._tracers = Tracers(settings, loaded, name)
        self.node = Node(
            node_id=node_id,
            name=name,
            version=hub.__version__,
            engine=self._tracers.engine(build_engine(settings, loaded, node_id, name)),
            healing=from_settings.healing_options(settings),
            shares_reads=settings.chosen_engine != "memory",
            rules=from_settings.channel_rules(settings),
            metrics=metrics,
        )
        self._shares_ports = shares_ports
        self._keys = Keys(settings, loaded)
        self._wheel = Wheel(loop)
        self.notifications: Notifications | None = None
        """Notifications, inboxes and devices, where they are on."""
        self.rpc_methods: dict[str, RpcMethod] = {}
        """What clients can call. Without any, every call is answered that RPC is not available."""
        if settings.inbox.enabled:
            self.notifications = Notifications(
                self.node.engine,
                lanes=from_settings.push_lanes(settings),
                live=self.node,
                traceparent=self._tracers.traceparent,
            )
            self.rpc_methods.update(create_rpc_methods(self.notifications))
        self._services = ConnectionServices(
            loop=loop,
            node=self.node,
            verifier=self._keys.verifier,
            subscription_verifier=self._keys.subscription_verifier,
            options=from_settings.connection_options(settings),
            wheel=self._wheel,
            turn=Turn(loop),
            metrics=metrics,
            rpc_methods=self.rpc_methods,
        )
        self._loop_watch = LoopWatch()
        self._measuring.watch_process(self.node.engine, self._loop_watch)
        self._measuring.watch_node(self.node, self._services.turn, lambda: self._draining)
        self._worker = self._embedded_worker(name)
        self._build_servers(from_settings.api_options(settings), metrics)
        self._changeable = Changeable(
            self._keys, self._api_keys, self._origins, self._services, self._public, self._internal
        )

    def _embedded_worker(self, name: str) -> Worker | None:
        """On the embedded engine nobody else can do a worker's work; beside Redis there are workers."""
        if self._settings.chosen_engine != "memory" or self.notifications is None:
            return None
        plans = from_push_settings.lane_plans(self._settings)
        return Worker(
            self.node.engine,
            plans,
            # A hub serves its sockets, whatever becomes of its pushes.
            replace(from_push_settings.worker_options(self._settings), needs_lane=False),
            name=name,
            metrics=self._measuring.for_worker(plan.name for plan in plans),
            tracer=self._tracers.for_worker,
        )

    def _build_servers(self, api_options: ApiOptions, metrics: Metrics) -> None:
        internal = from_settings.internal_server_options(self._settings)
        self._readiness = Readiness(self.node.engine.health.probe, HealthOptions(), lambda: self._keys.there)
        self._api_keys = KeyRing(api_options.keys)
        self._origins = CurrentOrigins(self._settings.http.allowed_origins)
        api = create_api(self.node, api_options, self.notifications, self._api_keys, metrics)
        # Why a hub is not ready is for operators: for others it is a yes or a no.
        operators = operators_only(self._settings, self._api_keys)
        public: list[BaseRoute] = [*create_health(self._readiness, self._loop_watch, operators, self._about)]
        if self.notifications is not None:
            limits = from_settings.app_limits(self._settings, metrics)
            public += create_client_api(
                self.notifications, self._keys.verifier, self._origins, limits, revoked=self.node.revoked
            )
        self._console = build_console(
            self._settings, self.node, self._api_keys, self._measuring, metrics, operators
        )
        console = [] if self._console is None else self._console.routes()
        if internal is None:
            public += [*self._measuring.routes(operators), *api, *console]
        self._public = HubServer(
            self._tracers.app(Starlette(routes=public)),
            replace(from_settings.public_server_options(self._settings), reuse_port=self._shares_ports),
            self._accept,
            metrics,
        )
        self._internal: HubServer | None = None
        if internal is not None:
            health = create_health(self._readiness, self._loop_watch, everybody, self._about)
            routes = [*health, *self._measuring.routes(everybody), *api, *console]
            internal = replace(internal, reuse_port=self._shares_ports)
            self._internal = HubServer(self._tracers.app(Starlette(routes=routes)), internal, None, metrics)

    def _about(self) -> dict[str, Any]:
        """What people see of this hub beside its health."""
        shown: dict[str, Any] = {
            "node": self.node.name,
            "version": hub.__version__,
            "connections": len(self.node.registry),
        }
        if self._keys.jwks is not None:
            shown["key_set"] = asdict(self._keys.jwks.health())
        return shown

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
            undo.push_async_callback(self._tracers.stop)
            await self.node.start()
            undo.push_async_callback(self.node.stop)
            undo.push_async_callback(self._keys.stop)
            self._keys.start()
            if self._worker is not None:
                await self._worker.start()
                undo.push_async_callback(self._worker.abort)
            self._loop_watch.start()
            undo.callback(self._loop_watch.stop)
            self._measuring.start()
            undo.callback(self._measuring.stop)
            await self._public.start()
            undo.push_async_callback(self._public.stop, 0)
            if self._internal is not None:
                await self._internal.start()
            undo.pop_all()
        self._readiness.mark_started()

    async def reload(self, loaded: LoadedSettings) -> Change:
        """Take over from these settings what may change at run time: all of it, or, when it raises, nothing.

        Raises:
            SettingsError: for what turns out to be unusable.
            EngineUnavailable: when the namespaces changed and Redis could not be told.
            SchemaMismatch: when other hubs agreed on what this one cannot do.
        """
        change = await self._changeable.take_over(self._settings, loaded)
        self._settings = change.settings
        return change

    async def stop(self, *, wait_for_balancers: bool = False) -> None:
        """End in order: take nobody new, send everybody to another hub, finish requests, let go."""
        drain = Drain(from_settings.drain_options(self._settings), self.node.registry, self._metrics)
        self._readiness.mark_draining()
        if wait_for_balancers:
            await drain.wait_for_balancers()
        self._draining = self.node.draining = True
        if self._console is not None:
            self._console.stop()
        self._public.stop_accepting()
        await drain.send_everybody_away()
        await self._public.stop(drain.remaining_s)
        if self._internal is not None:
            # The last to go: whoever watches the drain watches it there. One phone that answers no
            # close takes all the time there was, and must not cut off a backend in the middle of a call.
            await self._internal.stop(max(drain.remaining_s, LAST_WORDS_S))
        if self._worker is not None:
            await self._worker.stop()
        self._readiness.stop()
        self._measuring.stop()
        self._loop_watch.stop()
        self._wheel.stop()
        await self._keys.stop()
        # What devices proved and how they left is told before the engine is let go.
        await self.node.stop(max(drain.remaining_s, LAST_WORDS_S))
        await self._tracers.stop()


def _url(scheme: str, server: HubServer) -> str:
    host, port = server.addresses[0]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
