"""The table of limits: every name that is counted, every setting, and its default."""

from __future__ import annotations

import re
from typing import get_args

from config.reference import groups
from hub.api.app_limits import MAX_BODY_BYTES
from hub.metrics import Limit
from tests.support.markdown import ROOT, Page

PAGE = Page(ROOT / "docs" / "security.md")
ROWS = PAGE.table("Limits")
NUMBER = re.compile(r"\d+(?: \d{3})*(?:\.\d+)?")
DEFAULTS = {entry.key: entry.default for group in groups() for entry in group.entries}


def settings_of(row: list[str]) -> list[str]:
    """The settings that a row names."""
    return re.findall(r"`([^`]+)`", row[1])


def test_every_limit_that_is_counted_has_a_row() -> None:
    """Whoever looks at the metric finds what it means."""
    assert sorted(row[4].strip("`") for row in ROWS) == sorted(get_args(Limit))


def test_the_settings_exist_and_have_these_defaults() -> None:
    """In the order in which the row names them."""
    for row in ROWS:
        named = settings_of(row)
        numbers = [float(found.replace(" ", "")) for found in NUMBER.findall(row[2])]
        defaults = [DEFAULTS[name] for name in named]
        if all(isinstance(default, int | float) for default in defaults) and named:
            assert numbers == [float(str(default)) for default in defaults], row


def test_every_setting_of_a_limit_is_in_the_table() -> None:
    """Those of the section but for the two that are no limits of their own."""
    told = {name for row in ROWS for name in settings_of(row)}
    section = {key for key in DEFAULTS if key.startswith("limits.")}
    assert section - told == {"limits.history_max_limit", "limits.close_timeout_s"}


def test_what_has_no_setting_is_told_as_it_is() -> None:
    """The body of an app's call."""
    [row] = [row for row in ROWS if row[4] == "`app_body_bytes`"]
    assert row[2].startswith(f"{MAX_BODY_BYTES:,} bytes".replace(",", " "))
