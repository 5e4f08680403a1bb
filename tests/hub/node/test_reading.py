"""Reads that are shared: as few as can be, and each as if it were alone."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.engine import Broker
from hub.errors import EngineUnavailable
from hub.model import HistoryFilter, HistoryPage, HistoryPolicy, Position, Publication
from hub.node.reading import SharedReads

POLICY = HistoryPolicy(size=100, ttl_s=60)
OTHER_POLICY = HistoryPolicy(size=10, ttl_s=60)


class Stream:
    """A stream of publications, some of them trimmed; reads end only when the gate is open."""

    def __init__(self, oldest: int = 1, top: int = 0) -> None:
        self.kept = [Publication(data=b"%d" % offset, offset=offset) for offset in range(oldest, top + 1)]
        self.top = Position(top, "e")
        self.reads: list[HistoryFilter] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = False

    def read(self, wanted: HistoryFilter) -> HistoryPage:
        """What a read at this moment gives."""
        found = self.kept
        if wanted.reverse:
            found = found[::-1]
        elif wanted.since is not None:
            found = [each for each in found if each.offset > wanted.since.offset]
        return HistoryPage(tuple(found if wanted.limit < 0 else found[: wanted.limit]), self.top)

    async def history(self, channel: str, wanted: HistoryFilter, policy: HistoryPolicy) -> HistoryPage:
        """As the port's."""
        self.reads.append(wanted)
        page = self.read(wanted)
        await self.gate.wait()
        if self.fails:
            raise EngineUnavailable
        return page


def shared(stream: Stream) -> SharedReads:
    """What is tested, over ``stream``."""
    return SharedReads(cast(Broker, stream))


def since(offset: int, limit: int = 301) -> HistoryFilter:
    """What a client at ``offset`` asks for."""
    return HistoryFilter(limit, Position(offset, "e"))


async def test_many_who_resume_at_once_cost_one_read() -> None:
    """A thousand phones with cursors near to each other are served out of one page."""
    stream = Stream(top=90)
    reads = shared(stream)
    cursors = [60 + number % 30 for number in range(1_000)]
    pages = await asyncio.gather(*(reads.history("room", since(cursor), POLICY) for cursor in cursors))
    assert len(stream.reads) == 1
    for cursor, page in zip(cursors, pages, strict=True):
        assert [each.offset for each in page.publications] == list(range(cursor + 1, 91))


async def test_who_comes_while_a_read_is_under_way_is_not_given_it() -> None:
    """It may have begun before the newcomer gathered: what was published in between would be lost."""
    stream = Stream(top=5)
    stream.gate.clear()
    reads = shared(stream)
    early = asyncio.create_task(reads.history("room", since(3), POLICY))
    while not stream.reads:  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0)
    stream.kept.append(Publication(data=b"6", offset=6))
    stream.top = Position(6, "e")
    late = [asyncio.create_task(reads.history("room", since(3), POLICY)) for _ in range(50)]
    await asyncio.sleep(0)
    assert len(stream.reads) == 1, "one read at a time"
    stream.gate.set()
    assert [each.offset for each in (await early).publications] == [4, 5]
    for page in await asyncio.gather(*late):
        assert [each.offset for each in page.publications] == [4, 5, 6]
    assert len(stream.reads) == 2, "all who came meanwhile share the next"


async def test_tops_are_read_with_whatever_is_read() -> None:
    """Who wants no publication needs no read of its own."""
    stream = Stream(top=5)
    reads = shared(stream)
    page, top, other = await asyncio.gather(
        reads.history("room", since(3), POLICY),
        reads.history("room", HistoryFilter(), POLICY),
        reads.history("room", HistoryFilter(), POLICY),
    )
    assert len(stream.reads) == 1
    assert page.publications
    assert top == other == HistoryPage((), Position(5, "e"))


async def test_a_cursor_that_is_far_away_makes_nobodys_page_longer() -> None:
    """One who claims to be at the beginning is read for apart."""
    stream = Stream(top=1_000)
    reads = shared(stream)
    await asyncio.gather(
        *(reads.history("room", since(cursor, limit=11), POLICY) for cursor in (0, 990, 995, 2**63))
    )
    assert sorted(wanted.limit for wanted in stream.reads) == [11, 11, 16]


async def test_what_cannot_be_shared_is_read_apart() -> None:
    """Other policies, backward reads, and other channels."""
    stream = Stream(top=5)
    reads = shared(stream)
    newest = HistoryFilter(limit=1, reverse=True)
    pages = await asyncio.gather(
        reads.history("room", since(3), POLICY),
        reads.history("room", since(3), OTHER_POLICY),
        reads.history("hall", since(3), POLICY),
        reads.history("room", newest, POLICY),
        reads.history("room", newest, POLICY),
    )
    assert len(stream.reads) == 4
    assert [each.offset for each in pages[3].publications] == [5]


async def test_a_read_that_fails_fails_for_those_who_shared_it_and_nobody_later() -> None:
    """The next round reads anew."""
    stream = Stream(top=5)
    stream.fails = True
    reads = shared(stream)
    outcomes = await asyncio.gather(
        *(reads.history("room", since(3), POLICY) for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(outcome, EngineUnavailable) for outcome in outcomes)
    stream.fails = False
    assert (await reads.history("room", since(4), POLICY)).publications


async def test_who_leaves_while_waiting_disturbs_nobody() -> None:
    """The read goes on for the others; nothing is read for those who all left."""
    stream = Stream(top=5)
    stream.gate.clear()
    reads = shared(stream)
    gone, stays = (asyncio.create_task(reads.history("room", since(3), POLICY)) for _ in range(2))
    while not stream.reads:  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0)
    gone.cancel()
    late = asyncio.create_task(reads.history("room", since(3), POLICY))
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.gather(gone, late, return_exceptions=True)
    stream.gate.set()
    assert (await stays).publications
    await asyncio.sleep(0)
    assert len(stream.reads) == 1


async def test_stopping_tells_those_who_wait() -> None:
    """Nobody is left waiting for a read that never ends."""
    stream = Stream(top=5)
    stream.gate.clear()
    reads = shared(stream)
    waiting = [asyncio.create_task(reads.history("room", since(3), POLICY))]
    while not stream.reads:  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0)
    waiting.append(asyncio.create_task(reads.history("room", since(3), POLICY)))
    await asyncio.sleep(0)
    await reads.stop()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, EngineUnavailable) for outcome in outcomes)


async def test_stopping_tells_those_whose_read_has_not_begun() -> None:
    """A task that is cancelled before its first turn runs nothing at all."""
    reads = shared(Stream(top=5))
    waiting = asyncio.create_task(reads.history("room", since(3), POLICY))
    await asyncio.sleep(0)
    await reads.stop()
    async with asyncio.timeout(1):
        with pytest.raises(EngineUnavailable):
            await waiting


filters = st.one_of(
    st.just(HistoryFilter()),
    st.builds(since, st.integers(0, 60), st.integers(1, 12)),
    st.builds(HistoryFilter, st.integers(-1, 5), st.none(), st.booleans()),
)


@given(st.integers(0, 50), st.integers(1, 50), st.lists(filters, min_size=1, max_size=20))
@pytest.mark.filterwarnings("error")
def test_a_shared_read_gives_what_reading_alone_would_have_given(
    top: int, oldest: int, wanted: list[HistoryFilter]
) -> None:
    """Whatever is asked together, and however much the stream has lost."""

    async def ask_together() -> None:
        stream = Stream(oldest, top)
        reads = shared(stream)
        pages = await asyncio.gather(*(reads.history("room", each, POLICY) for each in wanted))
        assert pages == [stream.read(each) for each in wanted]
        assert len(stream.reads) <= len(set(wanted))

    asyncio.run(ask_together())
