"""Reads of streams for those who join: what many ask of one channel at the same time is read once.

When a hub is gone, thousands resume the same channel here. Each needs a read that began after
it had begun to gather, so nobody is given one that was under way: whoever comes meanwhile waits for
the next, which is then for all of them. Knows the broker's port, no feed and no connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from hub.engine import Broker
from hub.errors import EngineUnavailable
from hub.model import HistoryFilter, HistoryPage, HistoryPolicy, Position


class _Ask(NamedTuple):
    wanted: HistoryFilter
    policy: HistoryPolicy
    page: asyncio.Future[HistoryPage]

    @property
    def since_offset(self) -> int:
        return 0 if self.wanted.since is None else self.wanted.since.offset


class SharedReads:
    """One read at a time for each channel, and one round of those who wait for the next."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: dict[str, list[_Ask]] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}

    async def history(self, channel: str, wanted: HistoryFilter, policy: HistoryPolicy) -> HistoryPage:
        """As :meth:`Broker.history`; the read begins after this was called.

        Raises:
            EngineUnavailable: the engine did not answer.
        """
        ask = _Ask(wanted, policy, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(channel, []).append(ask)
        if channel not in self._readers:
            # A task begins in the next turn: everybody of this one is read for together.
            self._readers[channel] = asyncio.create_task(self._read_in_rounds(channel))
        return await ask.page

    async def stop(self) -> None:
        """Read no more; whoever waits is told that the engine is away."""
        readers = list(self._readers.values())
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        # Of a reader that had not begun yet nothing runs, not even its end.
        self._readers.clear()
        for asks in self._waiting.values():
            _turn_away(asks)
        self._waiting.clear()

    async def _read_in_rounds(self, channel: str) -> None:
        asks: list[_Ask] = []
        try:
            while asks := self._waiting.pop(channel, []):
                await asyncio.gather(*(self._read(channel, together) for together in _grouped(asks)))
        finally:
            del self._readers[channel]
            _turn_away((*asks, *self._waiting.pop(channel, ())))

    async def _read(self, channel: str, asks: list[_Ask]) -> None:
        if all(ask.page.done() for ask in asks):
            return  # all of them left meanwhile
        first = asks[0]
        try:
            page = await self._broker.history(channel, _widest(asks), first.policy)
        except Exception as error:
            for ask in asks:
                if not ask.page.done():
                    ask.page.set_exception(error)
            return
        for ask in asks:
            if not ask.page.done():
                ask.page.set_result(page if len(asks) == 1 else _part(page, ask.wanted))


def _turn_away(asks: Iterable[_Ask]) -> None:
    for ask in asks:
        if not ask.page.done():
            ask.page.set_exception(EngineUnavailable())


def _grouped(asks: Iterable[_Ask]) -> list[list[_Ask]]:
    """Those that one read can serve: equal ones, positions alone, and cursors that are not far apart."""
    equal: dict[tuple[HistoryFilter, HistoryPolicy], list[_Ask]] = {}
    cursors: dict[HistoryPolicy, list[_Ask]] = {}
    tops: list[_Ask] = []
    for ask in asks:
        if ask.wanted.limit == 0:
            tops.append(ask)
        elif ask.wanted.reverse or ask.wanted.since is None or ask.wanted.limit < 0:
            equal.setdefault((ask.wanted, ask.policy), []).append(ask)
        else:
            cursors.setdefault(ask.policy, []).append(ask)
    groups = list(equal.values())
    for of_policy in cursors.values():
        of_policy.sort(key=lambda ask: ask.since_offset)
        groups += _near(of_policy)
    for ask in tops:
        # Every page carries the top.
        fitting = next((group for group in groups if group[0].policy == ask.policy), None)
        if fitting is None:
            groups.append([ask])
        else:
            fitting.append(ask)
    return groups


def _near(sorted_asks: Iterable[_Ask]) -> list[list[_Ask]]:
    """Cursors in one group are so near to each other that reading for all at most doubles a page."""
    groups: list[list[_Ask]] = []
    for ask in sorted_asks:
        if groups and ask.since_offset - groups[-1][0].since_offset <= groups[-1][0].wanted.limit:
            groups[-1].append(ask)
        else:
            groups.append([ask])
    return groups


def _widest(asks: list[_Ask]) -> HistoryFilter:
    """What covers all of a group, whose first asks for the oldest."""
    first = asks[0].wanted
    if first.since is None or first.reverse or first.limit == 0:
        return first
    limit = max(ask.since_offset - first.since.offset + ask.wanted.limit for ask in asks if ask.wanted.limit)
    return HistoryFilter(limit, Position(first.since.offset, first.since.epoch))


def _part(page: HistoryPage, wanted: HistoryFilter) -> HistoryPage:
    """What the read of ``wanted`` alone would have given."""
    if wanted.limit == 0:
        return HistoryPage((), page.top)
    if wanted.reverse or wanted.since is None or wanted.limit < 0:
        return page
    after = wanted.since.offset
    found = page.publications
    # Mostly all of it or nothing; a page is in the order of offsets.
    if found and found[0].offset <= after:
        found = tuple(publication for publication in found if publication.offset > after)
    return (
        page
        if found is page.publications and len(found) <= wanted.limit
        else HistoryPage(found[: wanted.limit], page.top)
    )
