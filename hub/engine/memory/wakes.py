"""Who is told that work may be waiting. Knows no worker and no queue."""

from __future__ import annotations

from collections.abc import Collection

from hub.engine.ledger import OnWake

JOBS = ""
"""The lane that stands for the queue of jobs."""


class Wakes:
    """One watcher, as one process has."""

    def __init__(self) -> None:
        self._lanes: frozenset[str] = frozenset()
        self._on_wake: OnWake | None = None

    def watch(self, lanes: Collection[str], on_wake: OnWake) -> None:
        """Tell ``on_wake`` from now on, and nobody else."""
        self._lanes = frozenset(lanes)
        self._on_wake = on_wake

    def tell(self, lane: str) -> None:
        """Something of the lane may be due earlier than was known."""
        if self._on_wake is not None and (lane == JOBS or lane in self._lanes):
            self._on_wake(lane)
