"""Whether so many tokens are called bad that it is the configuration and not the tokens.

A lane of sandbox tokens pushed through production would otherwise empty the whole registry in minutes. Counts
the last minute in steps of a second; knows no provider.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

WINDOW_S: Final = 60
MAX_BAD_SHARE: Final = 0.05
LEAST_BAD: Final = 5
"""So few may be bad in a minute whatever their share: a small app with two dead phones is no emergency."""


class PruningGuard:
    """Trips once too large a share of a minute's sends blames the token; an accepted one must untrip it."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._seconds: deque[list[int]] = deque()
        self._sends = 0
        self._bad = 0
        self.tripped = False

    def saw_other(self, *, accepted: bool) -> None:
        """An answer came that blames no token."""
        self._count(bad=0)
        if accepted and self.tripped and not self._too_many():
            self.tripped = False

    def saw_bad(self) -> bool:
        """An answer blames its token: True if the token may be dropped for it."""
        self._count(bad=1)
        if self._too_many():
            self.tripped = True
        return not self.tripped

    def _too_many(self) -> bool:
        return self._bad >= LEAST_BAD and self._bad > self._sends * MAX_BAD_SHARE

    def _count(self, bad: int) -> None:
        now_s = int(self._monotonic())
        while self._seconds and self._seconds[0][0] <= now_s - WINDOW_S:
            _, sends, old_bad = self._seconds.popleft()
            self._sends -= sends
            self._bad -= old_bad
        if not self._seconds or self._seconds[-1][0] != now_s:
            self._seconds.append([now_s, 0, 0])
        self._seconds[-1][1] += 1
        self._seconds[-1][2] += bad
        self._sends += 1
        self._bad += bad
