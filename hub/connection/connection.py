"""One live connection: frames in, frames out, commands served one after the other.

Everything that changes what the connection is subscribed to runs in order, whether the
client asked for it, the server API, or a clock. There is no task and no timer of its own
while nothing happens. What each command means is in the modules beside this one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, TypeAlias

from hub.connection import commands, joining, revoked, server_side
from hub.connection.client_id import new_client_id
from hub.connection.describing import describe
from hub.connection.device import WithDevice
from hub.connection.lifetime import Lifetime
from hub.connection.link import Link, Upgrade
from hub.connection.membership import NO_TOKEN, Membership, TokenMark
from hub.connection.pacing import CommandPace
from hub.connection.services import ConnectionServices
from hub.errors import (
    BAD_FRAME,
    CONNECTION_CLOSED,
    INAPPROPRIATE_PROTOCOL,
    INSUFFICIENT_STATE,
    INTERNAL,
    LIMIT_EXCEEDED,
    SERVER_ERROR,
    SLOW,
    Disconnect,
    DisconnectError,
    ErrorCode,
    HubError,
    UnsubscribeCode,
)
from hub.fanout import Outbox, ServerSubscription
from hub.log_context import say_client
from hub.protocol import NATIVE_PING_FRAME
from hub.protocol.codec import InvalidJSONPayload, MalformedFrame, TooManyCommands
from hub.protocol.messages import Command, Error, Reply
from hub.session import Close, Ignore, Pong, Refuse, Serve, Session, State

log = logging.getLogger(__name__)

_TURN_S = 0.002
"""How long one connection's commands are served before the others get their turn."""

Work: TypeAlias = "Command | server_side.ServerWork"
"""A client's command, or something the server side wants done in its turn."""


class Connection(WithDevice):
    """Between one transport link and the node; what the link, the feeds and the registry each see of it."""

    __slots__ = (
        "_link",
        "_pending",
        "_pinged_at_s",
        "_reading_paused",
        "_task",
        "bearer_token",
        "client",
        "client_ip",
        "connected_at_ms",
        "encoding",
        "granted",
        "info",
        "lifetime",
        "native_ping",
        "outbox",
        "pace",
        "sdk_name",
        "sdk_version",
        "services",
        "session",
        "token_mark",
        "user",
    )

    def __init__(self, services: ConnectionServices, link: Link, upgrade: Upgrade) -> None:
        options = services.options
        self.services = services
        self.session = Session(options.max_channels)
        self.encoding = services.encoding(upgrade.codec, upgrade.compressed)
        self.outbox = Outbox(self, services.turn, options.max_outbox_bytes)
        self.client = new_client_id()
        self.client_ip = upgrade.client_ip
        self.bearer_token = upgrade.bearer_token
        self.native_ping = upgrade.native_ping
        self.user = ""
        self.info: bytes | None = None
        self.token_mark: TokenMark = NO_TOKEN
        self.granted: tuple[str, ...] = ()
        """Channels of the token it connected with; a refresh may not change them unseen."""
        self.connected_at_ms = 0
        self.sdk_name = ""
        self.sdk_version = ""
        self.device_session = None
        self._link = link
        self._pending: list[Work] | None = None
        self._task: asyncio.Task[None] | None = None
        self._reading_paused = False
        self._pinged_at_s = 0.0
        self.lifetime = Lifetime(self)
        self.pace = CommandPace(services)

    # The link's view.

    def on_frame(self, payload: bytes) -> None:
        """Take one message of the client: decode it and serve its commands in order."""
        session = self.session
        if session.state is State.CLOSED:
            return
        try:
            found = self.encoding.codec.decode(payload, self.services.options.max_commands_per_frame)
        except MalformedFrame as exc:
            if isinstance(exc, TooManyCommands):
                self.services.metrics.limit_reached("commands_per_frame")
            log.debug("! malformed frame: %s", exc, extra={"client": self.client})
            self.disconnect(BAD_FRAME)
            return
        for command in found:
            if command == _PONG:
                # A pong must not wait behind a slow command: its deadline runs.
                self._act(session.decide(command))
            elif self.pace.admits(self, command):
                self._enqueue(command)
        if self._pending is not None and len(self._pending) > self.services.options.max_pending_commands:
            self.services.metrics.limit_reached("pending_commands")
            self._reading_paused = True
            self._link.pause_reading()

    def on_pong(self) -> None:
        """A WebSocket pong arrived, which answers a native ping."""
        if self.native_ping and self.session.awaits_pong:
            self.session.ponged()
            self._on_ponged()

    def on_writable(self, writable: bool) -> None:
        """The socket is full, or has room again."""
        self.outbox.on_writable(writable)
        self.lifetime.on_writable(writable)

    def on_lost(self) -> None:
        """The transport is gone."""
        self._depart(CONNECTION_CLOSED)

    # The outbox's and the feed's view.

    @property
    def unsent_bytes(self) -> int:
        """What the socket has not taken yet."""
        return self._link.unsent_bytes

    def write(self, data: bytes) -> None:
        """Hand complete frames to the link."""
        self._link.write(data)

    def on_overflow(self) -> None:
        """The client reads too slowly. It may come back and resume."""
        self.services.metrics.limit_reached("outbox_bytes")
        # Later, since a feed is walking its subscribers right now.
        self.services.loop.call_soon(self.disconnect, SLOW)

    def on_unencodable(self) -> None:
        """A publication that is not JSON cannot be given to a JSON client."""
        self.services.loop.call_soon(self.disconnect, INAPPROPRIATE_PROTOCOL)

    def on_gap(self, channel: str) -> None:
        """Publications of ``channel`` are lost for good: have the client recover, as far as that goes."""
        membership = self.membership(channel)
        if membership is None or not membership.positioned:
            return
        if not membership.live:
            membership.broken = True
        elif membership.server_side:
            self.services.loop.call_soon(self.disconnect, INSUFFICIENT_STATE)
        else:
            server_side.end_for_gap(self, membership)

    # In order.

    def in_order(self, work: server_side.ServerWork) -> bool:
        """Run ``work`` after everything asked before it, or drop it when the connection ends first.

        False when the connection has ended already.
        """
        if self.session.state is State.CLOSED:
            return False
        self._enqueue(work)
        return True

    def _enqueue(self, work: Work) -> None:
        if self._pending is None:
            self._pending = [work]
            self._task = self.services.loop.create_task(self._serve(self._pending))
        else:
            self._pending.append(work)

    async def _serve(self, pending: list[Work]) -> None:
        say_client(self.client)
        try:
            turn_began_s = time.perf_counter()
            while pending and self.session.state is not State.CLOSED and not self.outbox.closed:
                await self._serve_one(pending.pop(0))
                if time.perf_counter() - turn_began_s > _TURN_S:
                    # An embedded engine never suspends: without this, one client's thousand
                    # commands would be served while everybody else waits.
                    await asyncio.sleep(0)
                    turn_began_s = time.perf_counter()
                if self._reading_paused and len(pending) <= self.services.options.max_pending_commands:
                    self._reading_paused = False
                    self._link.resume_reading()
        finally:
            self._pending = None
            self._task = None
            for work in pending:
                if isinstance(work, server_side.ServerWork):
                    work.drop()

    async def _serve_one(self, work: Work) -> None:
        try:
            if isinstance(work, Command):
                decision = self.session.decide(work)
                if isinstance(decision, Serve):
                    await self._answer(decision)
                else:
                    self._act(decision)
            else:
                await work.run()
        except DisconnectError as exc:
            self.disconnect(exc.disconnect)
        except InvalidJSONPayload:
            self.disconnect(INAPPROPRIATE_PROTOCOL)
        except HubError as exc:
            log.warning("! work of the server side failed: %s", exc)
        except Exception:
            log.exception("! a connection could not be served")
            self.disconnect(SERVER_ERROR)

    async def _answer(self, decision: Serve) -> None:
        try:
            await commands.serve(self, decision.id, decision.request)
        except HubError as exc:
            self.refuse(decision.id, exc.error)
        except (DisconnectError, InvalidJSONPayload):
            raise
        except Exception:
            log.exception("! a command failed")
            self.refuse(decision.id, INTERNAL)

    def _act(self, decision: Refuse | Close | Pong | Ignore | Serve) -> None:
        if isinstance(decision, Refuse):
            if decision.error is LIMIT_EXCEEDED:
                self.services.metrics.limit_reached("channels")
            self.refuse(decision.id, decision.error)
        elif isinstance(decision, Close):
            self.disconnect(decision.disconnect)
        elif decision is Pong.PONG:
            self._on_ponged()

    def _on_ponged(self) -> None:
        self.services.metrics.ping_answered(time.perf_counter() - self._pinged_at_s)
        if self.device_session is not None:
            self.device_session.on_pong()

    # Out.

    def send(self, reply: Reply) -> None:
        """Queue one reply or push.

        Raises:
            InvalidJSONPayload: when a payload in it is not JSON and the client speaks JSON.
        """
        self.outbox.put(self.encoding.frame_of(reply))

    def refuse(self, command_id: int, error: ErrorCode) -> None:
        """Answer a command with an error."""
        self.services.metrics.command_refused(error.code)
        self.send(Reply(id=command_id, error=Error(error.code, error.message, error.temporary)))

    # Phases.

    def remaining_s(self, expire_at_s: int | None) -> float | None:
        """Seconds until a unix time, None for never."""
        return None if expire_at_s is None else expire_at_s - self.services.wall_s()

    def membership(self, channel: str) -> Membership | None:
        """The subscription to ``channel``, whatever stage it is in."""
        found = self.session.subscriptions.get(channel)
        return found if isinstance(found, Membership) else None

    def opened(self) -> None:
        """The connect succeeded: count the client in and begin to ping it."""
        self.session.connected()
        self.services.node.registry.add(self)
        self.pace.opened(self.services, self.user)
        self.services.metrics.connection_opened(self.sdk_name, self.encoding.codec.name)
        self.lifetime.opened()
        log.debug("> connected: %s, %s", self.sdk_name or "?", self.encoding.codec.name)

    def turned_away(self) -> None:
        """The connect was answered with an error: nothing else is served any more."""
        if self.session.state is State.CLOSED:
            return
        self.session.refused()
        if self._pending is not None:
            # What came in the same frame was meant for a connection that is not to be.
            self._pending[:] = [work for work in self._pending if not isinstance(work, Command)]
        self.lifetime.turned_away()

    def ping(self) -> None:
        """Ask the client for a sign of life, behind all that was said before, unless it still owes one."""
        if self.session.pinged():
            self._pinged_at_s = time.perf_counter()
            self.outbox.put(NATIVE_PING_FRAME if self.native_ping else self.encoding.ping_frame)

    # The end.

    def disconnect(self, why: Disconnect) -> None:
        """End the connection: what was said before is sent, then the close frame. Never waits."""
        if self.session.state is State.CLOSED:
            return
        self.outbox.flush()
        self._depart(why)
        self._link.close(why.code, why.reason)

    def _depart(self, why: Disconnect) -> None:
        session = self.session
        if session.state is State.CLOSED:
            return
        if session.state is State.CONNECTED:
            self.services.metrics.connection_closed(why.code, self.sdk_name, self.encoding.codec.name)
        log.debug("< gone: %d %s", why.code, why.reason, extra={"client": self.client})
        session.closed()
        self.services.node.registry.remove(self)
        self.outbox.close()
        self.lifetime.stop()
        memberships = [m for m in session.subscriptions.values() if isinstance(m, Membership)]
        for membership in memberships:
            joining.detach(self, membership)
        self.drop_device(None if why is CONNECTION_CLOSED else why, self._link.said_goodbye)
        if self._task is not None or any(m.keeps_presence or m.emits_join_leave for m in memberships):
            self.services.node.run_detached(self._farewell(memberships, self._task))

    async def _farewell(self, memberships: list[Membership], task: asyncio.Task[None] | None) -> None:
        say_client(self.client)
        # A command that is being served may still be on its way into a channel: leaving waits
        # for it, or presence could be added after it was removed.
        if task is not None:
            await asyncio.wait([task])
            for late in list(self.session.subscriptions.values()):
                if isinstance(late, Membership):
                    joining.detach(self, late)
                    memberships.append(late)
        for membership in memberships:
            await joining.leave(self, membership)

    # The registry's view.

    @property
    def subscription_count(self) -> int:
        """How many channels it is subscribed to."""
        return len(self.session.subscriptions)

    async def subscribe_by_server(self, wanted: ServerSubscription) -> None:
        """Attach it to a channel and tell the client, in its turn.

        Raises:
            HubError: when the channel cannot be subscribed to.
        """
        await server_side.subscribe(self, wanted)

    async def unsubscribe_by_server(self, channel: str, why: UnsubscribeCode) -> None:
        """Detach it from a channel and tell the client, in its turn."""
        await server_side.unsubscribe(self, channel, why)

    def refresh_by_server(self, expired: bool, expire_at_s: int | None, info: bytes | None) -> None:
        """Move its expiry, or end it as expired."""
        server_side.refresh(self, expired, expire_at_s, info)

    def look_again(self) -> None:
        """Something was revoked that this connection, or a subscription of it, may rest on."""
        if self.session.state is State.CONNECTED:
            revoked.look_again(self)

    def describe(self) -> Mapping[str, Any]:
        """What operators may know of it."""
        return describe(self)


_PONG = Command()
