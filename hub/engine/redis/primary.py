"""One primary: the queue of commands for it, and the connection that is kept to it.

Gathers what is asked in one turn of the loop into one write. Fails what waits too long, and
everything at once while the primary is known to be gone. Does not know where else a command could go.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from hub.engine.redis.address import Endpoint, RedisAddress
from hub.engine.redis.backoff import Backoff
from hub.engine.redis.connecting import open_primary
from hub.engine.redis.keys import Keys
from hub.engine.redis.options import RedisOptions
from hub.engine.redis.pipeline import Ask, Pipeline
from hub.errors import EngineUnavailable

logger = logging.getLogger(__name__)

_LOOKS_PER_TIMEOUT = 10
_STEADY_S = 2.0
"""A connection that lasted this long was no accident; after a shorter one the pauses go on growing."""


class PrimaryOwner(Protocol):
    """Who decides about refusals and knows where the primaries are."""

    def on_refused(self, primary: Primary, pipeline: Pipeline, ask: Ask, error: Exception) -> None:
        """The server answered ``ask`` with an error."""
        ...

    def on_unreachable(self, primary: Primary) -> None:
        """It was lost, or could not be reached once more."""
        ...

    def tags_of(self, endpoint: Endpoint) -> list[str]:
        """The partitions it serves, as far as is known."""
        ...

    def former_reign(self, primary: Primary, tag: str) -> str:
        """Reign of another primary that handed the partition over and is seen alive; else empty."""
        ...


class Primary:
    """The way to one primary. :meth:`start` begins to keep a connection to it, :meth:`stop` ends it."""

    def __init__(
        self,
        endpoint: Endpoint,
        address: RedisAddress,
        options: RedisOptions,
        keys: Keys,
        owner: PrimaryOwner,
    ) -> None:
        self.endpoint = endpoint
        self.trouble = ""
        """Why there is no connection, for people; empty while there is one."""
        self._address = address
        self._options = options
        self._keys = keys
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._pipeline: Pipeline | None = None
        self._queue: list[Ask] = []
        self._queued_bytes = 0
        self._flushing = False
        self._looking: asyncio.TimerHandle | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._gone_since_s: float | None = None
        self._gone = asyncio.Event()
        self._leaving: dict[Pipeline, asyncio.TimerHandle] = {}
        self._connected = self._loop.create_future()

    @property
    def pipeline(self) -> Pipeline | None:
        """The connection in use, if there is one."""
        return self._pipeline

    def start(self) -> None:
        """Begin to keep a connection. Idempotent."""
        if self._keeping is None:
            self._gone_since_s = self._loop.time()
            self._keeping = asyncio.create_task(self._keep(), name=f"redis primary {self.endpoint}")

    async def reached(self) -> None:
        """Return once the first connection stands.

        Raises:
            EngineUnavailable: when the first try failed. It is tried again all the same.
        """
        await asyncio.shield(self._connected)

    def submit(self, ask: Ask) -> None:
        """Send it with whatever else is asked in this turn of the loop.

        Raises:
            EngineUnavailable: when too much waits already, or the primary has been gone for too long.
        """
        waiting = self._waiting_count
        options = self._options
        if waiting >= options.max_waiting_commands or self._waiting_bytes >= options.max_waiting_bytes:
            raise EngineUnavailable(f"too many commands wait for Redis at {self.endpoint}")
        if (
            self._gone_since_s is not None
            and self._loop.time() - self._gone_since_s >= options.command_timeout_s
        ):
            raise EngineUnavailable(f"Redis at {self.endpoint} is gone: {self.trouble}")
        self._queue.append(ask)
        self._queued_bytes += len(ask.packed)
        self._flush_soon()

    def take_queued(self) -> list[Ask]:
        """Everything that was not sent yet, taken out of here."""
        queued, self._queue = self._queue, []
        self._queued_bytes = 0
        return queued

    def renew(self, pipeline: Pipeline) -> None:
        """Open a new connection in place of ``pipeline``, which may still answer what it was asked."""
        if pipeline is self._pipeline:
            self._requeue(pipeline.leave())
            self._end_later(pipeline)
            self._be_gone("it is no primary any more", 0.0)

    def retire(self) -> list[Ask]:
        """Take no more, open no connection, but let what was sent be answered. Returns what was not sent."""
        if self._keeping is not None:
            self._keeping.cancel()
        unsent = self.take_queued()
        if (pipeline := self._pipeline) is not None:
            self._pipeline = None
            unsent = pipeline.leave() + unsent
            self._end_later(pipeline)
        return unsent

    async def finished(self) -> None:
        """Return once everything that was sent before :meth:`retire` was answered or given up."""
        await asyncio.gather(*(pipeline.done.wait() for pipeline in self._leaving))

    async def stop(self) -> list[Ask]:
        """Close at once; what was sent fails. Returns what was not sent. Idempotent."""
        if (keeping := self._keeping) is not None:
            keeping.cancel()
            await asyncio.wait([keeping])
        for leaving in list(self._leaving):
            self._end(leaving)
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        if (pipeline := self._pipeline) is not None:
            self._pipeline = None
            unanswered, unsent = pipeline.abort()
            self._settle_unanswered(unanswered, "the connection was closed")
            self._requeue(unsent)
        if not self._connected.done():
            self._connected.set_exception(EngineUnavailable("the Redis engine was stopped"))
            self._connected.exception()
        return self.take_queued()

    # PipelineOwner

    def on_refused(self, pipeline: Pipeline, ask: Ask, error: Exception) -> None:
        self._owner.on_refused(self, pipeline, ask, error)

    def on_lost(self, pipeline: Pipeline, reason: str, unanswered: list[Ask], unsent: list[Ask]) -> None:
        self._requeue(unsent)
        self._settle_unanswered(unanswered, reason)
        if pipeline is self._pipeline:
            self._be_gone(reason, 0.0)

    def former_reign(self, tag: str) -> str:
        return self._owner.former_reign(self, tag)

    # inside

    @property
    def _waiting_count(self) -> int:
        return len(self._queue) + (self._pipeline.waiting_count if self._pipeline is not None else 0)

    @property
    def _waiting_bytes(self) -> int:
        sent = self._pipeline.unanswered_bytes if self._pipeline is not None else 0
        return self._queued_bytes + sent

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)
        if self._looking is None:
            self._look_later()

    def _flush(self) -> None:
        self._flushing = False
        if (pipeline := self._pipeline) is not None and pipeline.writable and self._queue:
            pipeline.send(self.take_queued())

    def _settle_unanswered(self, unanswered: list[Ask], reason: str) -> None:
        """Sent but not answered: only what may run twice is sent again."""
        again = []
        for ask in unanswered:
            if ask.repeatable and not ask.future.done():
                again.append(ask)
            else:
                ask.fail(
                    EngineUnavailable(
                        f"Redis at {self.endpoint} was lost: {reason}; whether it happened is unknown"
                    )
                )
        self._requeue(again)

    def _requeue(self, asks: list[Ask]) -> None:
        """Put asks back before all others: they were asked first."""
        if asks:
            self._queue[:0] = asks
            self._queued_bytes += sum(len(ask.packed) for ask in asks)
            self._flush_soon()

    def _end_later(self, pipeline: Pipeline) -> None:
        """A pipeline that leaves gets as long as a command may take."""
        self._leaving[pipeline] = self._loop.call_later(self._options.command_timeout_s, self._end, pipeline)

    def _end(self, pipeline: Pipeline) -> None:
        self._leaving.pop(pipeline).cancel()
        unanswered, _ = pipeline.abort()
        self._settle_unanswered(unanswered, "the connection was closed")

    def _be_gone(self, reason: str, for_s: float) -> None:
        self._pipeline = None
        self.trouble = reason
        self._gone_since_s = self._loop.time() - for_s
        self._gone.set()
        logger.warning("lost Redis at %s: %s", self.endpoint, reason)
        self._owner.on_unreachable(self)

    async def _keep(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._connect()
            except EngineUnavailable as error:
                self._note_failure(error)
                await asyncio.sleep(backoff.next_s())
                continue
            except Exception:
                logger.exception("connecting to Redis at %s failed in a way nobody foresaw", self.endpoint)
                self._note_failure(EngineUnavailable(f"cannot connect to Redis at {self.endpoint}"))
                await asyncio.sleep(backoff.next_s())
                continue
            connected_at_s = self._loop.time()
            await self._gone.wait()
            if self._loop.time() - connected_at_s >= _STEADY_S:
                backoff.reset()
            await asyncio.sleep(backoff.next_s())

    async def _connect(self) -> None:
        options = self._options
        wire, server = await open_primary(self._address, self.endpoint, timeout_s=options.connect_timeout_s)
        try:
            pipeline = Pipeline(wire, self._keys, server.reign, self)
            await pipeline.adopt(self._owner.tags_of(self.endpoint), options.connect_timeout_s)
            if not pipeline.open(self._flush):
                raise EngineUnavailable(f"Redis at {self.endpoint} closed the connection")
        except BaseException:
            wire.abort()
            raise
        if self.trouble:
            logger.info("Redis at %s is back", self.endpoint)
        self.trouble = ""
        self._gone_since_s = None
        self._gone.clear()
        self._pipeline = pipeline
        if not self._connected.done():
            self._connected.set_result(None)
        self._flush()

    def _note_failure(self, error: EngineUnavailable) -> None:
        if error.detail != self.trouble:
            logger.warning("%s", error.detail)
        self.trouble = error.detail
        if not self._connected.done():
            self._connected.set_exception(error)
            self._connected.exception()  # whether anybody waits for it or not
        self._owner.on_unreachable(self)

    def _look_later(self) -> None:
        pause_s = min(self._options.command_timeout_s / _LOOKS_PER_TIMEOUT, 0.5)
        self._looking = self._loop.call_later(pause_s, self._look)

    def _look(self) -> None:
        """Fail what is late. Runs only while something waits."""
        self._looking = None
        now_s = self._loop.time()
        timeout_s = self._options.command_timeout_s
        if (pipeline := self._pipeline) is not None and pipeline.fail_late(now_s, timeout_s):
            unanswered, unsent = pipeline.abort()
            self._requeue(unsent)
            self._settle_unanswered(unanswered, f"no answer within {timeout_s:g} s")
            self._be_gone(f"it did not answer within {timeout_s:g} s", timeout_s)
        self._fail_late_in_queue(now_s)
        if self._waiting_count:
            self._look_later()

    def _fail_late_in_queue(self, now_s: float) -> None:
        waiting = []
        for ask in self.take_queued():
            if ask.future.done():
                continue
            if ask.deadline_s <= now_s:
                ask.fail(EngineUnavailable(f"Redis at {self.endpoint} is gone: {self.trouble or 'too busy'}"))
                continue
            waiting.append(ask)
            self._queued_bytes += len(ask.packed)
        self._queue[:0] = waiting
