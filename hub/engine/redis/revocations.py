"""Revocations over Redis, in the control partition: they survive restarts of every hub."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import cast

from hub.engine.redis.commands import Commands
from hub.engine.redis.keys import CONTROL_TAG, Keys
from hub.engine.redis.scripts import load_script
from hub.engine.revocations import LIFTED_KEPT_MS, Changes, Kind, Rule, Version
from hub.errors import LIMIT_EXCEEDED, HubError

_REVOKE = load_script("clock", "revocations", "revoke")
_LIFT = load_script("clock", "revocations", "revocation_lift")
_CHANGES = load_script("clock", "revocations", "revocation_changes")

_FOR_GOOD = "-"


class RedisRevocations:
    """The rules. ``now_ms`` replaces the server's clock, for tests alone."""

    def __init__(
        self, commands: Commands, keys: Keys, max_rules: int, *, now_ms: Callable[[], int] | None = None
    ) -> None:
        self._commands = commands
        self._names = [keys.revocations, keys.revocation_order, keys.revocation_ends]
        self._max_rules = max_rules
        self._now_ms = now_ms

    def _now(self) -> int | str:
        return "" if self._now_ms is None else self._now_ms()

    async def put(self, rule: Rule, *, only_new: bool = False) -> Version:
        answer = await self._commands.run(
            CONTROL_TAG,
            _REVOKE,
            self._names,
            [
                self._now(),
                secrets.token_hex(8),
                _field(rule.kind, rule.subject),
                _FOR_GOOD if rule.until_ms is None else rule.until_ms,
                rule.before_ms,
                self._max_rules,
                "new" if only_new else "",
            ],
            # Twice is once, but for the number.
            repeatable=True,
        )
        if not answer:
            raise HubError(LIMIT_EXCEEDED, f"there are {self._max_rules} revocations already")
        return _version(*answer)

    async def lift(self, kind: Kind, subject: str) -> Version:
        args = (self._now(), _field(kind, subject), LIFTED_KEPT_MS)
        return _version(*await self._commands.run(CONTROL_TAG, _LIFT, self._names, args, repeatable=True))

    async def changes(self, since: Version) -> Changes:
        args = (since.epoch, since.number)
        epoch, number, complete, *fields = await self._commands.run(
            CONTROL_TAG, _CHANGES, self._names, args, repeatable=True
        )
        pairs = zip(fields[::2], fields[1::2], strict=True)
        # The version stands among the rules, under names that no rule has.
        rules = tuple(_rule(field.decode(), value) for field, value in pairs if b":" in field)
        return Changes(_version(epoch, number), rules, complete=bool(complete))


def _field(kind: Kind, subject: str) -> str:
    return f"{kind}:{subject}"


def _version(epoch: bytes, number: int) -> Version:
    return Version(epoch.decode(), number)


def _rule(field: str, value: bytes) -> Rule:
    kind, _, subject = field.partition(":")
    number, until_ms, before_ms = value.decode().split(" ")
    return Rule(
        cast(Kind, kind),
        subject,
        None if until_ms == _FOR_GOOD else int(until_ms),
        int(before_ms),
        int(number),
    )
