"""One token for all workers of a lane, renewed in time and never too often."""

from __future__ import annotations

import asyncio
import random

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.apns import MemoryShelf, WallClock
from workers.senders.apns.provider_token import ProviderToken
from workers.senders.port import SharedToken, TokenShelf

KEY = ec.generate_private_key(ec.SECP256R1())
NOW_MS = 1_790_000_000_000


class BrokenShelf:
    """A shelf whose engine is away."""

    async def current(self) -> SharedToken | None:
        """Cannot say."""
        raise OSError("away")

    async def replace(self, new: SharedToken, old: SharedToken | None) -> SharedToken:
        """Cannot do it."""
        raise OSError("away")


@pytest.fixture
def clock() -> WallClock:
    """The wall clock of the test."""
    return WallClock(NOW_MS)


def worker(shelf: TokenShelf, clock: WallClock, seed: int = 0) -> ProviderToken:
    """The provider token as one worker holds it."""
    return ProviderToken(KEY, "KEYKEYKEY1", "TEAMTEAM01", shelf, clock, random.Random(seed))


async def test_the_token_says_who_signed_when(clock: WallClock) -> None:
    """ES256, the key's id in the header, team and time in the claims."""
    header = await worker(MemoryShelf(), clock).current()
    scheme, _, token = header.partition(b" ")
    assert scheme == b"bearer"
    assert jwt.get_unverified_header(token.decode())["kid"] == "KEYKEYKEY1"
    claims = jwt.decode(token.decode(), KEY.public_key(), algorithms=["ES256"], options={"verify_iat": False})
    assert claims == {"iss": "TEAMTEAM01", "iat": NOW_MS // 1000}


async def test_many_callers_and_workers_sign_once(clock: WallClock) -> None:
    """Whoever comes first signs; all others take it from the shelf."""
    shelf = MemoryShelf()
    workers = [worker(shelf, clock, seed) for seed in range(5)]
    headers = await asyncio.gather(*(w.current() for w in workers for _ in range(20)))
    assert len(set(headers)) == 1
    assert shelf.replaced == 1


async def test_nothing_is_asked_while_it_is_young(clock: WallClock) -> None:
    """For forty minutes at least the token is at hand, for fifty at most."""
    token = worker(MemoryShelf(), clock)
    assert token.at_hand() is None
    header = await token.current()
    clock.pass_minutes(39.9)
    assert token.at_hand() == header
    clock.pass_minutes(10.2)
    assert token.at_hand() is None


async def test_one_worker_renews_for_all(clock: WallClock) -> None:
    """Each has its own moment; who comes later finds the new one on the shelf."""
    shelf = MemoryShelf()
    workers = [worker(shelf, clock, seed) for seed in range(10)]
    for each in workers:
        await each.current()
    for _ in range(55):
        clock.pass_minutes(1)
        for each in workers:
            if each.at_hand() is None:
                await each.current()
    assert shelf.replaced == 2


async def test_a_rejected_token_is_replaced_once(clock: WallClock) -> None:
    """All whose request was rejected get the same new one."""
    shelf = MemoryShelf()
    token = worker(shelf, clock)
    rejected = await token.current()
    clock.pass_minutes(30)
    renewed = await asyncio.gather(*(token.refresh(rejected) for _ in range(10)))
    assert len(set(renewed)) == 1
    assert renewed[0] not in (None, rejected)
    assert shelf.replaced == 2


async def test_a_rejected_token_is_replaced_by_the_one_another_worker_made(clock: WallClock) -> None:
    """No second one is signed for that."""
    shelf = MemoryShelf()
    first, second = worker(shelf, clock), worker(shelf, clock, 1)
    rejected = await first.current()
    assert await second.current() == rejected
    clock.pass_minutes(30)
    renewed = await second.refresh(rejected)
    assert await first.refresh(rejected) == renewed
    assert shelf.replaced == 2


async def test_a_young_token_is_not_replaced_even_if_rejected(clock: WallClock) -> None:
    """What is not twenty minutes old cannot have run out: it is the clock that is wrong."""
    shelf = MemoryShelf()
    token = worker(shelf, clock)
    rejected = await token.current()
    clock.pass_minutes(19)
    assert await token.refresh(rejected) is None
    assert shelf.replaced == 1


async def test_on_hold_the_old_token_is_used_as_long_as_it_is_taken(clock: WallClock) -> None:
    """Too many tokens: none is signed for twenty minutes, unless the old one would run out."""
    shelf = MemoryShelf()
    token = worker(shelf, clock)
    header = await token.current()
    clock.pass_minutes(38)
    token.hold()
    clock.pass_minutes(15)
    assert (token.at_hand() or await token.current()) == header
    clock.pass_minutes(8)
    assert (token.at_hand() or await token.current()) != header
    assert shelf.replaced == 2


async def test_without_the_shelf_pushing_goes_on(clock: WallClock) -> None:
    """A worker then signs for itself, and renews in time."""
    token = worker(BrokenShelf(), clock)
    header = await token.current()
    clock.pass_minutes(30)
    assert token.at_hand() == header
    clock.pass_minutes(25)
    renewed = await token.current()
    assert renewed != header
    assert token.at_hand() == renewed


async def test_a_shelf_that_breaks_is_logged_without_the_token(
    clock: WallClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what failed and nothing that could be used."""
    header = await worker(BrokenShelf(), clock).current()
    assert "provider token" in caplog.text
    assert header.decode().removeprefix("bearer ") not in caplog.text
