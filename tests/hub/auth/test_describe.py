"""Reports on tokens for people: what is in it, whether it would do, and why not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.auth import (
    KeySet,
    TokenSigner,
    TokenVerifier,
    VerifierOptions,
    describe_token,
    issue_connection_token,
    issue_subscription_token,
    key_from_secret,
)
from hub.auth.jwks import JWKSSource
from tests.support.signing import SECRET, rsa_pair

NOW_S = 1_700_000_000
SIGNER = TokenSigner.from_secret(SECRET)
VERIFIER = TokenVerifier(VerifierOptions(), KeySet([key_from_secret(SECRET)]), now_s=lambda: NOW_S)


async def test_a_good_connection_token() -> None:
    """Header, claims and the value that the hub would work with."""
    report = await describe_token(issue_connection_token(SIGNER, "42", exp_s=NOW_S + 60), VERIFIER)
    assert (report.kind, report.verdict) == ("connection", "valid")
    assert report.header == {"alg": "HS256", "typ": "JWT"}
    assert report.claims == {"sub": "42", "exp": NOW_S + 60}
    assert report.token is not None and report.token.user == "42"


async def test_a_good_subscription_token() -> None:
    """Recognised by its channel."""
    text = issue_subscription_token(SIGNER, "42", "news", exp_s=NOW_S + 60)
    report = await describe_token(text, VERIFIER)
    assert (report.kind, report.verdict) == ("subscription", "valid")


async def test_an_expired_token() -> None:
    """Shown with its claims, and told why."""
    report = await describe_token(issue_connection_token(SIGNER, "42", exp_s=NOW_S - 60), VERIFIER)
    assert (report.verdict, report.reason) == ("expired", "the exp claim has passed")
    assert report.claims["sub"] == "42"
    assert report.token is None


async def test_a_forged_token() -> None:
    """Its claims are shown although nothing of them is true; neither secret nor signature is."""
    forger = TokenSigner.from_secret("the-secret-of-somebody-else-entirely")
    text = issue_connection_token(forger, "42", exp_s=NOW_S + 60)
    report = await describe_token(text, VERIFIER)
    assert (report.kind, report.verdict) == ("connection", "invalid")
    assert "no key" in report.reason
    assert text.rpartition(".")[2] not in repr(report)
    assert SECRET not in repr(report)


async def test_a_token_that_cannot_be_judged_now() -> None:
    """Without the issuer's keys there is no verdict."""
    source = JWKSSource("https://issuer.example/keys")
    undecided = TokenVerifier(VerifierOptions(), KeySet(), source, now_s=lambda: NOW_S)
    text = issue_connection_token(rsa_pair().signer(kid="k"), "42", exp_s=NOW_S + 60)
    report = await describe_token(text, undecided)
    assert (report.verdict, report.reason) == (
        "undecided",
        "the keys to verify the token cannot be had now",
    )


@given(st.text(max_size=60))
async def test_no_text_crashes_it(text: str) -> None:
    """Somebody will paste the wrong thing."""
    report = await describe_token(text, VERIFIER)
    assert (report.kind, report.verdict) == ("unreadable", "invalid")
    assert report.reason
