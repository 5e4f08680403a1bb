"""A lane to the simulated APNs: a sender that is started and stopped, pushes for it, a shelf in memory."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from hub.testing.simulators.apns import ApnsSimulator
from workers.push import Outcome, Push, Target, Verdict
from workers.senders.apns import ApnsOptions, ApnsSender, TokenCredentials
from workers.senders.apns.connection import ApnsConnection
from workers.senders.port import SharedToken

APP = "com.example.chat"
HUB = {"v": 1, "kind": "notify", "id": "n-1", "channel": "inbox:ann", "epoch": "b-1", "offset": 7, "count": 1}


class MemoryShelf:
    """A shelf that all senders of one test share; the first to replace a token wins."""

    def __init__(self, token: SharedToken | None = None) -> None:
        self.token = token
        self.replaced = 0

    async def current(self) -> SharedToken | None:
        """What lies there."""
        return self.token

    async def replace(self, new: SharedToken, old: SharedToken | None) -> SharedToken:
        """Put ``new`` there unless somebody else did since ``old`` was read."""
        if self.token == old:
            self.token = new
            self.replaced += 1
        assert self.token is not None
        return self.token


class WallClock:
    """Wall-clock milliseconds that a test moves by hand, beginning at the real time."""

    def __init__(self, start_ms: int) -> None:
        self.now_ms = start_ms

    def __call__(self) -> int:
        return self.now_ms

    def pass_minutes(self, minutes: float) -> None:
        """Time goes by."""
        self.now_ms += round(minutes * 60_000)


def device_token(number: int) -> str:
    """The provider token of a phone: any even number of hexadecimal digits will do."""
    return f"{number:064x}"


def push_to(number: int, **fields: Any) -> Push:
    """A small notification for the phone of this number."""
    target = Target(
        user="ann",
        device=f"phone-{number}",
        platform="ios",
        provider="apns",
        app=APP,
        environment="production",
        token=fields.pop("token", device_token(number)),
    )
    given = {
        "kind": "notify",
        "push_id": str(uuid.uuid4()),
        "hub": HUB,
        "notification": {"title": "Ann", "body": "Hello there, are you coming to lunch?"},
        **fields,
    }
    return Push(target=target, **given)


def options_for(apns: ApnsSimulator, **changes: Any) -> ApnsOptions:
    """How to reach ``apns`` with the key that it knows; one connection unless told otherwise."""
    fields: dict[str, Any] = {
        "app": APP,
        "credentials": TokenCredentials(apns.key.p8, apns.key.key_id, apns.key.team_id),
        "host": apns.host,
        "port": apns.port,
        "ca_file": apns.ca_file,
        "max_connections": 1,
        **changes,
    }
    return ApnsOptions(**fields)


@asynccontextmanager
async def lane_to(
    apns: ApnsSimulator,
    shelf: MemoryShelf | None = None,
    sender_args: dict[str, Any] | None = None,
    **changes: Any,
) -> AsyncIterator[ApnsSender]:
    """A started sender to ``apns``; ``changes`` are fields of its options."""
    sender = ApnsSender(options_for(apns, **changes), shelf or MemoryShelf(), **(sender_args or {}))
    await sender.start()
    try:
        yield sender
    finally:
        await sender.stop()


async def send_all(sender: ApnsSender, pushes: Iterable[Push]) -> list[Outcome]:
    """Send all at once and gather what came of it."""
    return await asyncio.gather(*(sender.send(push) for push in pushes))


def verdicts(outcomes: Iterable[Outcome]) -> set[Verdict]:
    """The different verdicts among ``outcomes``."""
    return {outcome.verdict for outcome in outcomes}


def connections_of(sender: ApnsSender) -> list[ApnsConnection]:
    """The connections that the sender would use for the next push."""
    assert sender._pool is not None
    return sender._pool.connections
