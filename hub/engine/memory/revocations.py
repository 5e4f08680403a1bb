"""Revocations of the embedded engine: a table, gone with the process."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

from hub.engine.revocations import LIFTED, LIFTED_KEPT_MS, Changes, Kind, Rule, Version, merged
from hub.errors import LIMIT_EXCEEDED, HubError


class MemoryRevocations:
    """The rules, the most recently changed last."""

    def __init__(self, now_ms: Callable[[], int], max_rules: int) -> None:
        self._now_ms = now_ms
        self._max_rules = max_rules
        self._rules: dict[tuple[Kind, str], Rule] = {}
        self._ends_ms: dict[tuple[Kind, str], float] = {}
        self._version = Version(secrets.token_hex(8), 0)

    async def put(self, rule: Rule, *, only_new: bool = False) -> Version:
        self._sweep()
        former = self._rules.get(rule.key)
        if former is not None and only_new:
            return self._version
        if former is None and len(self._rules) >= self._max_rules:
            raise HubError(LIMIT_EXCEEDED, f"there are {self._max_rules} revocations already")
        return self._keep(merged(former, rule))

    async def lift(self, kind: Kind, subject: str) -> Version:
        self._sweep()
        former = self._rules.get((kind, subject))
        if former is None or former.until_ms == LIFTED:
            return self._version
        return self._keep(replace(former, until_ms=LIFTED))

    async def changes(self, since: Version) -> Changes:
        known = since.epoch == self._version.epoch and since.number <= self._version.number
        return Changes(
            self._version,
            tuple(rule for rule in self._rules.values() if not known or rule.number > since.number),
            complete=not known,
        )

    def _keep(self, rule: Rule) -> Version:
        self._version = replace(self._version, number=self._version.number + 1)
        self._rules.pop(rule.key, None)
        self._rules[rule.key] = replace(rule, number=self._version.number)
        if rule.until_ms == LIFTED:
            self._ends_ms[rule.key] = self._now_ms() + LIFTED_KEPT_MS
        else:
            self._ends_ms[rule.key] = float("inf") if rule.until_ms is None else rule.until_ms
        return self._version

    def _sweep(self) -> None:
        now_ms = self._now_ms()
        for key in [key for key, end_ms in self._ends_ms.items() if end_ms <= now_ms]:
            del self._rules[key], self._ends_ms[key]
