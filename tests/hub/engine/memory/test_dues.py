"""The queue of due members is what a sorted list would be."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from hub.engine.memory.dues import Due, DueQueue

_MOVES = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y"]), st.none() | st.integers(0, 5)),
    max_size=40,
)


@given(_MOVES)
def test_the_first_of_each_lane_is_known(moves: list[tuple[str, str, int | None]]) -> None:
    """Whatever was moved before; a member is in one lane; a fall of the smallest time is told."""
    queue, model = DueQueue(), dict[str, tuple[str, int]]()
    for member, lane, due_ms in moves:
        before = _first(model, lane)
        fell = queue.place(member, lane, due_ms)
        if due_ms is None:
            model.pop(member, None)
            assert not fell
        else:
            model[member] = (lane, due_ms)
            assert fell == (before is None or due_ms < before.due_ms)
        assert queue.members() == set(model)
        assert queue.place_of(member) == model.get(member)
        assert all(queue.first(each) == _first(model, each) for each in "xy")


def test_a_lane_that_nobody_serves_holds_no_more_than_its_members() -> None:
    """Its first stays first, and behind it others come and go for as long as its provider is away."""
    queue = DueQueue()
    queue.place("waiting", "x", 1)
    tracemalloc.start()
    for number in range(20_000):
        queue.place(f"member {number % 10}", "x", 100 + number)
        queue.remove(f"member {number % 10}")
    grown_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown_bytes < 50_000
    assert queue.first("x") == Due("waiting", 1)


def _first(model: dict[str, tuple[str, int]], lane: str) -> Due | None:
    inside = sorted((due_ms, member) for member, (its, due_ms) in model.items() if its == lane)
    return Due(inside[0][1], inside[0][0]) if inside else None
