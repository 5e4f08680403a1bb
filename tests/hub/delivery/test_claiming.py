"""One push per thread, and none of the entries is lost or told twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.delivery.claiming import group_by_thread
from hub.delivery.model import Entry, EntryTerms

_THREADS = st.lists(st.sampled_from(["", "", "a", "b", "c", "d"]), max_size=30)


@given(_THREADS, st.integers(0, 6))
def test_every_entry_is_in_one_place(threads: list[str], max_groups: int) -> None:
    """In a push of its thread, or in the one for the rest, which carries no data."""
    owed = [
        Entry(offset, 0, EntryTerms(f"n{offset}", True, 1, thread=thread), b"data")
        for offset, thread in enumerate(threads, start=1)
    ]
    groups, rest = group_by_thread(owed, max_groups)
    told = [offset for group in groups for offset in group.offsets] + [entry.offset for entry in rest]
    assert sorted(told) == [entry.offset for entry in owed]
    assert len(groups) <= max_groups
    assert not rest or len(groups) == max_groups
    assert all(entry.data == b"" for entry in rest)
    assert [group.offsets[0] for group in groups] == sorted(group.offsets[0] for group in groups)
    for group in groups:
        assert list(group.offsets) == sorted(group.offsets)
        assert (group.newest.offset, group.newest.data) == (group.offsets[-1], b"data")
        assert group.ids == tuple(f"n{offset}" for offset in group.offsets)
        assert group.count == 1 or len({threads[offset - 1] for offset in group.offsets}) == 1
        assert group.count == 1 or threads[group.offsets[0] - 1]
