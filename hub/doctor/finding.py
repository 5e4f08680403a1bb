"""What a check of the doctor found, how bad it is, and what to do about it. Holds no secret."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.StrEnum):
    """How bad it is, the least first."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing has to be done."""
    WARNING = "warning"
    """Works today and will hurt on another day."""
    ERROR = "error"
    """Does not work, or loses what it promises to keep."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``advice`` is empty where nothing is to be done."""

    area: str
    level: Level
    what: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Area:
    """Makes the findings of one area, so that no check has to repeat its name."""

    name: str

    def ok(self, what: str) -> Finding:
        """In order."""
        return Finding(self.name, Level.OK, what)

    def note(self, what: str, advice: str = "") -> Finding:
        """Worth knowing."""
        return Finding(self.name, Level.NOTE, what, advice)

    def warning(self, what: str, advice: str) -> Finding:
        """Will hurt."""
        return Finding(self.name, Level.WARNING, what, advice)

    def error(self, what: str, advice: str) -> Finding:
        """Does not work."""
        return Finding(self.name, Level.ERROR, what, advice)
