"""Marks of notifications, by user and id. Knows no event, only that marks come in order and go by time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hub.delivery.model import Mark
from hub.delivery.options import MAX_TRACE_MARKS


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
        trace = traces.get(notification)
        if trace is None or now_ms >= trace.until_ms:
            trace = traces[notification] = _Trace()
        trace.marks.append(mark)
        trace.until_ms = now_ms + self._ttl_ms

    def marks(self, owner: str, notification: str, now_ms: int) -> list[Mark]:
        """The marks of one notification, oldest first."""
        trace = self._by_owner.get(owner, {}).get(notification)
        return [] if trace is None or now_ms >= trace.until_ms else list(trace.marks)

    def forget(self, owner: str) -> None:
        """All traces of a user."""
        self._by_owner.pop(owner, None)

    def sweep(self, now_ms: int) -> None:
        """Free those whose time is over."""
        for owner, traces in list(self._by_owner.items()):
            for notification in [each for each, trace in traces.items() if now_ms >= trace.until_ms]:
                del traces[notification]
            if not traces:
                del self._by_owner[owner]
