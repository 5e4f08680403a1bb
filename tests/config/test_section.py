"""The kinds of values that recur."""

from __future__ import annotations

import pytest

from config.section import parse_duration_s, split_list


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("300s", 300), ("5m", 300), ("24h", 86_400), ("1h30m", 5_400), ("7d", 604_800), ("42", 42), (42, 42)],
)
def test_durations_are_whole_seconds(written: object, seconds: int) -> None:
    """People write units, programs write numbers; both mean seconds."""
    assert parse_duration_s(written) == seconds


@pytest.mark.parametrize("written", ["", "5 minutes", "m5", "1.5h", "-5s", "30s1m"])
def test_other_texts_are_no_duration(written: str) -> None:
    """A text that is nearly a duration is refused, never guessed at."""
    with pytest.raises(ValueError, match="duration"):
        parse_duration_s(written)


def test_text_with_commas_is_a_list() -> None:
    """One variable can carry a list."""
    assert split_list(" a, b,,c ") == ["a", "b", "c"]
