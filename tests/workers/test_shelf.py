"""The provider token that the workers of a lane have in common."""

from __future__ import annotations

from hub.engine import Engine
from tests.support.push_worlds import APNS, FCM
from workers.senders.port import SharedToken
from workers.shelf import LaneShelf


async def test_the_first_to_replace_it_wins(engine: Engine) -> None:
    """The other gets what the first one made."""
    one, other = LaneShelf(engine.lanes, APNS), LaneShelf(engine.lanes, APNS)
    assert await one.current() is None
    first, second = SharedToken("first", 1), SharedToken("second", 2)
    assert await one.replace(first, None) == first
    assert await other.replace(second, None) == first
    assert await other.current() == first
    assert await other.replace(second, first) == second
    assert await one.replace(SharedToken("third", 3), first) == second


async def test_each_lane_has_its_own(engine: Engine) -> None:
    """Keys are not the same everywhere."""
    await LaneShelf(engine.lanes, APNS).replace(SharedToken("apple", 1), None)
    assert await LaneShelf(engine.lanes, FCM).current() is None
