"""When which device is due, lane by lane. Knows no row: a member is a text, its due time a number."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

_SMALL_HEAP = 64
"""So few are not worth a look."""


@dataclass(frozen=True, slots=True)
class Due:
    """A member and when it is due, unix ms."""

    member: str
    due_ms: int


class DueQueue:
    """Each member is in at most one lane.

    Where a time changes, the former one stays in the heap until it comes to its head, or there
    are more of those than of others.
    """

    def __init__(self) -> None:
        self._places: dict[str, tuple[str, int]] = {}
        self._heaps: dict[str, list[tuple[int, str]]] = {}

    def place(self, member: str, lane: str, due_ms: int | None) -> bool:
        """Put a member where it belongs, None for nowhere; whether the lane's smallest time fell by it."""
        if due_ms is None:
            self.remove(member)
            return False
        if self._places.get(member) == (lane, due_ms):
            return False
        before = self.first(lane)
        self._places[member] = (lane, due_ms)
        heap = self._heaps.setdefault(lane, [])
        heapq.heappush(heap, (due_ms, member))
        if len(heap) > 2 * len(self._places) + _SMALL_HEAP:
            # Whoever is first may stay there for long, as in a lane whose provider is away.
            heap[:] = ((its_ms, each) for each, (its, its_ms) in self._places.items() if its == lane)
            heapq.heapify(heap)
        return before is None or due_ms < before.due_ms

    def remove(self, member: str) -> None:
        """Take a member out of its lane, if it is in one."""
        self._places.pop(member, None)

    def first(self, lane: str) -> Due | None:
        """Whoever is due first in a lane."""
        heap = self._heaps.get(lane)
        while heap:
            due_ms, member = heap[0]
            if self._places.get(member) == (lane, due_ms):
                return Due(member, due_ms)
            heapq.heappop(heap)
        self._heaps.pop(lane, None)
        return None

    def place_of(self, member: str) -> tuple[str, int] | None:
        """Lane and due time of a member."""
        return self._places.get(member)

    def count(self, lane: str) -> int:
        """How many are in a lane."""
        return sum(place[0] == lane for place in self._places.values())

    def members(self) -> set[str]:
        """Everybody who is due some time."""
        return set(self._places)
