"""When the next row of each lane is due, as a worker knows it without asking again and again.

Fed by what scripts tell the partition's workers, by each claim, and by a look at all partitions now and then,
for what was told while nobody could hear. Knows no row.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from hub.engine.ledger import OnWake
from hub.engine.redis.commands import Commands
from hub.engine.redis.keys import Keys
from hub.engine.redis.link import Link
from hub.engine.redis.scripts import load_script
from hub.errors import EngineUnavailable

log = logging.getLogger(__name__)

SURVEY_EVERY_S = 5.0
"""How long a row may be due unnoticed when its wake was lost without a trace."""

_RETRY_AFTER_S = 1.0

_SURVEY = load_script("clock", "due_survey")


class DueTimes:
    """The next due time of each lane in each partition, in ms of the server's clock.

    ``now_ms`` replaces that clock, and is for tests alone.
    """

    def __init__(
        self,
        commands: Commands,
        link: Link,
        keys: Keys,
        *,
        now_ms: Callable[[], int] | None = None,
        survey_every_s: float = SURVEY_EVERY_S,
    ) -> None:
        self._commands = commands
        self._link = link
        self._keys = keys
        self._now_ms = now_ms
        self._survey_every_s = survey_every_s
        self._ahead_ms = 0
        self._lanes: frozenset[str] = frozenset()
        self._on_wake: OnWake | None = None
        self._times: dict[str, dict[str, int]] = {}
        self._woken: dict[tuple[str, str], tuple[int, int]] = {}
        self._wake_count = 0
        self._tags_by_name = {keys.wake(tag): tag for tag in keys.partition_tags}
        self._survey_now = asyncio.Event()
        self._surveyor: asyncio.Task[None] | None = None

    # being told

    async def watch(self, lanes: Collection[str], on_wake: OnWake) -> None:
        """Keep the times of these lanes, and tell ``on_wake``. Replaces a former watch.

        Raises:
            EngineUnavailable: it could not be begun; calling again goes on where it stopped.
        """
        self._on_wake = on_wake
        self._lanes = frozenset(lanes)
        subscribing = (self._link.subscribe(tag, name, self, tag) for name, tag in self._tags_by_name.items())
        for answer in await asyncio.gather(*subscribing, return_exceptions=True):
            if isinstance(answer, BaseException):
                self._lanes = frozenset()
                raise answer
        await self.survey(self._lanes)
        if self._surveyor is None:
            self._surveyor = asyncio.create_task(self._survey_forever(), name="due survey")
        self._tell_nearer({})

    async def stop(self) -> None:
        """Keep nothing any more. Idempotent."""
        if self._surveyor is not None:
            self._surveyor.cancel()
            await asyncio.gather(self._surveyor, return_exceptions=True)
            self._surveyor = None
        if self._on_wake is not None:
            for name in self._tags_by_name:
                self._link.unsubscribe(name)
        self._lanes, self._on_wake = frozenset(), None
        self._times.clear()
        self._woken.clear()

    def on_message(self, channel: str, payload: bytes) -> None:
        """A script says that a lane's next row is due earlier than before, or that a job waits."""
        lane_bytes, _, due_text = payload.rpartition(b" ")
        lane = lane_bytes.decode(errors="replace")
        if not lane:
            self._tell("")
        elif lane in self._lanes and due_text.isdigit():
            due_ms = int(due_text)
            self._wake_count += 1
            self._woken[lane, channel] = (self._wake_count, due_ms)
            times = self._times.setdefault(lane, {})
            known_ms = times.get(channel)
            if known_ms is None or due_ms < known_ms:
                times[channel] = due_ms
                self._tell(lane)

    def on_doubt(self, channels: Collection[str]) -> None:
        """Something may have been told while nobody heard it."""
        self._survey_now.set()

    def _tell(self, lane: str) -> None:
        if self._on_wake is not None:
            try:
                self._on_wake(lane)
            except Exception:
                log.exception("telling a worker of a wake failed")

    def _tell_nearer(self, known_ms: Mapping[str, int | None]) -> None:
        """Tell of the lanes that are due now, or earlier than was known."""
        now_ms = self.now_ms
        for lane in self._lanes:
            next_ms, before_ms = self.next_ms(lane), known_ms.get(lane)
            if next_ms is not None and (before_ms is None or next_ms < before_ms or next_ms <= now_ms):
                self._tell(lane)

    # looking

    async def _survey_forever(self) -> None:
        pause_s = self._survey_every_s
        while True:
            try:
                async with asyncio.timeout(pause_s * random.uniform(0.75, 1.25)):
                    await self._survey_now.wait()
            except TimeoutError:
                pass
            self._survey_now.clear()
            known_ms = {lane: self.next_ms(lane) for lane in self._lanes}
            try:
                await self.survey(self._lanes)
            except EngineUnavailable:
                pause_s = min(_RETRY_AFTER_S, self._survey_every_s)
            except Exception:
                log.exception("looking for rows that are due failed; looking again")
                pause_s = self._survey_every_s
            else:
                pause_s = self._survey_every_s
            self._tell_nearer(known_ms)
            # Whether a job waits is not looked at here, but whoever is told does.
            self._tell("")

    async def survey(self, lanes: Collection[str]) -> None:
        """Read the times of these lanes in all partitions.

        Raises:
            EngineUnavailable: some partition could not be read; the others were.
        """
        asked = sorted(lanes)
        if not asked:
            return
        tags = self._keys.partition_tags
        answers = await asyncio.gather(*(self._look(tag, asked) for tag in tags), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def _look(self, tag: str, lanes: Sequence[str]) -> None:
        mark, asked_at_ms = self.mark, self._local_ms()
        names = [self._keys.due(tag, lane) for lane in lanes]
        now = "" if self._now_ms is None else self._now_ms()
        server_ms, *times = await self._commands.run(tag, _SURVEY, names, [now], repeatable=True)
        self._ahead_ms = server_ms - asked_at_ms
        for lane, due in zip(lanes, times, strict=True):
            self.note(lane, tag, due if isinstance(due, int) else None, mark)

    # what is known

    @property
    def now_ms(self) -> int:
        """The server's time, as near as it is known; not behind it by more than a round trip."""
        return self._local_ms() + self._ahead_ms if self._now_ms is None else self._now_ms()

    @property
    def mark(self) -> int:
        """To be given to :meth:`note` with an answer; taken before its question is asked."""
        return self._wake_count

    def note(self, lane: str, tag: str, due_ms: int | None, mark: int) -> None:
        """A partition's next due time, as an answer says. What was told since the question still counts."""
        count, woken_ms = self._woken.get((lane, tag), (0, 0))
        if count > mark:
            due_ms = woken_ms if due_ms is None else min(due_ms, woken_ms)
        times = self._times.setdefault(lane, {})
        if due_ms is None:
            times.pop(tag, None)
        else:
            times[tag] = due_ms

    def put_off(self, lane: str, tag: str) -> None:
        """A partition did not answer: leave it alone for a little while."""
        self._times.setdefault(lane, {})[tag] = self.now_ms + round(_RETRY_AFTER_S * 1000)

    async def know(self, lane: str) -> None:
        """See to it that the lane's times are known."""
        if lane not in self._lanes:
            await self.survey([lane])

    def due_tags(self, lane: str) -> list[str]:
        """Partitions in which a row of the lane is due now, longest waiting first."""
        now_ms = self.now_ms
        due = sorted((due_ms, tag) for tag, due_ms in self._times.get(lane, {}).items() if due_ms <= now_ms)
        return [tag for _, tag in due]

    def next_ms(self, lane: str) -> int | None:
        """When the lane's next row is due in any partition; None for none known."""
        return min(self._times.get(lane, {}).values(), default=None)

    async def oldest_ms(self, lane: str) -> int | None:
        """Since when the longest waiting row of the lane is due; None when none is due."""
        times: list[int] = []
        now_ms = 0

        async def look(tag: str) -> None:
            nonlocal now_ms
            now: int | str = "" if self._now_ms is None else self._now_ms()
            answer: list[Any] = await self._commands.run(
                tag, _SURVEY, [self._keys.due(tag, lane)], [now], repeatable=True
            )
            now_ms = max(now_ms, answer[0])
            if isinstance(answer[1], int):
                times.append(answer[1])

        for answer in await asyncio.gather(*map(look, self._keys.partition_tags), return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
        oldest_ms = min(times, default=None)
        return oldest_ms if oldest_ms is not None and oldest_ms <= now_ms else None

    async def count(self, lane: str) -> int:
        """How many rows of the lane are due now or later, over all partitions."""
        names = ((tag, self._keys.due(tag, lane)) for tag in self._keys.partition_tags)
        asked = (self._commands.call(tag, "ZCARD", name, repeatable=True) for tag, name in names)
        return sum(await asyncio.gather(*asked))

    @staticmethod
    def _local_ms() -> int:
        return int(asyncio.get_running_loop().time() * 1000)
