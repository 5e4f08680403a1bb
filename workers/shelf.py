"""Where the workers of a lane keep their provider token together: the shelf of senders, in the engine."""

from __future__ import annotations

from hub.engine.lanes import Lanes, LaneToken
from workers.senders.port import SharedToken


class LaneShelf:
    """The provider token of one lane. May raise ``EngineUnavailable``."""

    def __init__(self, lanes: Lanes, lane: str) -> None:
        self._lanes = lanes
        self._lane = lane

    async def current(self) -> SharedToken | None:
        """The token in use, None while there is none."""
        token = await self._lanes.token(self._lane)
        return None if token is None else SharedToken(token.text, token.made_at_ms)

    async def replace(self, new: SharedToken, old: SharedToken | None) -> SharedToken:
        """Put ``new`` in place of ``old``; where another worker was first, its token is the answer."""
        former = None if old is None else LaneToken(old.text, old.made_at_ms)
        held = await self._lanes.replace_token(self._lane, LaneToken(new.text, new.made_at_ms), former)
        return SharedToken(held.text, held.made_at_ms)
