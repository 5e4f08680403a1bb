"""The numbers that are drawn, out of samples by name."""

from __future__ import annotations

from hub.console.rates import Rates, Sample
from hub.errors import EngineUnavailable

NOW_MS = 1_000_000
SAMPLES: list[Sample] = [
    ("hub_connections", {"sdk": "js", "protocol": "json"}, 3.0),
    ("hub_connections", {"sdk": "swift", "protocol": "protobuf"}, 4.0),
    ("hub_publications_received_total", {}, 10.0),
    ("hub_push_attempts_total", {"lane": "a", "kind": "notify", "outcome": "accepted"}, 2.0),
    ("hub_push_attempts_total", {"lane": "b", "kind": "badge", "outcome": "accepted"}, 1.0),
    ("hub_push_attempts_total", {"lane": "b", "kind": "notify", "outcome": "gone"}, 1.0),
    ("hub_something_else", {}, 99.0),
]


class Debts:
    """Two lanes; or an engine that is away."""

    def __init__(self, *, away: bool = False) -> None:
        self.away = away

    async def waiting_count(self, lane: str) -> int:
        if self.away:
            raise EngineUnavailable
        return {"a": 2, "b": 5}[lane]

    async def oldest_due_ms(self, lane: str) -> int | None:
        return {"a": None, "b": NOW_MS - 1500}[lane]


def rates(
    debts: Debts | None = None, *, lanes: tuple[str, ...] = ("a", "b"), pushes_here: bool = True
) -> Rates:
    """Over the samples above."""
    return Rates(lambda: SAMPLES, debts or Debts(), lanes, pushes_here, lambda: NOW_MS)


async def test_series_of_one_number_are_added_up() -> None:
    """Over all their labels, but for the outcome of pushes."""
    told = await rates().read()
    assert (told["connections"], told["counters"]["publications"]) == (7, 10)
    assert told["pushes"] == {"accepted": 3, "gone": 1}


async def test_debts_are_those_of_all_lanes() -> None:
    """And as old as the oldest."""
    told = await rates().read()
    assert (told["debts"], told["oldest_due_s"]) == (7, 1.5)


async def test_without_lanes_nobody_is_asked_for_debts() -> None:
    """There can be none."""
    assert "debts" not in await rates(Debts(away=True), lanes=()).read()


async def test_pushes_of_other_processes_are_not_taken_for_none() -> None:
    """What is not counted here is left out."""
    assert "pushes" not in await rates(pushes_here=False).read()


async def test_an_engine_that_is_away_hides_no_other_number() -> None:
    """The debts alone are unknown."""
    told = await rates(Debts(away=True)).read()
    assert "debts" not in told
    assert told["connections"] == 7
