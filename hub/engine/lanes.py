"""Port: what the workers of one lane, and all hubs, share beside the debts: breaker, provider token, secrets.

A lane is ``<provider>:<app>:<environment>``. Any method may raise ``EngineUnavailable``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Breaker:
    """Whether a lane may be sent to. ``open_until_ms`` 0: closed. ``reason`` is for people."""

    open_until_ms: int = 0
    reason: str = ""
    failures: int = 0
    """Times it opened in a row without a success between: the next pause grows with it."""


@dataclass(frozen=True, slots=True)
class LaneToken:
    """A provider token and when it was made, unix ms. A secret."""

    text: str = field(repr=False)
    made_at_ms: int


class Lanes(Protocol):
    """Shared state of lanes."""

    async def breaker(self, lane: str) -> Breaker:
        """The breaker now."""
        ...

    async def open_breaker(self, lane: str, pause_s: float, reason: str) -> Breaker:
        """Stop the lane for everybody; ``failures`` goes up."""
        ...

    async def try_probe(self, lane: str, probe_s: float) -> bool:
        """Whether this worker may try one send through a breaker whose pause is over; one at a time."""
        ...

    async def close_breaker(self, lane: str) -> None:
        """The provider answers again."""
        ...

    async def token(self, lane: str) -> LaneToken | None:
        """The provider token in use."""
        ...

    async def replace_token(self, lane: str, new: LaneToken, old: LaneToken | None) -> LaneToken:
        """Compare and set; where another worker was first, its token is the answer."""
        ...

    async def secret(self, name: str) -> bytes:
        """32 random bytes that all who share the engine get under this name, made at the first call."""
        ...
