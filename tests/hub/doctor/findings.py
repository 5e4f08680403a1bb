"""Settings for the doctor to look at, and his findings as a test asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any

from config import Settings, load_settings
from hub.doctor.finding import Finding, Level

SECRET = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def settings_of(**overrides: Any) -> Settings:
    """Settings with a good secret; a double underscore in a name stands for the dot."""
    given = {name.replace("__", "."): value for name, value in overrides.items()}
    return load_settings(None, {}, {"auth.secret": SECRET, **given}, for_serving=False)


async def all_of(findings: AsyncIterable[Finding]) -> list[Finding]:
    """Everything that was found."""
    return [finding async for finding in findings]


def levels(findings: Iterable[Finding], text: str) -> list[Level]:
    """How bad those findings are that say ``text``."""
    return [finding.level for finding in findings if text in finding.what]


def bad(findings: Iterable[Finding]) -> list[str]:
    """What is more than worth knowing."""
    return [finding.what for finding in findings if finding.level in (Level.WARNING, Level.ERROR)]
