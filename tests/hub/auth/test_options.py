"""Options: mistakes are refused when they are made, not when the first token comes."""

from __future__ import annotations

from typing import Any

import pytest

from hub.auth.options import VerifierOptions


def test_defaults_are_the_safe_ones() -> None:
    """Expiry is required and respected unless somebody says otherwise."""
    options = VerifierOptions()
    assert (options.user_claim, options.require_exp, options.ignore_expiry) == ("sub", True, False)
    assert options.leeway_s == 0


@pytest.mark.parametrize(
    "mistake",
    [
        {"user_claim": ""},
        {"issuer": ""},
        {"audience": ()},
        {"audience": ("",)},
        {"leeway_s": -1},
        {"cache_ttl_s": 601},
        {"cache_ttl_s": -1},
        {"cache_size": -1},
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(mistake: dict[str, Any]) -> None:
    """In particular an empty issuer or audience must not read as one that checks nothing."""
    with pytest.raises(ValueError):
        VerifierOptions(**mistake)
