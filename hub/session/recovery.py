"""Filling the gap between a client's cursor and the live stream. Pure: pages and lists in, a verdict out.

The order of work that makes it safe is the caller's: first listen and gather, then read
the history, then :func:`recover` and :func:`catch_up`, and only then go live.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from hub.model import HistoryFilter, HistoryPage, Position, Publication


class Recovered(Struct, frozen=True, gc=False):
    """What a resuming client gets. ``position`` is what its reply says: its place before ``publications``."""

    complete: bool
    position: Position
    publications: tuple[Publication, ...] = ()

    @property
    def end(self) -> Position:
        """Where the client stands once it has taken the publications."""
        if not self.publications:
            return self.position
        return Position(self.publications[-1].offset, self.position.epoch)


class Gap(Exception):
    """A publication between the history that was read and what was gathered is missing."""


def wanted_for_stream(cursor: Position | None, max_publications: int) -> HistoryFilter:
    """What to read of the history for a client at ``cursor``; None for one that does not resume.

    One more than may be recovered, so that too many can be told from just enough.
    """
    if cursor is None:
        return _WANTED_FOR_TOP
    return HistoryFilter(limit=max_publications + 1, since=cursor)


def may_be_missing(cursor: Position | None, top: Position, max_publications: int) -> bool:
    """Whether :func:`recover` looks at publications at all, or could do with the top alone."""
    if cursor is None or (cursor.epoch and cursor.epoch != top.epoch):
        return False
    return 0 < top.offset - cursor.offset <= max_publications


def is_beyond(cursor: Position, top: Position, max_publications: int) -> bool:
    """Whether a client at ``cursor`` misses more of the stream than may be recovered at once."""
    same_stream = not cursor.epoch or cursor.epoch == top.epoch
    return same_stream and top.offset - cursor.offset > max_publications


_WANTED_FOR_TOP = HistoryFilter(limit=0)

WANTED_FOR_CACHE = HistoryFilter(limit=1, reverse=True)
"""Cache recovery looks at the newest publication only."""


def recover(
    cursor: Position | None, page: HistoryPage, max_publications: int, max_bytes: int | None = None
) -> Recovered:
    """Stream recovery: everything after ``cursor``, without a gap, or the top and ``complete`` False.

    An empty epoch in the cursor matches every stream. Incomplete are: another epoch, a
    cursor beyond the top, publications no longer kept, and more than ``max_publications`` or
    ``max_bytes`` of payload.
    """
    top = page.top
    if cursor is None:
        return Recovered(complete=False, position=top)
    unrecovered = Recovered(complete=False, position=top)
    if cursor.epoch and cursor.epoch != top.epoch:
        return unrecovered
    missing = top.offset - cursor.offset
    if missing < 0 or missing > max_publications:
        return unrecovered
    found = page.publications
    if len(found) != missing or any(p.offset != cursor.offset + n for n, p in enumerate(found, 1)):
        return unrecovered
    if max_bytes is not None and sum(len(p.data) for p in found) > max_bytes:
        return unrecovered
    # The cursor, not the top: an SDK sets its own to this and then moves on with each publication.
    return Recovered(complete=True, position=Position(cursor.offset, top.epoch), publications=found)


def recover_cache(cursor: Position | None, page: HistoryPage) -> Recovered:
    """Cache recovery: the newest publication, unless the client has it; complete whenever there is one."""
    top = page.top
    if not page.publications:
        return Recovered(complete=False, position=top)
    newest = page.publications[0]
    has_it = cursor is not None and cursor.offset == newest.offset and cursor.epoch == top.epoch
    return Recovered(complete=True, position=top, publications=() if has_it else (newest,))


def catch_up(end: Position, gathered: Sequence[Publication]) -> list[Publication]:
    """What was gathered and lies beyond ``end``, in order, nothing twice.

    Publications without an offset were never stored and are always new.

    Raises:
        Gap: when what is left does not continue at ``end``.
    """
    fresh: list[Publication] = []
    last = end.offset
    for publication in gathered:
        if publication.offset == 0:
            fresh.append(publication)
        elif publication.offset > last:
            if publication.offset != last + 1:
                raise Gap
            last = publication.offset
            fresh.append(publication)
    return fresh
