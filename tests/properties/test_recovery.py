"""Recovery: whatever happens between a cursor and live, no gap, nothing twice, in order, or an honest no."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.model import HistoryPage, Position, Publication
from hub.session import Gap, catch_up, may_be_missing, recover, recover_cache, wanted_for_stream

EPOCH = "e"
LIMIT = 20


def publications(first: int, last: int) -> tuple[Publication, ...]:
    """The stored publications ``first`` to ``last``."""
    return tuple(Publication(b"%d" % offset, offset=offset) for offset in range(first, last + 1))


def read(kept_from: int, top: int, cursor: Position | None) -> HistoryPage:
    """What an engine that still keeps ``kept_from`` to ``top`` answers to a client at ``cursor``."""
    wanted = wanted_for_stream(cursor, LIMIT)
    start = max(kept_from, wanted.since.offset + 1) if wanted.since is not None else kept_from
    found = publications(start, top)[: wanted.limit] if wanted.limit else ()
    return HistoryPage(found, Position(top, EPOCH))


@st.composite
def resumes(draw: st.DrawFn) -> tuple[int, int, Position | None]:
    """A stream that keeps some of what it had, and a cursor anywhere."""
    top = draw(st.integers(0, 60))
    kept_from = draw(st.integers(1, top + 1))
    cursor = draw(
        st.none() | st.builds(Position, st.integers(0, 70), st.sampled_from([EPOCH, "", "another"]))
    )
    return kept_from, top, cursor


@settings(max_examples=500)
@given(resumes(), st.integers(0, 8))
def test_a_resume_is_complete_or_says_that_it_is_not(
    resume: tuple[int, int, Position | None], live_count: int
) -> None:
    """A complete one ends exactly at the top; an incomplete one gives nothing and starts at the top."""
    kept_from, top, cursor = resume
    recovered = recover(cursor, read(kept_from, top, cursor), LIMIT)
    offsets = [p.offset for p in recovered.publications]
    if recovered.complete:
        assert cursor is not None
        assert cursor.epoch in (EPOCH, "")
        assert offsets == list(range(cursor.offset + 1, top + 1))
        assert recovered.position == Position(cursor.offset, EPOCH)
    else:
        assert offsets == []
        assert recovered.position == Position(top, EPOCH)
        impossible = (
            cursor is None
            or cursor.epoch not in (EPOCH, "")
            or cursor.offset > top
            or top - cursor.offset > LIMIT
            or cursor.offset + 1 < kept_from
        )
        assert impossible
    assert recovered.end == Position(top, EPOCH)
    live = publications(top + 1, top + live_count)
    assert [p.offset for p in catch_up(recovered.end, live)] == list(range(top + 1, top + live_count + 1))


@settings(max_examples=500)
@given(resumes())
def test_the_top_alone_is_enough_where_nothing_may_be_missing(
    resume: tuple[int, int, Position | None],
) -> None:
    """The verdict is then the same as after reading."""
    kept_from, top, cursor = resume
    page = read(kept_from, top, cursor)
    if not may_be_missing(cursor, page.top, LIMIT):
        assert recover(cursor, HistoryPage((), page.top), LIMIT) == recover(cursor, page, LIMIT)


@settings(max_examples=500)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_what_was_read_and_gathered_both_comes_once(top: int, overlap: int, new: int) -> None:
    """Publications that arrived while the history was read may be in it already."""
    gathered = publications(max(1, top - overlap + 1), top + new)
    fresh = catch_up(Position(top, EPOCH), gathered)
    assert [p.offset for p in fresh] == list(range(top + 1, top + new + 1))


@settings(max_examples=300)
@given(st.integers(0, 20), st.sets(st.integers(1, 40)))
def test_a_hole_in_what_was_gathered_is_never_passed_over(top: int, offsets: set[int]) -> None:
    """It is either complete from the top on, or a gap."""
    gathered = [Publication(b"", offset=offset) for offset in sorted(offsets)]
    beyond = [offset for offset in sorted(offsets) if offset > top]
    try:
        fresh = catch_up(Position(top, EPOCH), gathered)
    except Gap:
        assert beyond != list(range(top + 1, top + 1 + len(beyond)))
    else:
        assert [p.offset for p in fresh] == beyond
        assert beyond == list(range(top + 1, top + 1 + len(beyond)))


@given(st.lists(st.integers(0, 1), max_size=10))
def test_publications_that_were_never_stored_all_pass(pattern: list[int]) -> None:
    """They have no offset to compare, and cannot be in the history."""
    stored = iter(publications(4, 20))
    gathered = [next(stored) if kept else Publication(b"passing") for kept in pattern]
    assert catch_up(Position(3, EPOCH), gathered) == gathered


@given(
    st.integers(0, 5), st.none() | st.builds(Position, st.integers(0, 7), st.sampled_from([EPOCH, "", "x"]))
)
def test_cache_recovery_gives_the_newest_unless_the_client_has_it(top: int, cursor: Position | None) -> None:
    """Nothing else is ever given, and a channel without a value is not recovered."""
    newest = publications(top, top) if top else ()
    recovered = recover_cache(cursor, HistoryPage(newest, Position(top, EPOCH)))
    assert recovered.complete is (top > 0)
    has_it = cursor == Position(top, EPOCH)
    assert recovered.publications == (() if has_it else newest)
    assert recovered.end == Position(top, EPOCH)
