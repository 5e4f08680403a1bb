"""Lanes of the embedded engine: breakers, provider tokens and secrets of one process."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from hub.engine.lanes import Breaker, LaneToken

_SECRET_BYTES = 32


@dataclass(slots=True)
class _Lane:
    breaker: Breaker = field(default_factory=Breaker)
    probe_until_ms: int = 0
    token: LaneToken | None = None


class MemoryLanes:
    """What the workers of this process share."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lanes: dict[str, _Lane] = {}
        self._secrets: dict[str, bytes] = {}

    def _lane(self, lane: str) -> _Lane:
        return self._lanes.setdefault(lane, _Lane())

    async def breaker(self, lane: str) -> Breaker:
        return self._lane(lane).breaker

    async def open_breaker(self, lane: str, pause_s: float, reason: str) -> Breaker:
        shared = self._lane(lane)
        until_ms = self._now_ms() + round(pause_s * 1000)
        shared.breaker = Breaker(until_ms, reason, shared.breaker.failures + 1)
        shared.probe_until_ms = 0
        return shared.breaker

    async def try_probe(self, lane: str, probe_s: float) -> bool:
        shared, now_ms = self._lane(lane), self._now_ms()
        if not shared.breaker.open_until_ms:
            return True
        if now_ms < shared.breaker.open_until_ms or now_ms < shared.probe_until_ms:
            return False
        shared.probe_until_ms = now_ms + round(probe_s * 1000)
        return True

    async def close_breaker(self, lane: str) -> None:
        shared = self._lane(lane)
        shared.breaker, shared.probe_until_ms = Breaker(), 0

    async def token(self, lane: str) -> LaneToken | None:
        return self._lane(lane).token

    async def replace_token(self, lane: str, new: LaneToken, old: LaneToken | None) -> LaneToken:
        shared = self._lane(lane)
        if shared.token is None or shared.token == old:
            shared.token = new
        return shared.token

    async def secret(self, name: str) -> bytes:
        if name not in self._secrets:
            self._secrets[name] = secrets.token_bytes(_SECRET_BYTES)
        return self._secrets[name]
