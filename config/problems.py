"""What is wrong with the settings, and where each mistake was written. Knows no setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NOT_SET = "not set"
"""Source of a problem that consists in nobody having set anything."""

Path = tuple[str | int, ...]
"""Where a value stands in the tree of settings: ``("api", "keys", 0, "name")``."""


def key_text(path: Path) -> str:
    """``path`` as people write it: ``api.keys[0].name``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. ``source`` is the file, the environment variable or ``command line``.

    ``message`` never carries the value that was written: it may be a secret.
    """

    source: str
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.source, self.key, self.message) if part)


class SettingsError(Exception):
    """The settings cannot be used. ``problems`` names every mistake there is, never only the first."""

    def __init__(self, problems: Sequence[Problem], usable: object | None = None) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = list(problems)
        self.usable = usable
        """The settings with the mistakes left out, where that much could be read: for further checks."""
