"""Token values: what everybody who shares them relies on."""

from __future__ import annotations

import pytest

from hub.auth.tokens import ConnectionToken, InvalidToken


def test_a_verified_token_cannot_be_changed() -> None:
    """Every connection that brings the same token holds the same object."""
    token = ConnectionToken("42", None, None, (), {}, None, "", None)
    with pytest.raises(AttributeError):
        token.user = "43"  # type: ignore[misc]


def test_an_invalid_token_tells_its_reason() -> None:
    """The reason is the whole text of the exception."""
    error = InvalidToken("the exp claim is missing")
    assert error.reason == str(error) == "the exp claim is missing"
