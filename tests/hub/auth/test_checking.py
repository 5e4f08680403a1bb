"""Signatures beside the loop: the same answers, and a loop that goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from hub.auth import (
    InvalidToken,
    KeySet,
    TokenVerifier,
    VerifierOptions,
    issue_connection_token,
)
from hub.auth.checking import BUNDLE_COUNT, SignatureChecks
from tests.support.signing import KeyPair, ec_pair, rsa_pair

NOW_S = 1_700_000_000


@pytest.fixture
def checks() -> Iterator[SignatureChecks]:
    """Two threads, and no budget for the loop itself."""
    checks = SignatureChecks(threads=2, inline_budget_s=0)
    yield checks
    checks.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("signatures")]


def verifier(pair: KeyPair, checks: SignatureChecks) -> TokenVerifier:
    """A verifier with one public key."""
    keys = KeySet([pair.key()])
    return TokenVerifier(VerifierOptions(), keys, now_s=lambda: NOW_S, checks=checks)


def tokens(pair: KeyPair, count: int) -> list[str]:
    """One for each of so many users."""
    signer = pair.signer()
    return [issue_connection_token(signer, f"u{number}", exp_s=NOW_S + 60) for number in range(count)]


def forged(token: str) -> str:
    """The same with another signature of the same length."""
    head, _, signature = token.rpartition(".")
    return f"{head}.{'A' * 8}{signature[8:]}"


async def test_many_tokens_are_verified_aside_and_each_gets_its_own_answer(checks: SignatureChecks) -> None:
    """Good ones say who holds them, forged ones are refused, whichever bundle they were in."""
    pair = ec_pair()
    good = tokens(pair, 3 * BUNDLE_COUNT)
    asked = [forged(each) if number % 5 == 0 else each for number, each in enumerate(good)]
    verify = verifier(pair, checks).verify_connection
    outcomes = await asyncio.gather(*map(verify, asked), return_exceptions=True)
    for number, outcome in enumerate(outcomes):
        if number % 5 == 0:
            assert isinstance(outcome, InvalidToken)
        else:
            assert not isinstance(outcome, BaseException)
            assert outcome.user == f"u{number}"
    assert checks.aside_count == len(asked)


async def test_a_few_are_verified_on_the_loop() -> None:
    """To hand one over costs about as much as to check it."""
    checks = SignatureChecks(threads=2, inline_budget_s=10)
    pair = rsa_pair()
    await asyncio.gather(*map(verifier(pair, checks).verify_connection, tokens(pair, 3)))
    assert checks.aside_count == 0


async def test_each_turn_of_the_loop_has_its_budget_again() -> None:
    """What waited is past, and the next turn begins with a token of its own."""
    checks = SignatureChecks(threads=1, inline_budget_s=1e-9)
    pair = rsa_pair()
    verify = verifier(pair, checks).verify_connection
    first, second, third = tokens(pair, 3)
    await asyncio.gather(verify(first), verify(second))
    assert checks.aside_count == 1
    await verify(third)
    assert checks.aside_count == 1
    checks.close()


async def test_without_threads_everything_is_verified_on_the_loop() -> None:
    """As it can be set."""
    checks = SignatureChecks(threads=0, inline_budget_s=0)
    pair = rsa_pair()
    await asyncio.gather(*map(verifier(pair, checks).verify_connection, tokens(pair, 20)))
    assert checks.aside_count == 0


async def test_a_token_that_waited_while_the_keys_changed_is_judged_by_the_new_ones(
    checks: SignatureChecks,
) -> None:
    """A key that was taken out opens nothing any more, not even to whoever was nearly in."""
    pair = ec_pair()
    verify = verifier(pair, checks)
    [token] = tokens(pair, 1)
    waiting = asyncio.create_task(verify.verify_connection(token))
    await asyncio.sleep(0)
    verify.replace_keys(KeySet([rsa_pair().key()]))
    with pytest.raises(InvalidToken):
        await waiting
    assert verify.cached_connection(token) is None


async def test_who_leaves_while_waiting_disturbs_nobody(checks: SignatureChecks) -> None:
    """The others of the bundle are answered."""
    pair = ec_pair()
    verify = verifier(pair, checks).verify_connection
    gone, stays = (asyncio.create_task(verify(each)) for each in tokens(pair, 2))
    await asyncio.sleep(0)
    gone.cancel()
    assert (await stays).user == "u1"
    with pytest.raises(asyncio.CancelledError):
        await gone
