"""Marks of notifications, by user and id. Knows no event, only that marks come in order and go by time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from hub.delivery.model import Mark
from hub.delivery.options import MAX_TRACE_MARKS
from hub.engine.memory.broker import SWEPT_AT_ONCE


@dataclass(slots=True)
class _Trace:
    until_ms: int = 0
    marks: deque[Mark] = field(default_factory=lambda: deque(maxlen=MAX_TRACE_MARKS))


class Traces:
    """The newest marks of each notification, for ``ttl_ms`` after the last of them."""

    def __init__(self, ttl_ms: int) -> None:
        self._ttl_ms = ttl_ms
        self._by_owner: dict[str, dict[str, _Trace]] = {}

    def add(self, owner: str, notification: str, mark: Mark, now_ms: int) -> None:
        """One mark more; one whose trace ran out begins it anew."""
        traces = self._by_owner.setdefault(owner, {})
        trace = traces.pop(notification, None)
        if trace is None or now_ms >= trace.until_ms:
            trace = _Trace()
        # Behind the others: the first is always the one whose time is over first.
        traces[notification] = trace
        trace.marks.append(mark)
        trace.until_ms = now_ms + self._ttl_ms

    def marks(self, owner: str, notification: str, now_ms: int) -> list[Mark]:
        """The marks of one notification, oldest first."""
        trace = self._by_owner.get(owner, {}).get(notification)
        return [] if trace is None or now_ms >= trace.until_ms else list(trace.marks)

    def forget(self, owner: str) -> None:
        """All traces of a user."""
        self._by_owner.pop(owner, None)

    def sweep(self, now_ms: int) -> Iterator[None]:
        """Free those whose time is over. Others get their turn where it yields."""
        for number, owner in enumerate(list(self._by_owner), 1):
            traces = self._by_owner.get(owner, {})
            while traces and now_ms >= traces[first := next(iter(traces))].until_ms:
                del traces[first]
            if not traces:
                self._by_owner.pop(owner, None)
            if number % SWEPT_AT_ONCE == 0:
                yield
