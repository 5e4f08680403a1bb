"""One subscribed connection to one primary: kept, probed, replaced when it stays silent.

Tells listeners which channels may have missed something, once these are heard again. Does not
know which channels belong to this primary: it is told.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from typing import Any, Protocol

from hub.engine.redis.address import Endpoint, RedisAddress
from hub.engine.redis.backoff import Backoff
from hub.engine.redis.connecting import open_primary
from hub.engine.redis.hearing import Doubts, Subscription
from hub.engine.redis.options import RedisOptions
from hub.engine.redis.probing import LinkProbe
from hub.engine.redis.refusals import Verdict, reason_of, verdict_of
from hub.engine.redis.subscriptions import WireSubscriptions
from hub.engine.redis.wire import ReplyError, Wire, pack
from hub.errors import EngineUnavailable, HubError

logger = logging.getLogger(__name__)

_PAUSE_AFTER_REFUSAL_S = 0.2
_STEADY_S = 2.0
"""A connection that lasted this long was no accident; after a shorter one the pauses go on growing."""
_PING = pack(("PING",))


class PrimaryLinkOwner(Protocol):
    """Who knows where the primaries are."""

    def on_unreachable(self) -> None:
        """The link was lost, silent, or could not be opened once more."""
        ...

    def on_misplaced(self, link: PrimaryLink, error: Exception) -> None:
        """The server says that a subscription belongs elsewhere, or that it cannot serve it now."""
        ...


class PrimaryLink:
    """The subscribed connection to one primary."""

    def __init__(
        self,
        endpoint: Endpoint,
        address: RedisAddress,
        options: RedisOptions,
        owner: PrimaryLinkOwner,
        probe: LinkProbe,
    ) -> None:
        self.endpoint = endpoint
        self.probe = probe
        self.trouble = ""
        """Why nothing is heard, for people; empty while there is a connection."""
        self._address = address
        self._options = options
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._subscriptions: dict[bytes, Subscription] = {}
        self._missing: set[bytes] = set()
        self._wire: Wire | None = None
        self._on_wire = self._nothing_on_wire()
        self._flushing = False
        self._doubts = Doubts()
        self._gone = asyncio.Event()
        self._gone_since_s: float | None = self._loop.time()
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._publishing: asyncio.Task[None] | None = None
        self._pinged_at_s: float | None = None
        self._message_kind = b"smessage" if address.kind == "cluster" else b"message"

    def start(self) -> None:
        """Begin to keep the connection and to probe it."""
        self.add(self.probe.subscription)
        _ = self._run(self._keep(), "keep")
        _ = self._run(self._watch(), "watch")

    async def stop(self) -> None:
        """Close at once; listeners are told nothing more. Idempotent."""
        self._subscriptions.clear()
        self._doubts.clear()
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._wire is not None:
            self._wire.abort()
            self._wire = None
        if not self._connected.done():
            self._refuse_first(EngineUnavailable("the link was stopped"))

    async def reached(self) -> None:
        """Return once the first connection stands.

        Raises:
            EngineUnavailable: when the first try failed. It is tried again all the same.
        """
        await asyncio.shield(self._connected)

    @property
    def gone_for_s(self) -> float:
        """Seconds since there was a connection; 0 while there is one."""
        return 0.0 if self._gone_since_s is None else self._loop.time() - self._gone_since_s

    @property
    def healthy(self) -> bool:
        """Whether all that was heard before is heard, and a probe was heard lately."""
        late_s = self._options.probe_timeout_s + 2 * self._options.probe_interval_s
        return self._wire is not None and not self._missing and self.probe.age_s <= late_s

    def add(self, subscription: Subscription) -> None:
        """Hear it here from now on."""
        self._subscriptions[subscription.name] = subscription
        if subscription.doubtful:
            self._missing.add(subscription.name)
        if self._on_wire.heard(subscription.name):
            self._confirm(subscription)
        else:
            self._look_at(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Hear it here no longer; nothing of it is told any more."""
        if self._subscriptions.get(subscription.name) is subscription:
            del self._subscriptions[subscription.name]
            self._missing.discard(subscription.name)
            self._look_at(subscription)

    def move_probe(self, tag: str) -> None:
        """Probe by this tag from now on."""
        former = self.probe.subscription
        self.probe.move(tag)
        if self.probe.subscription is not former:
            self.remove(former)
            self.add(self.probe.subscription)

    # the connection

    async def _keep(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._connect()
            except Exception as raised:
                error = raised if isinstance(raised, EngineUnavailable) else EngineUnavailable(repr(raised))
                if error.detail != self.trouble:
                    logger.warning("%s", error.detail)
                self.trouble = error.detail
                if not self._connected.done():
                    self._refuse_first(error)
                self._owner.on_unreachable()
                await asyncio.sleep(backoff.next_s())
                continue
            connected_at_s = self._loop.time()
            await self._gone.wait()
            if self._loop.time() - connected_at_s >= _STEADY_S:
                backoff.reset()
            await asyncio.sleep(backoff.next_s())

    async def _connect(self) -> None:
        wire, _ = await open_primary(
            self._address, self.endpoint, timeout_s=self._options.connect_timeout_s, name="hub-link"
        )
        if wire.lost:
            raise EngineUnavailable(f"Redis at {self.endpoint} closed the connection")
        wire.on_reply = self._on_reply
        wire.on_lost = self._on_lost
        wire.on_writable = self._flush_soon
        if self.trouble:
            logger.info("the link to Redis at %s is back", self.endpoint)
        self.trouble = ""
        self._gone.clear()
        self._gone_since_s = None
        self._pinged_at_s = None
        self.probe.forget()
        self._wire = wire
        self._on_wire = self._nothing_on_wire()
        for subscription in self._subscriptions.values():
            self._on_wire.look_at(subscription.name, subscription.tag)
        self._flush_soon()
        if not self._connected.done():
            self._connected.set_result(None)

    def _refuse_first(self, error: EngineUnavailable) -> None:
        self._connected.set_exception(error)
        self._connected.exception()  # whether anybody waits for it or not

    def _on_lost(self, reason: str) -> None:
        logger.warning("lost the link to Redis at %s: %s", self.endpoint, reason)
        self.trouble = reason
        if self._wire is not None:
            self._wire.abort()
        self._wire = None
        self._gone_since_s = self._loop.time()
        self._on_wire = self._nothing_on_wire()
        for subscription in self._subscriptions.values():
            self._miss(subscription)
        self._gone.set()
        self._owner.on_unreachable()

    # what is subscribed

    def _nothing_on_wire(self) -> WireSubscriptions:
        return WireSubscriptions(
            sharded=self._address.kind == "cluster",
            chunk_count=self._options.subscribe_chunk_count,
            wanted=self._subscriptions.__contains__,
        )

    def _look_at(self, subscription: Subscription) -> None:
        if self._wire is not None:
            self._on_wire.look_at(subscription.name, subscription.tag)
            self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Ask for one chunk; the next one gets a turn of the loop of its own."""
        self._flushing = False
        if self._wire is None or self._wire.paused:
            return
        commands = self._on_wire.next_commands()
        if commands:
            self._wire.write(b"".join(map(pack, commands)))
        if self._on_wire.open_count:
            self._flush_soon()

    def _miss(self, subscription: Subscription) -> None:
        subscription.be_unheard()
        if subscription.doubtful:
            self._missing.add(subscription.name)

    def _confirm(self, subscription: Subscription) -> None:
        self._missing.discard(subscription.name)
        if subscription.be_heard():
            if not self._doubts:
                self._loop.call_soon(self._doubts.tell)
            self._doubts.add(subscription)

    # what is heard

    def _on_reply(self, reply: Any) -> None:
        if not isinstance(reply, list):
            self._on_plain_reply(reply)
            return
        kind = reply[0]
        if kind == self._message_kind:
            subscription = self._subscriptions.get(reply[1])
            if subscription is not None:
                try:
                    subscription.listener.on_message(subscription.channel, reply[2])
                except Exception:
                    # One channel's mistake must not cost all others their link.
                    logger.exception("a listener failed on a message of Redis")
        elif kind in (b"subscribe", b"ssubscribe"):
            if self._on_wire.on_subscribed(reply[1]):
                subscription = self._subscriptions.get(reply[1])
                if subscription is not None:
                    self._confirm(subscription)
        elif kind in (b"unsubscribe", b"sunsubscribe"):
            if reply[1] is not None and self._on_wire.on_unsubscribed(reply[1]):
                self._on_taken_away(reply[1])
        elif kind == b"pong":
            self._pinged_at_s = None

    def _on_plain_reply(self, reply: Any) -> None:
        if isinstance(reply, ReplyError):
            self._on_refused(reply)
        elif reply == b"PONG":
            self._pinged_at_s = None  # as it is said while nothing is subscribed

    def _on_taken_away(self, name: bytes) -> None:
        """The slot of the channel moved: asking again brings the redirection to where it went."""
        if (subscription := self._subscriptions.get(name)) is not None:
            self._miss(subscription)
            self._look_at(subscription)

    def _on_refused(self, error: Exception) -> None:
        names = self._on_wire.on_error()
        subscriptions = [self._subscriptions[name] for name in names if name in self._subscriptions]
        if verdict_of(error) in (Verdict.UNAVAILABLE, Verdict.REFUSED):
            logger.warning("Redis at %s refuses to be listened to: %s", self.endpoint, reason_of(error))
            for subscription in subscriptions:
                subscription.refuse(EngineUnavailable(f"Redis at {self.endpoint}: {reason_of(error)}"))
        _ = self._run(self._look_again(subscriptions), "look again")
        self._owner.on_misplaced(self, error)

    async def _look_again(self, subscriptions: list[Subscription]) -> None:
        await asyncio.sleep(_PAUSE_AFTER_REFUSAL_S * random.uniform(0.5, 1.0))
        for subscription in subscriptions:
            if self._subscriptions.get(subscription.name) is subscription:
                self._look_at(subscription)

    # whether it is alive

    async def _watch(self) -> None:
        """Publish probes and send pings, and replace a connection on which neither is heard.

        The ping tells a dead connection even when nothing can be published.
        """
        pause_s = self._options.probe_interval_s
        while True:
            if self._wire is not None:
                self._look_for_silence()
            if self._wire is not None and self._publishing is None:
                self._publishing = self._run(self._publish_probe(), "probe")
                self._publishing.add_done_callback(self._on_published)
            await asyncio.sleep(pause_s * random.uniform(0.9, 1.1))

    def _look_for_silence(self) -> None:
        assert self._wire is not None
        now_s = self._loop.time()
        timeout_s = self._options.probe_timeout_s
        if self.probe.awaited_s > timeout_s:
            self._on_lost(f"a probe was not heard within {timeout_s:g} s")
        elif self._pinged_at_s is None:
            self._pinged_at_s = now_s
            self._wire.write(_PING)
        elif now_s - self._pinged_at_s > timeout_s:
            self._on_lost(f"silent for {timeout_s:g} s")

    async def _publish_probe(self) -> None:
        try:
            await self.probe.publish()
        except HubError as error:
            # The link is not to blame. The age of the last probe tells.
            logger.debug("no probe was published: %s", error)

    def _on_published(self, _: asyncio.Task[None]) -> None:
        self._publishing = None

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = self._loop.create_task(work, name=f"redis link {self.endpoint} {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
