"""Runs scripts and commands on the primary that serves a tag, wherever that is right now.

Sends nothing twice unless the first is proven not to have run, or its caller said that twice does no
harm. An outcome that nobody knows is an error. Knows no script's meaning.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from hub.engine.redis.address import Endpoint, parse_address
from hub.engine.redis.keys import CONTROL_TAG, Keys
from hub.engine.redis.options import RedisOptions
from hub.engine.redis.pipeline import Ask, Pipeline
from hub.engine.redis.primary import Primary
from hub.engine.redis.refusals import Verdict, code_of, reason_of, redirection_of, text_of, verdict_of
from hub.engine.redis.scripts import Script
from hub.engine.redis.topology import Topology, make_topology
from hub.engine.redis.wire import pack
from hub.errors import INTERNAL, EngineUnavailable, HubError

logger = logging.getLogger(__name__)

Argument = str | bytes | int

_FIRST_PAUSE_S = 0.02
_MOST_PAUSE_S = 0.5
_REPEATS_AT_ONCE = 5

TIMED_EVERY = 16
"""One command of so many is timed."""


class CommandRefused(HubError):
    """The server answered with an error that no retry mends (WRONGTYPE, a fault in a script).

    ``code`` is the first word of the server's answer, for example ``WRONGTYPE``, ``ERR``.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(INTERNAL, detail)
        self.code = code


class Commands:
    """Scripts and commands, each on the primary that serves its tag.

    What is asked in one turn of the loop goes to a primary as one write, and is executed there
    in the order of the calls. Never blocking commands. Replies are bytes, int, list or None.
    Safe to cancel: a command that was not sent yet is dropped, a sent one runs, unheard.

    Raises:
        ValueError: the URL has none of the known forms.
    """

    def __init__(self, options: RedisOptions, keys: Keys) -> None:
        self._options = options
        self._keys = keys
        self._address = parse_address(options.url)
        self.topology: Topology = make_topology(options, self._address)
        self.topology.on_change(self._on_topology_change)
        self._primaries: dict[Endpoint, Primary] = {}
        self._by_tag: dict[str, Primary] = {}
        self._former: dict[str, tuple[Primary, str]] = {}
        self._acknowledged: set[Primary] = set()
        """Primaries that were connected when the topology was last read as a whole."""
        self._pausing: dict[Ask, asyncio.TimerHandle] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._running = False
        self.on_latency: Callable[[float], None] | None = None
        """Told how long one command of so many took, from the call to the answer."""
        self._untimed_count = 0

    @property
    def publish_verb(self) -> str:
        """``SPUBLISH`` on a Cluster, else ``PUBLISH``: scripts get it as an argument."""
        return "SPUBLISH" if self.topology.sharded else "PUBLISH"

    @property
    def tags(self) -> list[str]:
        """Every partition's tag and that of the control keys."""
        return [*self._keys.partition_tags, CONTROL_TAG]

    async def start(self) -> None:
        """Find and reach every primary.

        Raises:
            EngineUnavailable: when one cannot be reached; the text says why (password, version, ...).
        """
        self._running = True
        try:
            await self.topology.refresh()
            self._meet_primaries()
            for primary in list(self._primaries.values()):
                await primary.reached()
            self._acknowledge()
        except BaseException:
            await self.stop()
            raise
        if self._address.kind != "standalone":
            self._in_background(self._watch_topology())

    async def stop(self) -> None:
        """Close everything; what waits fails with EngineUnavailable. Idempotent."""
        self._running = False
        for task in list(self._background):
            task.cancel()
        if self._background:
            await asyncio.wait(self._background)
        await self.topology.stop()
        left = list(self._pausing)
        for timer in self._pausing.values():
            timer.cancel()
        self._pausing.clear()
        primaries, self._primaries = self._primaries, {}
        self._by_tag.clear()
        self._former.clear()
        for primary in primaries.values():
            left += await primary.stop()
        for ask in left:
            ask.fail(EngineUnavailable("the Redis engine was stopped"))

    async def run(
        self,
        tag: str,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Argument],
        *,
        repeatable: bool = False,
    ) -> Any:
        """Run ``script`` on the primary of ``tag``. All keys must carry the tag.

        ``repeatable`` says that running it twice does no harm (a read): then it is sent again when its
        connection is lost. Everything else is sent again only after an answer that proves it did not run.

        Raises:
            EngineUnavailable: no answer within ``command_timeout_s`` of this call, a lost connection,
                a full queue. Whether a write happened is unknown.
            CommandRefused: the server answered with another error.
        """
        packed = pack(("EVALSHA", script.sha, len(keys), *keys, *args))
        return await self._submit(tag, packed, script, repeatable)

    async def call(self, tag: str, *command: Argument, repeatable: bool = False) -> Any:
        """Run one command on the primary of ``tag``; else as :meth:`run`."""
        return await self._submit(tag, pack(command), None, repeatable)

    def _submit(
        self, tag: str, packed: bytes, script: Script | None, repeatable: bool
    ) -> asyncio.Future[Any]:
        if not self._running:
            raise EngineUnavailable("the Redis engine is not running")
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._options.command_timeout_s
        ask = Ask(tag, packed, script, loop.create_future(), deadline_s, repeatable)
        primary = self._by_tag.get(tag) or self._find_primary(tag)
        if primary is None:
            self._try_again(ask, "nobody knows the primary")
        else:
            primary.submit(ask)
        self._untimed_count += 1
        if self._untimed_count >= TIMED_EVERY and self.on_latency is not None:
            self._untimed_count = 0
            # The loop's own clock may count in whole milliseconds.
            ask.future.add_done_callback(partial(self._tell_latency, time.perf_counter()))
        return ask.future

    def _tell_latency(self, began_s: float, _: asyncio.Future[Any]) -> None:
        if self.on_latency is not None:
            self.on_latency(time.perf_counter() - began_s)

    def _find_primary(self, tag: str) -> Primary | None:
        endpoint = self.topology.endpoint_of(tag)
        if endpoint is None:
            return None
        primary = self._by_tag[tag] = self._primary_at(endpoint)
        return primary

    def _primary_at(self, endpoint: Endpoint) -> Primary:
        if (primary := self._primaries.get(endpoint)) is None:
            primary = Primary(endpoint, self._address, self._options, self._keys, self)
            self._primaries[endpoint] = primary
            primary.start()
        return primary

    # when a command did not run

    def _resubmit(self, ask: Ask) -> None:
        """Send it to whoever serves its tag now."""
        self._pausing.pop(ask, None)
        if ask.future.done():
            return
        if not self._running:
            ask.fail(EngineUnavailable("the Redis engine was stopped"))
            return
        primary = self._by_tag.get(ask.tag) or self._find_primary(ask.tag)
        if primary is None:
            self._try_again(ask, "nobody knows the primary")
            return
        self._submit_to(primary, ask)

    def _submit_to(self, primary: Primary, ask: Ask) -> None:
        try:
            primary.submit(ask)
        except EngineUnavailable as error:
            ask.fail(error)

    def _try_again(self, ask: Ask, why: str) -> None:
        """Send it once more, after a pause that grows; fail it when its time is over."""
        loop = asyncio.get_running_loop()
        ask.tries += 1
        pause_s = min(_FIRST_PAUSE_S * 2.0 ** min(ask.tries, 20), _MOST_PAUSE_S) * random.uniform(0.5, 1.0)
        if loop.time() + pause_s >= ask.deadline_s:
            ask.fail(EngineUnavailable(f"Redis is of no use now: {why}"))
        elif len(self._pausing) >= self._options.max_waiting_commands:
            ask.fail(EngineUnavailable(f"too many commands wait for Redis: {why}"))
        else:
            self._pausing[ask] = loop.call_later(pause_s, self._resubmit, ask)

    # PrimaryOwner

    def on_refused(self, primary: Primary, pipeline: Pipeline, ask: Ask, error: Exception) -> None:
        ask.asking = False
        match verdict_of(error):
            case Verdict.LOAD_SCRIPT if ask.script is not None and ask.tries < _REPEATS_AT_ONCE:
                ask.tries += 1
                pipeline.forget_script(ask.script.sha)
                self._resubmit(ask)
            case (Verdict.GO_THERE | Verdict.ASK_THERE) as verdict if self.topology.sharded:
                slot, endpoint = redirection_of(error, primary.endpoint)
                ask.tries += 1
                if verdict is Verdict.ASK_THERE:
                    ask.asking = True
                else:
                    self.topology.moved(slot, endpoint)
                    self.topology.refresh_soon()
                if ask.tries <= _REPEATS_AT_ONCE:
                    self._submit_to(self._primary_at(endpoint), ask)
                else:
                    ask.asking = False
                    self._try_again(ask, reason_of(error))
            case Verdict.WAIT:
                self._try_again(ask, f"{primary.endpoint}: {reason_of(error)}")
            case Verdict.NOT_PRIMARY:
                if code_of(error) != "CLUSTERDOWN":
                    primary.renew(pipeline)
                self.topology.refresh_soon()
                self._try_again(ask, f"{primary.endpoint}: {reason_of(error)}")
            case Verdict.UNAVAILABLE:
                ask.fail(EngineUnavailable(f"Redis at {primary.endpoint}: {reason_of(error)}"))
            case _:
                ask.fail(CommandRefused(code_of(error), f"Redis refused a command: {text_of(error)}"))

    def on_unreachable(self, primary: Primary) -> None:
        if self._running and self._address.kind != "standalone":
            self.topology.refresh_soon()

    def tags_of(self, endpoint: Endpoint) -> list[str]:
        return [tag for tag in self._keys.partition_tags if self.topology.endpoint_of(tag) == endpoint]

    def former_reign(self, primary: Primary, tag: str) -> str:
        """A partition that comes to a primary we have long been connected to was moved, not promoted.

        If the one it comes from is still there and is the one that adopted it, nothing can be lost.
        """
        former, reign = self._former.get(tag, (primary, ""))
        pipeline = former.pipeline
        alive = pipeline is not None and pipeline.live and pipeline.reign == reign
        # One that was promoted shows first by a redirection, before the topology is read again; and
        # one that was demoted is no longer in it afterwards. Neither handed over anything.
        both_primaries = primary in self._acknowledged and former.endpoint in self.topology.endpoints
        return reign if alive and both_primaries and former is not primary else ""

    # where the primaries are

    def _meet_primaries(self) -> None:
        for tag in self.tags:
            _ = self._find_primary(tag)

    def _on_topology_change(self) -> None:
        if not self._running:
            return
        self._note_owners()
        self._by_tag.clear()
        known = self.topology.endpoints
        unsent: list[Ask] = []
        for endpoint, primary in list(self._primaries.items()):
            if endpoint not in known:
                del self._primaries[endpoint]
                unsent += primary.retire()
                self._in_background(self._leave(primary))
            elif (pipeline := primary.pipeline) is None:
                unsent += primary.take_queued()
            else:
                pipeline.adopted.intersection_update(self.tags_of(endpoint))
        self._meet_primaries()
        self._acknowledge()
        for ask in unsent:
            self._resubmit(ask)

    def _acknowledge(self) -> None:
        """Remember who was known to be a primary when the topology was last read as a whole."""
        known = self.topology.endpoints
        self._acknowledged = {p for endpoint, p in self._primaries.items() if endpoint in known}

    def _note_owners(self) -> None:
        """Remember, before that changes, which reign has adopted each partition."""
        for tag, primary in self._by_tag.items():
            if (pipeline := primary.pipeline) is not None and tag in pipeline.adopted:
                self._former[tag] = primary, pipeline.reign

    async def _leave(self, primary: Primary) -> None:
        """Let a former primary answer what it was asked, then close."""
        await primary.finished()
        for ask in await primary.stop():
            self._resubmit(ask)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _watch_topology(self) -> None:
        """A primary that was cut off from the others may still talk to us: ask the others now and then."""
        while True:
            await asyncio.sleep(self._options.topology_interval_s * random.uniform(0.75, 1.25))
            self.topology.refresh_soon()
