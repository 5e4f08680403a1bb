"""Port: who is kept out before a token ends. Blocked users, revoked tokens, tokens issued before a time.

A store of few rules, each with an end, that every node copies; what changed since a copy was made is
one cheap question. Knows no connection and no token. Any method may raise ``EngineUnavailable``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

Kind = Literal["user", "token", "issued"]
"""A blocked user; a token by its ``jti``; tokens of a user by their ``iat``."""

LIFTED = 0
"""As the end of a rule: it holds no more. It is remembered for a while, so that every copy hears of it."""

LIFTED_KEPT_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason to turn somebody away, until ``until_ms`` (unix ms; None for good).

    ``subject`` is a user's id or a ``jti``; ``before_ms`` is for ``issued`` alone: tokens that were issued
    earlier, or do not say when, are refused. ``number`` counts the changes of the store.
    """

    kind: Kind
    subject: str
    until_ms: int | None = None
    before_ms: int = 0
    number: int = 0

    @property
    def key(self) -> tuple[Kind, str]:
        """Two rules of one key do not stand beside each other."""
        return self.kind, self.subject

    def holds(self, now_ms: float) -> bool:
        """Whether its time is not over."""
        return self.until_ms is None or now_ms < self.until_ms


def merged(former: Rule | None, new: Rule) -> Rule:
    """What a rule becomes by a new one of the same key: a block is replaced, a revocation only grows."""
    if former is None or new.kind == "user":
        return new
    ends = (former.until_ms, new.until_ms)
    return replace(
        new,
        until_ms=None if None in ends else max(end for end in ends if end is not None),
        before_ms=max(former.before_ms, new.before_ms),
    )


@dataclass(frozen=True, slots=True)
class Version:
    """How far a copy is. ``epoch`` is random, a new one when the store forgot everything; empty for none."""

    epoch: str = ""
    number: int = 0


NO_VERSION = Version()


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed. ``complete`` says that these are all rules there are, not only those that are new."""

    version: Version
    rules: tuple[Rule, ...] = ()
    complete: bool = False


class Revocations(Protocol):
    """The rules of all nodes."""

    async def put(self, rule: Rule, *, only_new: bool = False) -> Version:
        """Keep a rule, merged with what there was (see :func:`merged`); ``only_new`` leaves that alone.

        Raises:
            HubError: 106 when there are as many as there may be.
        """
        ...

    async def lift(self, kind: Kind, subject: str) -> Version:
        """End a rule now. One that is not there is no error."""
        ...

    async def changes(self, since: Version) -> Changes:
        """What is new since ``since``; everything where that was never a version of this store."""
        ...
