"""Options that contradict themselves are refused, and the password never shows."""

from __future__ import annotations

import pytest

from hub.engine.redis.options import RedisOptions


def test_the_url_is_not_shown() -> None:
    """It may hold a password."""
    assert "secret" not in repr(RedisOptions("redis://:secret@localhost"))


@pytest.mark.parametrize(
    "wrong",
    [{"partitions": 0}, {"lease_s": 3.0, "lease_renew_s": 3.0}, {"prefix": "a{b}:"}],
    ids=["no partitions", "a lease that ends before it is renewed", "braces"],
)
def test_contradictions_are_refused(wrong: dict[str, float | str]) -> None:
    """When they are made, not when they hurt."""
    with pytest.raises(ValueError, match=r"partitions|lease|prefix"):
        RedisOptions("redis://localhost", **wrong)  # type: ignore[arg-type]
