"""Lanes over Redis: what all workers of a lane share, in the control partition."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from hub.engine.lanes import Breaker, LaneToken
from hub.engine.redis.commands import Commands
from hub.engine.redis.keys import CONTROL_TAG, Keys
from hub.engine.redis.scripts import load_script

_SECRET_BYTES = 32

_OPEN = load_script("clock", "lane_open")
_PROBE = load_script("clock", "lane_probe")
_TOKEN = load_script("lane_token")


class RedisLanes:
    """Breakers, provider tokens and secrets. ``now_ms`` replaces the server's clock, for tests alone."""

    def __init__(self, commands: Commands, keys: Keys, *, now_ms: Callable[[], int] | None = None) -> None:
        self._commands = commands
        self._keys = keys
        self._now_ms = now_ms

    def _now(self) -> int | str:
        return "" if self._now_ms is None else self._now_ms()

    async def breaker(self, lane: str) -> Breaker:
        wanted = ("open_until", "reason", "failures")
        name = self._keys.lane(lane)
        answer = await self._commands.call(CONTROL_TAG, "HMGET", name, *wanted, repeatable=True)
        open_until, reason, failures = answer
        if open_until is None:
            return Breaker()
        return Breaker(int(open_until), reason.decode(), int(failures))

    async def open_breaker(self, lane: str, pause_s: float, reason: str) -> Breaker:
        args = (self._now(), round(pause_s * 1000), reason)
        answer = await self._commands.run(CONTROL_TAG, _OPEN, [self._keys.lane(lane)], args)
        return Breaker(answer[0], reason, answer[1])

    async def try_probe(self, lane: str, probe_s: float) -> bool:
        args = (self._now(), round(probe_s * 1000))
        may = await self._commands.run(CONTROL_TAG, _PROBE, [self._keys.lane(lane)], args)
        return bool(may)

    async def close_breaker(self, lane: str) -> None:
        fields = ("open_until", "reason", "failures", "probe_until")
        await self._commands.call(CONTROL_TAG, "HDEL", self._keys.lane(lane), *fields, repeatable=True)

    async def token(self, lane: str) -> LaneToken | None:
        name = self._keys.lane(lane)
        answer = await self._commands.call(CONTROL_TAG, "HMGET", name, "token", "token_made", repeatable=True)
        text, made_at_ms = answer
        return None if text is None else LaneToken(text.decode(), int(made_at_ms))

    async def replace_token(self, lane: str, new: LaneToken, old: LaneToken | None) -> LaneToken:
        args = (new.text, new.made_at_ms, *(("", "") if old is None else (old.text, old.made_at_ms)))
        text, made_at_ms = await self._commands.run(CONTROL_TAG, _TOKEN, [self._keys.lane(lane)], args)
        return LaneToken(text.decode(), int(made_at_ms))

    async def secret(self, name: str) -> bytes:
        key = self._keys.secret(name)
        offered = secrets.token_bytes(_SECRET_BYTES)
        await self._commands.call(CONTROL_TAG, "SET", key, offered, "NX", repeatable=True)
        held: bytes = await self._commands.call(CONTROL_TAG, "GET", key, repeatable=True)
        return held
