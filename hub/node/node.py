"""One hub process as everybody else sees it: publish, read, listen, act on connections anywhere.

Applies the channel's policy and asks the engine. Knows no wire, no token and no socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hub.channels import ChannelName, ChannelOptions, ChannelRules, Override
from hub.delivery.model import DeviceState
from hub.engine import Engine
from hub.engine.jobs import NewNotice
from hub.errors import (
    BAD_REQUEST,
    FORCE_DISCONNECT,
    NOT_AVAILABLE,
    RESERVED_CHANNEL,
    UNRECOVERABLE_POSITION,
    UNSUBSCRIBED_BY_SERVER,
    Disconnect,
    EngineUnavailable,
    HubError,
)
from hub.fanout import LiveConnection, Registry, ServerSubscription
from hub.metrics import Metrics
from hub.model import (
    NO_HISTORY,
    ClientInfo,
    HistoryFilter,
    HistoryPage,
    HistoryPolicy,
    NodeId,
    Position,
    PresenceStats,
    Publication,
    PublishResult,
)
from hub.node import control
from hub.node.healing import HealingOptions
from hub.node.listening import Listening
from hub.node.proofs import Proofs
from hub.node.revoking import Revoking

log = logging.getLogger(__name__)

ASK_TIMEOUT_S = 3.0
"""How long the other nodes may take to answer before the answer goes on without them."""

_HELLOS_AT_ONCE = 500
_HELLO_AGAIN_AFTER_S = 1.0


class Node:
    """A hub process: its connections, the channels it listens to, and the engine behind it."""

    def __init__(
        self,
        *,
        node_id: NodeId,
        name: str,
        version: str,
        engine: Engine,
        rules: ChannelRules,
        metrics: Metrics,
        healing: HealingOptions | None = None,
        shares_reads: bool = True,
    ) -> None:
        """``shares_reads`` pays where reading means to wait for somebody else than this process."""
        self.id = node_id
        self.name = name
        self.version = version
        self.engine = engine
        self.rules = rules
        """Another one may take its place: who is in a channel stays, by what held when they came."""
        self.registry = Registry()
        self.listening = Listening(
            engine.broker, metrics, self._policy_of, healing, shares_reads=shares_reads
        )
        self.proofs = Proofs(engine.ledger)
        self._started_at_s = time.monotonic()
        self.draining = False
        """Set by whoever ends this process: from then on it says of itself that it takes nobody new."""
        self._detached: set[asyncio.Task[None]] = set()
        self.revoking = Revoking(
            engine.revocations,
            self.registry,
            metrics,
            lambda: self._ask_quietly(control.REVOKED_REQUEST),
        )
        self.revoked = self.revoking.copy
        """Who is kept out although their token is good."""
        self._local = control.LocalControl(
            node_id, self.registry, self.listening, self._describe_self, self.revoking.refresh
        )

    async def start(self) -> None:
        """Begin to receive from the engine.

        Raises:
            EngineUnavailable: when it cannot be reached.
        """
        async with contextlib.AsyncExitStack() as undo:
            self.engine.lifecycle.on_return(lambda: self.run_detached(self._tell_of_devices()))
            await self.engine.lifecycle.start()
            undo.push_async_callback(self.engine.lifecycle.stop)
            await self.revoking.start()
            undo.push_async_callback(self.revoking.stop)
            await self.engine.broker.start(self.listening)
            undo.push_async_callback(self.engine.broker.stop)
            await self.engine.control.start(self._local)
            undo.push_async_callback(self.engine.control.stop)
            await self.listening.start()
            undo.pop_all()

    async def stop(self, deadline_s: float = 10.0) -> None:
        """Finish the farewells that are under way, within ``deadline_s``, and let go of the engine."""
        ends_at_s = time.monotonic() + deadline_s
        if self._detached:
            _, late = await asyncio.wait(self._detached, timeout=deadline_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self.revoking.stop()
        await self.proofs.stop(max(0.0, ends_at_s - time.monotonic()))
        await self.listening.stop()
        await self.engine.control.stop()
        await self.engine.broker.stop()
        await self.engine.lifecycle.stop()

    def _policy_of(self, channel: str) -> HistoryPolicy:
        try:
            return self.rules.resolve(channel)[1].history
        except HubError:
            # Its namespace was taken out of the rules while somebody is in the channel.
            return NO_HISTORY

    def run_detached(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` to its end even though whoever asked for it is gone; :meth:`stop` waits for it."""
        task = asyncio.create_task(work)
        self._detached.add(task)
        task.add_done_callback(self._detached.discard)

    async def _tell_of_devices(self) -> None:
        """This node had counted as gone: tell the ledger again of every device that is connected here."""
        untold = list(self.registry)
        while untold:
            again: list[LiveConnection] = []
            for first in range(0, len(untold), _HELLOS_AT_ONCE):
                some = untold[first : first + _HELLOS_AT_ONCE]
                outcomes = await asyncio.gather(
                    *(each.hello_again() for each in some), return_exceptions=True
                )
                for each, outcome in zip(some, outcomes, strict=True):
                    if isinstance(outcome, EngineUnavailable):
                        again.append(each)
                    elif isinstance(outcome, Exception):
                        log.error("a device could not be told of again", exc_info=outcome)
            untold = again
            if untold:
                await asyncio.sleep(_HELLO_AGAIN_AFTER_S)

    def replace(self, user: str, node: str, client: str) -> None:
        """End the former connection of a device, on whichever node it is. Never waits."""
        if node == self.id:
            self._local.replace(user, client)
        else:
            # It proves nothing any more, whether it lives on or not: the ledger knows the newer one.
            self.run_detached(self._ask_quietly(control.replace_request(node, user, client)))

    async def tell_device(self, user: str, device: str, state: DeviceState | None = None) -> None:
        """A device was registered or, with a ``state``, its app went there: its connection learns of it.

        Wherever that is; other nodes are told later. Nothing happens where it has none.

        Raises:
            EngineUnavailable: it is unknown whether the ledger learned of it.
        """
        if not await self._local.tell_device(user, device, state):
            self.run_detached(self._ask_quietly(control.device_request(user, device, state)))

    async def _ask_quietly(self, request: Mapping[str, Any]) -> None:
        try:
            await self._ask(request)
        except HubError as error:
            log.debug("the other nodes could not be told: %s", error)

    async def publish(
        self,
        channel: str,
        data: bytes,
        *,
        info: ClientInfo | None = None,
        tags: Mapping[str, str] | None = None,
        skip_history: bool = False,
        idempotency_key: str = "",
        delta: bool = False,
        version: int = 0,
        version_epoch: str = "",
        job: NewNotice | None = None,
    ) -> PublishResult:
        """Publish to everybody who listens to ``channel``, on any node.

        Raises:
            HubError: 102 or 107 for the name, 1014 for a channel of the hub's own, 1012 for a
                ``job`` that finds too many waiting.
            EngineUnavailable: whether it was published is unknown; the same
                ``idempotency_key`` may be sent again.
        """
        _, options = self._writable(channel)
        publication = Publication(data=data, info=info, tags=tags, delta=delta or options.delta_publish)
        return await self.engine.broker.publish(
            channel,
            publication,
            NO_HISTORY if skip_history else options.history,
            idempotency_key=idempotency_key,
            version=version,
            version_epoch=version_epoch,
            job=job,
        )

    async def history(self, channel: str, wanted: HistoryFilter) -> HistoryPage:
        """Read a channel's history.

        Raises:
            HubError: 108 where none is kept, 112 when ``since`` is of another epoch, 107 for
                reading backward from offset 0.
        """
        _, options = self._resolve(channel)
        if not options.history.keeps:
            raise HubError(NOT_AVAILABLE, "the channel keeps no history")
        if wanted.reverse and wanted.since is not None and wanted.since.offset == 0:
            raise HubError(BAD_REQUEST, "there is nothing before offset 0")
        page = await self.engine.broker.history(channel, wanted, options.history)
        since = wanted.since
        if since is not None and since.epoch and since.epoch != page.top.epoch:
            raise HubError(UNRECOVERABLE_POSITION, "the stream has another epoch now")
        return page

    async def remove_history(self, channel: str) -> None:
        """Drop the kept publications of a channel.

        Raises:
            HubError: 108 where none is kept, 1014 for a channel of the hub's own.
        """
        _, options = self._writable(channel)
        if not options.history.keeps:
            raise HubError(NOT_AVAILABLE, "the channel keeps no history")
        await self.engine.broker.remove_history(channel)

    async def presence(self, channel: str) -> Mapping[str, ClientInfo]:
        """Everybody in the channel, by client id.

        Raises:
            HubError: 108 where presence is off.
        """
        self._check_presence(channel)
        return await self.engine.presence.members(channel)

    async def presence_stats(self, channel: str) -> PresenceStats:
        """How many are in the channel.

        Raises:
            HubError: 108 where presence is off.
        """
        self._check_presence(channel)
        return await self.engine.presence.stats(channel)

    def _check_presence(self, channel: str) -> None:
        _, options = self._resolve(channel)
        if not options.presence:
            raise HubError(NOT_AVAILABLE, "presence is off in this channel")

    def _resolve(self, channel: str) -> tuple[ChannelName, ChannelOptions]:
        return self.rules.resolve(channel)

    def _writable(self, channel: str) -> tuple[ChannelName, ChannelOptions]:
        name, options = self._resolve(channel)
        if name.reserved:
            raise HubError(RESERVED_CHANNEL, "only the hub itself writes to inboxes")
        return name, options

    async def subscribe(
        self,
        user: str,
        channel: str,
        *,
        client: str = "",
        session: str = "",
        info: bytes | None = None,
        data: bytes | None = None,
        recover_since: Position | None = None,
        expire_at_s: int | None = None,
        override: Override | None = None,
    ) -> None:
        """Attach the user's connections, on any node, to ``channel``.

        Raises:
            HubError: 102 or 107 for the name, 1014 for a channel of the hub's own, or what
                a node answered.
        """
        self._writable(channel)
        if session:
            return  # session ids exist on emulated transports only: it matches nobody
        options = None
        if override is not None:
            options = {name: value for name, value in asdict(override).items() if value is not None}
        wanted = ServerSubscription(channel, info, data, recover_since, expire_at_s, options)
        await self._ask(control.subscribe_request(user, client, wanted))

    async def unsubscribe(self, user: str, channel: str, *, client: str = "", session: str = "") -> None:
        """Detach the user's connections, on any node, from ``channel``.

        Raises:
            HubError: 102 or 107 for the name, 1014 for a channel of the hub's own.
        """
        self._writable(channel)
        if not session:
            await self._ask(control.unsubscribe_request(user, client, channel, UNSUBSCRIBED_BY_SERVER))

    async def disconnect(
        self,
        user: str,
        *,
        client: str = "",
        session: str = "",
        whitelist: Sequence[str] = (),
        disconnect: Disconnect = FORCE_DISCONNECT,
    ) -> None:
        """End the user's connections, on any node, except the client ids in ``whitelist``."""
        if not session:
            await self._ask(control.disconnect_request(user, client, whitelist, disconnect))

    async def refresh(
        self,
        user: str,
        *,
        client: str = "",
        session: str = "",
        expired: bool = False,
        expire_at_s: int | None = None,
        info: bytes | None = None,
    ) -> None:
        """Move the expiry of the user's connections, on any node, or end them as ``expired``."""
        if not session:
            await self._ask(control.refresh_request(user, client, expired, expire_at_s, info))

    async def channels(self, pattern: str = "") -> Mapping[str, int]:
        """Channels somebody is subscribed to, with their number of subscribers over all nodes.

        Inboxes are among them only for a ``pattern`` that begins with ``inbox:#``.
        """
        total: dict[str, int] = {}
        for answer in await self._ask(control.channels_request(pattern)):
            for channel, count in answer["channels"].items():
                total[channel] = total.get(channel, 0) + count
        return total

    async def connections(self, user: str = "", client: str = "") -> Mapping[str, Mapping[str, Any]]:
        """Descriptions of the connections on all nodes, by client id; empty filters match everybody."""
        found: dict[str, Mapping[str, Any]] = {}
        for answer in await self._ask(control.connections_request(user, client)):
            found.update(answer["connections"])
        return found

    async def info(self) -> list[Mapping[str, Any]]:
        """A description of every node."""
        return list(await self._ask(control.INFO_REQUEST))

    async def _ask(self, request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        answers = await self.engine.control.ask_all(request, timeout_s=ASK_TIMEOUT_S)
        for answer in answers:
            if "error" in answer:
                raise control.error_of(answer)
        return answers

    def _describe_self(self) -> Mapping[str, Any]:
        counts = self.listening.counts()
        return {
            "uid": self.id,
            "name": self.name,
            "version": self.version,
            "num_clients": len(self.registry),
            "num_users": self.registry.user_count,
            "num_subs": sum(counts.values()),
            "num_channels": len(counts),
            "uptime": int(time.monotonic() - self._started_at_s),
            "draining": self.draining,
        }
