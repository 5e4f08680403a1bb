"""Port: what the dispatcher asks of a provider. A new provider is one file that fulfils this.

Knows values of ``workers.push`` and nothing of lanes, ledgers or retries: those belong to the
dispatcher, so a sender makes one attempt and says what came of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from workers.push import Outcome, Push


class BadCredentials(Exception):
    """The credentials of an app cannot be used; the text names the app, the setting and what to do."""


class Sender(Protocol):
    """One provider, one app, one environment: one lane."""

    async def start(self) -> None:
        """Load and check the credentials and open what is kept open.

        Raises:
            BadCredentials: they cannot work; found here, by name, not at the first push.
        """
        ...

    async def send(self, push: Push) -> Outcome:
        """Make one attempt, within the request deadline. Never raises but on cancellation.

        Cancelling abandons the attempt and harms no other one that is in flight.
        """
        ...

    async def stop(self) -> None:
        """Close everything at once. Sends that are still under way end as outcome unknown."""
        ...


@dataclass(frozen=True, slots=True)
class SharedToken:
    """A provider token that all workers of a lane use, and when it was made (unix ms)."""

    text: str = field(repr=False)
    made_at_ms: int


class TokenShelf(Protocol):
    """Where the workers of a lane keep their provider token together (APNs counts how many are made)."""

    async def current(self) -> SharedToken | None:
        """The token in use, None while there is none."""
        ...

    async def replace(self, new: SharedToken, old: SharedToken | None) -> SharedToken:
        """Put ``new`` in place of ``old``; where another worker was first, its token is the answer."""
        ...


WallMs = Callable[[], int]
Sleep = Callable[[float], Awaitable[None]]
