"""``hub token``: what is made is accepted, and what is not accepted is explained."""

from __future__ import annotations

import time
from pathlib import Path

import jwt
import pytest

from tests.support.command_line import run_hub

SECRET = "a-secret-that-is-long-enough-for-any-hmac"
ENV = {"HUB_AUTH__SECRET": SECRET}


def claims_of(token: str) -> dict[str, object]:
    """The claims, after checking the signature with a library that is not ours."""
    claims: dict[str, object] = jwt.decode(
        token.strip(), SECRET, algorithms=["HS256"], options={"verify_aud": False}
    )
    return claims


def test_connection_token_has_user_and_expiry(tmp_path: Path) -> None:
    """The token alone is printed, so that it can be piped; it is good for an hour unless told otherwise."""
    done = run_hub("token", "create", "--user", "42", cwd=tmp_path, env=ENV)
    assert done.code == 0
    claims = claims_of(done.out)
    expiry = claims.pop("exp")
    assert claims == {"sub": "42"}
    assert isinstance(expiry, int)
    assert 3_500 < expiry - time.time() <= 3_600


def test_claims_that_the_hub_insists_on_are_in_it(tmp_path: Path) -> None:
    """Issuer, audience, the required claim and the user's claim are those of the settings."""
    env = ENV | {
        "HUB_AUTH__ISSUER": "api",
        "HUB_AUTH__AUDIENCE": "phones,web",
        "HUB_AUTH__USER_CLAIM": "user_id",
        "HUB_AUTH__REQUIRED_CLAIM__NAME": "token_type",
        "HUB_AUTH__REQUIRED_CLAIM__VALUE": "access",
        "HUB_AUTH__REQUIRE_EXP": "false",
    }
    arguments = ["--expires-in", "never", "--claim", 'channels=["news"]', "--claim", "role=admin"]
    done = run_hub("token", "create", "--user", "42", *arguments, cwd=tmp_path, env=env)
    assert claims_of(done.out) == {
        "user_id": "42",
        "iss": "api",
        "aud": "phones",
        "token_type": "access",
        "channels": ["news"],
        "role": "admin",
    }
    assert run_hub("token", "check", done.out.strip(), cwd=tmp_path, env=env).code == 0


def test_subscription_token_is_signed_with_its_own_secret(tmp_path: Path) -> None:
    """Where the two secrets differ, each kind of token has its own."""
    env = ENV | {"HUB_AUTH__SUBSCRIPTION_SECRET": SECRET[::-1]}
    arguments = ["--user", "42", "--channel", "chat:1", "--json"]
    done = run_hub("token", "create", *arguments, cwd=tmp_path, env=env)
    token = done.value["token"]
    claims = jwt.decode(token, SECRET[::-1], algorithms=["HS256"])
    assert (claims["sub"], claims["channel"]) == ("42", "chat:1")
    checked = run_hub("token", "check", "--json", token, cwd=tmp_path, env=env)
    assert (checked.code, checked.value["kind"], checked.value["verdict"]) == (0, "subscription", "valid")


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"HUB_AUTH__SECRET": SECRET[::-1]}, "invalid"),
        ({"HUB_AUTH__ISSUER": "other"}, "invalid"),
        ({}, "valid"),
    ],
)
def test_check_says_what_a_hub_would_make_of_it(tmp_path: Path, change: dict[str, str], verdict: str) -> None:
    """The verdict decides the exit code; the claims are shown either way."""
    token = run_hub("token", "create", "--user", "42", cwd=tmp_path, env=ENV).out
    done = run_hub("token", "check", "-", "--json", cwd=tmp_path, env=ENV | change, stdin=token)
    assert done.value["verdict"] == verdict
    assert done.value["claims"]["sub"] == "42"
    assert done.code == (0 if verdict == "valid" else 1)


def test_expired_token_is_told_as_such(tmp_path: Path) -> None:
    """It is not invalid: a new one would do."""
    token = jwt.encode({"sub": "42", "exp": 1}, SECRET, algorithm="HS256")
    done = run_hub("token", "check", token, cwd=tmp_path, env=ENV)
    assert done.code == 1
    assert done.out.startswith("expired: ")
    assert "1970-01-01T00:00:01+00:00" in done.out


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        (["--user", "42"], {}),
        (["--user", "42", "--expires-in", "soon"], ENV),
        (["--user", "42", "--claim", "novalue"], ENV),
        (["--user", "42", "--kid", "unknown"], ENV),
        (["--user", "42", "--private-key", "no.pem"], ENV),
        ([], ENV),
    ],
)
def test_wrong_usage_exits_with_2(tmp_path: Path, arguments: list[str], env: dict[str, str]) -> None:
    """Nothing to sign with, and arguments that mean nothing."""
    done = run_hub("token", "create", *arguments, cwd=tmp_path, env=env)
    assert done.code == 2
    assert done.out == ""


def test_development_secrets_are_made_once_and_found_again(tmp_path: Path) -> None:
    """The file is the owner's alone, and a later command beside it uses it unasked."""
    token = run_hub("token", "create", "--dev", "--user", "demo", cwd=tmp_path).out.strip()
    file = tmp_path / ".hub" / "development.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / ".hub" / ".gitignore").read_text() == "*\n"
    written = file.read_text()
    assert run_hub("token", "check", token, cwd=tmp_path).code == 0
    assert run_hub("token", "create", "--dev", "--user", "demo", cwd=tmp_path).code == 0
    assert file.read_text() == written
    assert run_hub("token", "check", token, cwd=tmp_path, env=ENV).code == 1
