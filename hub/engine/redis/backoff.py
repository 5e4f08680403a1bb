"""How long to wait before the next try, so that many who failed together do not come back together."""

from __future__ import annotations

import random


class Backoff:
    """Pauses that double from ``first_s`` up to ``most_s``, each drawn from its upper half."""

    def __init__(self, first_s: float = 0.05, most_s: float = 2.0) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._tries = 0

    def next_s(self) -> float:
        """The next pause, in seconds."""
        pause_s = min(self._first_s * 2.0 ** min(self._tries, 30), self._most_s)
        self._tries += 1
        return pause_s * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin again: something worked."""
        self._tries = 0
