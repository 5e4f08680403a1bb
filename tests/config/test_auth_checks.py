"""Rules between the settings of authentication."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config import Settings
from config.auth_checks import check_auth, check_placeholders, check_secret_lengths
from config.problems import key_text


def wrong(**auth: Any) -> list[str]:
    """The places that contradict each other."""
    return [key_text(finding.path) for finding in check_auth(Settings(auth=auth))]


def test_a_key_has_one_kind_of_material(tmp_path: Path) -> None:
    """None is no key, two are two."""
    keys = [{"kid": "a"}, {"kid": "b", "secret": "x", "pem": "y"}, {"kid": "c", "pem_file": tmp_path / "no"}]
    assert wrong(keys=keys) == ["auth.keys[0]", "auth.keys[1]", "auth.keys[2].pem_file"]


@pytest.mark.parametrize(
    "key", [{"secret": "x", "algorithms": ["RS256"]}, {"pem": "x", "algorithms": ["ES256", "HS256"]}]
)
def test_key_confusion_is_refused(key: dict[str, Any]) -> None:
    """A public key is never pinned to a shared-secret algorithm, nor the reverse."""
    assert wrong(keys=[key]) == ["auth.keys[0].algorithms"]


def test_key_ids_are_unique() -> None:
    """Two keys of one id would make rotation a lottery; nameless ones may be several."""
    assert wrong(keys=[{"kid": "a", "secret": "x"}, {"kid": "a", "secret": "y"}]) == ["auth.keys[1].kid"]
    assert wrong(keys=[{"secret": "x"}, {"secret": "y"}]) == []


@pytest.mark.parametrize(
    ("url", "is_wrong"),
    [
        ("https://issuer.example/keys", False),
        ("http://localhost:9/keys", False),
        ("http://issuer.example/keys", True),
        ("https://user:pw@issuer.example/keys", True),
        ("https://[half/keys", True),
        ("https:///keys", True),
    ],
)
def test_key_set_comes_over_tls(url: str, is_wrong: bool) -> None:
    """Whoever can change the answer can make tokens; this machine is trusted."""
    assert bool(wrong(jwks_url=url)) is is_wrong


def test_key_set_without_tls_can_be_allowed() -> None:
    """The setting says what it does."""
    assert wrong(jwks_url="http://issuer.example/keys", jwks_allow_http=True) == []


def test_required_claim_has_name_and_value() -> None:
    """Half of it would be checked against nothing."""
    assert wrong(required_claim={"name": "token_type"}) == ["auth.required_claim"]
    assert wrong(required_claim={"name": "token_type", "value": "access"}) == []


def test_secret_without_algorithms_is_refused() -> None:
    """It could verify nothing."""
    assert wrong(secret="x", secret_algorithms=[]) == ["auth.secret_algorithms"]


def test_short_secrets_are_found() -> None:
    """Wherever they are written."""
    auth = {
        "secret": "x" * 31,
        "subscription_secret": "short",
        "keys": [{"secret": "y"}, {"secret": "x" * 32}],
    }
    found = [key_text(finding.path) for finding in check_secret_lengths(Settings(auth=auth))]
    assert found == ["auth.secret", "auth.subscription_secret", "auth.keys[0].secret"]


def test_secrets_that_were_never_filled_in_are_found() -> None:
    """Wherever they are written; one that merely has such a character is a secret."""
    settings = Settings(
        auth={
            "secret": "<openssl rand -hex 32, the same in your API>",
            "subscription_secret": "<half of it",
            "keys": [{"secret": " <yours> "}],
        },
        api={"keys": [{"name": "a", "key": "<openssl rand -hex 24>"}, {"name": "b", "key": "a<b>c"}]},
    )
    found = [key_text(finding.path) for finding in check_placeholders(settings)]
    assert found == ["auth.secret", "auth.keys[0].secret", "api.keys[0].key"]
