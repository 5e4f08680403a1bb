"""Dead letters over Redis: a stream for each lane in each partition, read as one, oldest first.

A letter lies with the user it is for, so that owing it again is one step. Knows no provider.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from hub.delivery.model import DeadLetter, DeadLetterPage
from hub.engine.redis.ledger_scripts import DEAD_TTL_S, UserScripts
from hub.engine.redis.scripts import load_script

_READ = load_script("clock", "dead_read")
_NAME = re.compile(r"([0-9]{1,20})-([0-9]{1,20}):([^:]+):(.+)", re.DOTALL)
_BATCH_COUNT = 500
"""Letters that one step looks at, whatever a caller names."""


class _Name(NamedTuple):
    """A letter's place; names sort by time."""

    ms: int
    number: int
    tag: str
    lane: str

    @property
    def entry(self) -> str:
        return f"{self.ms}-{self.number}"

    def text(self) -> str:
        return f"{self.entry}:{self.tag}:{self.lane}"


def _parse(text: str) -> _Name | None:
    """The place that a letter's id names; None where it is no such id."""
    found = _NAME.fullmatch(text)
    if found is None:
        return None
    ms, number = int(found[1]), int(found[2])
    # No server takes a larger one.
    return _Name(ms, number, found[3], found[4]) if max(ms, number) < 2**64 else None


class DeadLetters:
    """The letters of all lanes."""

    def __init__(self, users: UserScripts) -> None:
        self._users = users
        self._commands = users.commands
        self._keys = users.keys

    async def page(self, lane: str | None, cursor: str, limit: int) -> DeadLetterPage:
        """As :meth:`hub.engine.Ledger.dead_letters`."""
        after = _parse(cursor) if cursor else None
        tags = self._keys.partition_tags
        lanes = [[lane]] * len(tags) if lane is not None else await asyncio.gather(*map(self._lanes, tags))
        reads = [
            self._read(tag, each, after, limit + 1)
            for tag, some in zip(tags, lanes, strict=True)
            for each in some
        ]
        found = sorted(letter for letters in await asyncio.gather(*reads) for letter in letters)
        letters = tuple(_letter(name, fields) for name, fields in found[:limit])
        return DeadLetterPage(letters, letters[-1].id if len(found) > limit and letters else "")

    async def _lanes(self, tag: str) -> list[str]:
        found = await self._commands.call(tag, "SMEMBERS", self._keys.dead_lanes(tag), repeatable=True)
        return [lane.decode() for lane in found]

    async def _read(
        self, tag: str, lane: str, after: _Name | None, count: int
    ) -> list[tuple[_Name, list[bytes]]]:
        start = "-" if after is None else after.entry
        # One more: that at which the last page ended may be of this very lane.
        args = [self._users.now(), start, count + 1, DEAD_TTL_S]
        found = await self._commands.run(tag, _READ, [self._keys.dead(tag, lane)], args, repeatable=True)
        letters = []
        for entry, fields in found:
            ms, _, number = entry.decode().partition("-")
            name = _Name(int(ms), int(number), tag, lane)
            if after is None or name > after:
                letters.append((name, fields))
        return letters

    async def replay(self, ids: Sequence[str]) -> int:
        """Owe again what can be sent, and drop the letters."""
        count = 0
        for some in _batches(ids):
            counts = await asyncio.gather(
                *(
                    self._users.run_at(tag, "dead_replay", self._keys.dead(tag, lane), " ".join(entries))
                    for (tag, lane), entries in self._by_place(some).items()
                )
            )
            count += sum(counts)
        return count

    async def drop(self, ids: Sequence[str]) -> int:
        """Forget the letters."""
        count = 0
        for some in _batches(ids):
            counts = await asyncio.gather(
                *(
                    self._commands.call(tag, "XDEL", self._keys.dead(tag, lane), *entries)
                    for (tag, lane), entries in self._by_place(some).items()
                )
            )
            count += sum(counts)
        return count

    async def forget(self, owner: str) -> None:
        """Drop the letters of a user."""
        tag = self._keys.tag_of(owner)
        for lane in await self._lanes(tag):
            after: _Name | None = None
            while letters := await self._read(tag, lane, after, _BATCH_COUNT):
                after = letters[-1][0]
                own = [name.entry for name, fields in letters if _as_dict(fields).get("owner") == owner]
                if own:
                    await self._commands.call(tag, "XDEL", self._keys.dead(tag, lane), *own)

    def _by_place(self, ids: Iterable[str]) -> dict[tuple[str, str], list[str]]:
        known = set(self._keys.partition_tags)
        places: dict[tuple[str, str], list[str]] = defaultdict(list)
        for text in ids:
            name = _parse(text)
            if name is not None and name.tag in known:
                places[name.tag, name.lane].append(name.entry)
        return places


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[first : first + _BATCH_COUNT] for first in range(0, len(ids), _BATCH_COUNT))


def _as_dict(fields: list[Any]) -> dict[str, str]:
    texts = [field.decode() for field in fields]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _letter(name: _Name, fields: list[Any]) -> DeadLetter:
    told = _as_dict(fields)
    return DeadLetter(
        id=name.text(),
        lane=name.lane,
        user=told["user"],
        device=told["device"],
        notification=told["id"],
        offset=int(told["offset"]),
        reason=told["reason"],
        time_ms=int(told["time"]),
    )
