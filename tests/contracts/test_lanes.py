"""What every engine promises of lanes: one breaker, one provider token, one secret for all."""

from __future__ import annotations

import asyncio

import pytest

from hub.engine import Lanes
from hub.engine.lanes import Breaker, LaneToken
from tests.contracts.engines import World

LANE = "apns:my:app:production"


@pytest.fixture
def lanes(ledger_world: World) -> Lanes:
    """The lanes of the world."""
    return ledger_world.engine.lanes


class TestBreaker:
    """A provider that is away is left alone."""

    async def test_it_is_closed_at_first(self, lanes: Lanes) -> None:
        """Nothing is known against the lane."""
        assert await lanes.breaker(LANE) == Breaker()
        assert await lanes.try_probe(LANE, 10)

    async def test_each_opening_is_counted(self, lanes: Lanes) -> None:
        """So that pauses can grow; of this lane alone."""
        first = await lanes.open_breaker(LANE, 10, "503 é\n")
        second = await lanes.open_breaker(LANE, 20, "again")
        assert (first.failures, first.reason) == (1, "503 é\n")
        assert (second.failures, second.reason) == (2, "again")
        assert 9_000 <= second.open_until_ms - first.open_until_ms <= 11_000
        assert await lanes.breaker(LANE) == second
        assert await lanes.breaker("fcm:my:app:production") == Breaker()

    async def test_one_worker_probes_after_the_pause(self, lanes: Lanes, ledger_world: World) -> None:
        """The next one only when the first said nothing for too long."""
        await lanes.open_breaker(LANE, 10, "away")
        assert not await lanes.try_probe(LANE, 5)
        await ledger_world.advance(10.1)
        assert sorted(await asyncio.gather(*(lanes.try_probe(LANE, 5) for _ in range(4)))) == [
            False,
            False,
            False,
            True,
        ]
        await ledger_world.advance(5.1)
        assert await lanes.try_probe(LANE, 5)

    async def test_a_failed_probe_opens_it_again(self, lanes: Lanes, ledger_world: World) -> None:
        """The next probe waits for the new pause, and for nothing else."""
        await lanes.open_breaker(LANE, 10, "away")
        await ledger_world.advance(10.1)
        assert await lanes.try_probe(LANE, 60)
        await lanes.open_breaker(LANE, 20, "still away")
        await ledger_world.advance(19)
        assert not await lanes.try_probe(LANE, 60)
        await ledger_world.advance(1.1)
        assert await lanes.try_probe(LANE, 60)

    async def test_a_success_closes_it(self, lanes: Lanes) -> None:
        """Its failures are forgotten."""
        await lanes.open_breaker(LANE, 10, "away")
        await lanes.close_breaker(LANE)
        assert await lanes.breaker(LANE) == Breaker()
        assert (await lanes.open_breaker(LANE, 10, "away")).failures == 1


class TestToken:
    """Providers want one token from all of us, and not too often a new one."""

    async def test_the_first_one_counts(self, lanes: Lanes) -> None:
        """Whoever comes second uses it too."""
        assert await lanes.token(LANE) is None
        ours, theirs = LaneToken("ours", 1_000), LaneToken("theirs", 2_000)
        assert await lanes.replace_token(LANE, ours, None) == ours
        assert await lanes.replace_token(LANE, theirs, None) == ours
        assert await lanes.token(LANE) == ours

    async def test_it_is_replaced_by_who_knows_it(self, lanes: Lanes) -> None:
        """A breaker that closes leaves it alone."""
        old, new = LaneToken("old", 1_000), LaneToken("new", 2_000)
        await lanes.replace_token(LANE, old, None)
        assert await lanes.replace_token(LANE, new, old) == new
        assert await lanes.replace_token(LANE, LaneToken("late", 3_000), old) == new
        await lanes.open_breaker(LANE, 10, "away")
        await lanes.close_breaker(LANE)
        assert await lanes.token(LANE) == new

    async def test_of_many_at_once_one_wins(self, lanes: Lanes) -> None:
        """And all are told which."""
        answers = await asyncio.gather(
            *(lanes.replace_token(LANE, LaneToken(f"t{number}", number), None) for number in range(8))
        )
        assert len({answer.text for answer in answers}) == 1


async def test_a_secret_is_the_same_for_all(lanes: Lanes) -> None:
    """Made once, long enough to be one, and another one under another name."""
    answers = await asyncio.gather(*(lanes.secret("receipts") for _ in range(4)))
    assert len(set(answers)) == 1
    assert len(answers[0]) == 32
    assert await lanes.secret("receipts") == answers[0] != await lanes.secret("other")
