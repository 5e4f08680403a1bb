"""Access tokens: there before they are needed, one renewal for all, never in anybody's way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.support.waiting import eventually
from workers.senders.fcm.access import Access, AccessRefused, AccessTokens, Fetched


class TokenEndpoint:
    """Hands out numbered tokens; what goes wrong, and how long it takes, is set by the test."""

    def __init__(self, life_s: float = 3600.0) -> None:
        self.life_s = life_s
        self.now_s = 1_800_000_000.0
        self.fetches = 0
        self.fails: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def fetch(self) -> Fetched:
        """What the thread runs."""
        self.fetches += 1
        number = self.fetches
        self.gate.wait(10)
        if self.fails is not None:
            raise self.fails
        return Fetched({"authorization": f"Bearer t{number}"}, self.now_s + self.life_s)

    def clock(self) -> float:
        """The wall clock of the lane."""
        return self.now_s


@asynccontextmanager
async def tokens_of(endpoint: TokenEndpoint) -> AsyncIterator[AccessTokens]:
    """Started, and stopped whatever happens."""
    tokens = AccessTokens(endpoint.fetch, endpoint.clock)
    try:
        await tokens.start()
        yield tokens
    finally:
        endpoint.gate.set()
        await tokens.stop()


def held(tokens: AccessTokens) -> Access:
    """The token in use."""
    access = tokens.current()
    assert access is not None
    return access


async def test_the_first_token_is_there_after_the_start() -> None:
    """Sending only reads it."""
    endpoint = TokenEndpoint()
    async with tokens_of(endpoint) as tokens:
        assert held(tokens).headers == {"authorization": "Bearer t1"}
        assert endpoint.fetches == 1


async def test_a_token_is_renewed_before_it_ends() -> None:
    """A quarter of a short life before; the old one serves until then."""
    endpoint = TokenEndpoint(life_s=1.2)
    async with tokens_of(endpoint) as tokens:
        first = held(tokens)
        endpoint.now_s += 1.0
        # The keeper sleeps in real time and looks at the lane's clock when it wakes.
        await eventually(lambda: endpoint.fetches >= 2, timeout_s=5)
        await eventually(lambda: held(tokens) is not first)


async def test_a_slow_token_endpoint_holds_up_nothing() -> None:
    """While it is silent, the loop turns and the old token is read thousands of times."""
    endpoint = TokenEndpoint()
    async with tokens_of(endpoint) as tokens:
        first = held(tokens)
        endpoint.gate.clear()
        waiting = asyncio.create_task(tokens.replaced(first))
        await eventually(lambda: endpoint.fetches == 2)
        turns = 0
        while turns < 5000:
            await asyncio.sleep(0)
            assert held(tokens) is first
            turns += 1
        assert not waiting.done()
        endpoint.gate.set()
        renewed = await waiting
        assert renewed is not None
        assert renewed.headers == {"authorization": "Bearer t2"}


async def test_one_renewal_serves_all_who_were_rejected() -> None:
    """Five hundred rejections at once ask Google once."""
    endpoint = TokenEndpoint()
    async with tokens_of(endpoint) as tokens:
        first = held(tokens)
        renewed = await asyncio.gather(*(tokens.replaced(first) for _ in range(500)))
        assert endpoint.fetches == 2
        assert set(renewed) == {held(tokens)}


async def test_who_comes_late_with_an_old_token_costs_nothing() -> None:
    """The token was replaced while their request was under way."""
    endpoint = TokenEndpoint()
    async with tokens_of(endpoint) as tokens:
        first = held(tokens)
        second = await tokens.replaced(first)
        assert await tokens.replaced(first) is second
        assert endpoint.fetches == 2


async def test_a_renewed_token_that_is_rejected_too_is_no_matter_of_tokens() -> None:
    """One renewal, then the lane stops; a minute later one more is tried."""
    endpoint = TokenEndpoint()
    async with tokens_of(endpoint) as tokens:
        second = await tokens.replaced(held(tokens))
        assert second is not None
        with pytest.raises(AccessRefused):
            await tokens.replaced(second)
        assert endpoint.fetches == 2
        endpoint.now_s += 61
        assert await tokens.replaced(second) is held(tokens)
        assert endpoint.fetches == 3


async def test_a_caller_that_is_cancelled_leaves_the_renewal_to_the_others() -> None:
    """It is shared, so nobody may end it."""
    endpoint = TokenEndpoint()
    async with tokens_of(endpoint) as tokens:
        first = held(tokens)
        endpoint.gate.clear()
        leaving = asyncio.create_task(tokens.replaced(first))
        staying = asyncio.create_task(tokens.replaced(first))
        await eventually(lambda: endpoint.fetches == 2)
        leaving.cancel()
        endpoint.gate.set()
        assert await staying is held(tokens)
        assert leaving.cancelled()


async def test_an_endpoint_that_is_down_fails_no_start_and_is_asked_again() -> None:
    """A network that is away is no wrong credential."""
    endpoint = TokenEndpoint()
    endpoint.fails = OSError("no route")
    async with tokens_of(endpoint) as tokens:
        assert tokens.current() is None
        endpoint.fails = None
        await eventually(lambda: tokens.current() is not None, timeout_s=10)


async def test_a_rejection_while_the_endpoint_is_down_is_none_of_the_accounts_fault() -> None:
    """There is no token to be had just now, and that is all that is known."""
    endpoint = TokenEndpoint()
    async with tokens_of(endpoint) as tokens:
        endpoint.fails = OSError("no route")
        assert await tokens.replaced(held(tokens)) is None


async def test_an_account_that_google_refuses_fails_the_start() -> None:
    """By OAuth's word for it."""
    endpoint = TokenEndpoint()
    endpoint.fails = AccessRefused("invalid_grant")
    with pytest.raises(AccessRefused, match="invalid_grant"):
        async with tokens_of(endpoint):
            pass


async def test_a_refusal_later_stops_the_lane_when_the_token_ends() -> None:
    """Not before: the token that is held still works."""
    endpoint = TokenEndpoint()
    async with tokens_of(endpoint) as tokens:
        endpoint.fails = AccessRefused("invalid_grant")
        with pytest.raises(AccessRefused):
            await tokens.replaced(held(tokens))
        assert held(tokens).headers == {"authorization": "Bearer t1"}
        endpoint.now_s += 3601
        with pytest.raises(AccessRefused):
            tokens.current()


async def test_a_machine_that_slept_finds_out_soon_that_its_token_is_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sleeping does not count as time for what waits: most of an hour would be left of it."""
    monkeypatch.setattr("workers.senders.fcm.access._LOOK_EVERY_S", 0.05)
    endpoint = TokenEndpoint()
    async with tokens_of(endpoint) as tokens:
        endpoint.now_s += 3601
        assert tokens.current() is None
        await eventually(lambda: tokens.current() is not None)
        assert endpoint.fetches == 2


async def test_stopping_does_not_wait_for_a_fetch_that_hangs() -> None:
    """Its thread is a daemon, and nobody listens to it any more."""
    endpoint = TokenEndpoint()
    tokens = AccessTokens(endpoint.fetch, endpoint.clock)
    await tokens.start()
    endpoint.gate.clear()
    waiting = asyncio.create_task(tokens.replaced(held(tokens)))
    await eventually(lambda: endpoint.fetches == 2)
    try:
        async with asyncio.timeout(5):
            await tokens.stop()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
    finally:
        endpoint.gate.set()


def never() -> Callable[[], Fetched]:
    """A fetch that nobody may call."""

    def fetch() -> Fetched:
        raise AssertionError("asked")

    return fetch


async def test_what_never_started_can_be_stopped() -> None:
    """A sender whose start failed is cleaned up all the same."""
    await AccessTokens(never()).stop()
