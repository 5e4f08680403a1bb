"""The reference of settings."""

from __future__ import annotations

from pathlib import Path

from config import Settings, load_settings
from config.layers import all_variables
from config.reference import as_markdown, as_toml, groups

SETTINGS_PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_settings_page_is_what_is_generated() -> None:
    """docs/settings.md is never behind; ``make docs`` writes it."""
    assert SETTINGS_PAGE.read_text(encoding="utf-8") == as_markdown()


def test_every_setting_is_described() -> None:
    """A setting without a description is of no use to an operator."""
    entries = [entry for group in groups() for entry in group.entries]
    assert len(entries) > 80
    assert [entry.key for entry in entries if not entry.description] == []
    assert [group.path for group in groups() if group.path and not group.description] == []


def test_every_variable_is_in_the_reference() -> None:
    """What can be set is written down, and the reverse."""
    documented = {entry.variable for group in groups() for entry in group.entries if entry.variable}
    assert documented == set(all_variables())


def test_printed_defaults_are_a_settings_file(tmp_path: Path) -> None:
    """What ``hub config defaults`` prints can be read back, and changes nothing."""
    file = tmp_path / "hub.toml"
    file.write_text(as_toml(), encoding="utf-8")
    assert load_settings(file, for_serving=False) == Settings()
