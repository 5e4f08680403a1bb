"""Commands that were sent on one wire and wait for their replies, in order.

Sees to it that a script is loaded and a partition adopted before a command that needs it.
Decides nothing about errors and losses: it tells its owner.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from hub.engine.redis.keys import Keys
from hub.engine.redis.scripts import Script, load_script
from hub.engine.redis.wire import ReplyError, Wire, pack
from hub.errors import EngineUnavailable

ADOPT = load_script("adopt")

_ASKING = pack(("ASKING",))


class Ask:
    """A command from the call to the answer. Times are those of the loop's clock, in seconds."""

    __slots__ = ("asking", "deadline_s", "future", "packed", "repeatable", "script", "tag", "tries")

    def __init__(
        self,
        tag: str,
        packed: bytes,
        script: Script | None,
        future: asyncio.Future[Any],
        deadline_s: float,
        repeatable: bool,
    ) -> None:
        self.tag = tag
        self.packed = packed
        self.script = script
        self.future = future
        self.deadline_s = deadline_s
        self.repeatable = repeatable
        self.asking = False
        self.tries = 0

    def fail(self, error: Exception) -> None:
        """End it with ``error``, unless its caller has gone."""
        if not self.future.done():
            self.future.set_exception(error)


class _Aside:
    """A command of the pipeline's own; ``tag`` names the partition that it adopts."""

    __slots__ = ("tag",)

    def __init__(self, tag: str = "") -> None:
        self.tag = tag


class PipelineOwner(Protocol):
    """Who is told what a pipeline cannot settle."""

    def on_refused(self, pipeline: Pipeline, ask: Ask, error: Exception) -> None:
        """The server answered ``ask`` with an error."""
        ...

    def on_lost(self, pipeline: Pipeline, reason: str, unanswered: list[Ask], unsent: list[Ask]) -> None:
        """The wire is gone."""
        ...

    def former_reign(self, tag: str) -> str:
        """Reign of the primary that handed the partition over and is seen alive; else empty."""
        ...


class Pipeline:
    """One wire to a primary and what is under way on it."""

    def __init__(self, wire: Wire, keys: Keys, reign: str, owner: PipelineOwner) -> None:
        self.reign = reign
        self.adopted: set[str] = set()
        self.unanswered_bytes = 0
        self.done = asyncio.Event()
        """Set once nothing is under way and nothing more will be."""
        self._wire = wire
        self._keys = keys
        self._owner = owner
        self._in_flight: deque[Ask | _Aside] = deque()
        self._held: dict[str, list[Ask]] = {}
        self._loaded = {ADOPT.sha}
        self._partition_tags = frozenset(keys.partition_tags)
        self._leaving = False
        self._watched: Ask | _Aside | None = None
        self._watched_since_s = 0.0

    @property
    def live(self) -> bool:
        """Whether it still takes commands."""
        return not (self._wire.lost or self._leaving)

    @property
    def waiting_count(self) -> int:
        # Asked for with every command, and hardly ever is one held.
        held_count = sum(map(len, self._held.values())) if self._held else 0
        return len(self._in_flight) + held_count

    async def adopt(self, tags: Iterable[str], timeout_s: float) -> None:
        """Adopt the partitions on the fresh wire, before anything else is sent on it.

        A partition that turns out to be served elsewhere is left out.

        Raises:
            EngineUnavailable: when the server refuses, is lost, or does not answer.
        """
        tags = list(tags)
        commands: list[tuple[str | bytes | int, ...]] = [("SCRIPT", "LOAD", ADOPT.text)]
        commands += [("EVALSHA", ADOPT.sha, 1, self._keys.term(tag), self.reign, "") for tag in tags]
        try:
            async with asyncio.timeout(timeout_s):
                loaded, *terms = await self._wire.ask(commands)
        except (TimeoutError, ConnectionError) as error:
            raise EngineUnavailable(f"Redis was lost while its run was noted: {error}") from None
        for refusal in (loaded, *terms):
            if isinstance(refusal, ReplyError) and not str(refusal).startswith(
                ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN")
            ):
                raise EngineUnavailable(f"Redis refuses to note its run: {str(refusal)[:100]}")
        self.adopted.update(tag for tag, term in zip(tags, terms, strict=True) if isinstance(term, int))

    def open(self, on_writable: Callable[[], None]) -> bool:
        """Take commands from now on; False when the wire was lost meanwhile."""
        self._wire.on_reply = self._on_reply
        self._wire.on_lost = self._on_lost
        self._wire.on_writable = on_writable
        return not self._wire.lost

    @property
    def writable(self) -> bool:
        return not self._wire.paused

    def send(self, asks: Iterable[Ask]) -> None:
        """Send what still has a caller, as one write."""
        parts: list[bytes] = []
        in_flight, adopted, loaded = self._in_flight, self.adopted, self._loaded
        for ask in asks:
            if ask.future.done():
                continue
            if not ask.asking and ask.tag not in adopted and ask.tag in self._partition_tags:
                self._hold(ask, parts)
                continue
            script = ask.script
            if script is not None and script.sha not in loaded:
                loaded.add(script.sha)
                parts.append(pack(("SCRIPT", "LOAD", script.text)))
                in_flight.append(_Aside())
            if ask.asking:
                parts.append(_ASKING)
                in_flight.append(_Aside())
            parts.append(ask.packed)
            in_flight.append(ask)
            self.unanswered_bytes += len(ask.packed)
        if parts:
            self._wire.write(b"".join(parts))

    def forget_script(self, sha: str) -> None:
        """The server does not know it any more: load it again before its next use."""
        self._loaded.discard(sha)

    def leave(self) -> list[Ask]:
        """Take no more; close once everything sent is answered. Returns what was not sent."""
        self._leaving = True
        unsent = self._take_held()
        if not self._in_flight:
            self._finish()
        return unsent

    def abort(self) -> tuple[list[Ask], list[Ask]]:
        """Close now; nobody is told. Returns what is unanswered and what was not sent."""
        self._finish()
        unanswered = [ask for ask in self._in_flight if isinstance(ask, Ask)]
        self._in_flight.clear()
        self.unanswered_bytes = 0
        return unanswered, self._take_held()

    def fail_late(self, now_s: float, timeout_s: float) -> bool:
        """Fail what is past its deadline; True when the wire itself gave no answer for ``timeout_s``."""
        for ask in self._in_flight:
            if isinstance(ask, Ask) and ask.deadline_s <= now_s:
                ask.fail(EngineUnavailable("Redis did not answer in time; whether it happened is unknown"))
        head = self._in_flight[0] if self._in_flight else None
        if head is not self._watched:
            self._watched, self._watched_since_s = head, now_s
        return head is not None and now_s - self._watched_since_s >= timeout_s

    def _hold(self, ask: Ask, parts: list[bytes]) -> None:
        """Keep it until its partition is adopted, which the first one that needs it sets going."""
        if (held := self._held.get(ask.tag)) is not None:
            held.append(ask)
            return
        self._held[ask.tag] = [ask]
        former = self._owner.former_reign(ask.tag)
        term_key = self._keys.term(ask.tag)
        parts.append(pack(("EVALSHA", ADOPT.sha, 1, term_key, self.reign, former)))
        self._in_flight.append(_Aside(ask.tag))

    def _take_held(self) -> list[Ask]:
        held = [ask for asks in self._held.values() for ask in asks]
        self._held.clear()
        return held

    def _on_reply(self, reply: Any) -> None:
        if not self._in_flight:
            self._wire.abort()
            self._on_lost("the server said something that nobody asked for")
            return
        ask = self._in_flight.popleft()
        if isinstance(ask, Ask):
            self.unanswered_bytes -= len(ask.packed)
            if isinstance(reply, ReplyError):
                self._owner.on_refused(self, ask, reply)
            elif not ask.future.done():
                ask.future.set_result(reply)
        elif ask.tag:
            self._on_adopted(ask.tag, reply)
        if self._leaving and not self._in_flight:
            self._finish()

    def _finish(self) -> None:
        self._wire.abort()
        self.done.set()

    def _on_adopted(self, tag: str, reply: Any) -> None:
        held = self._held.pop(tag, [])
        if isinstance(reply, ReplyError):
            if str(reply).startswith("NOSCRIPT"):
                self._wire.write(pack(("SCRIPT", "LOAD", ADOPT.text)))
                self._in_flight.append(_Aside())
                self.send(held)
                return
            for ask in held:
                self._owner.on_refused(self, ask, reply)
            return
        self.adopted.add(tag)
        self.send(held)

    def _on_lost(self, reason: str) -> None:
        unanswered, unsent = self.abort()
        self._owner.on_lost(self, reason, unanswered, unsent)
