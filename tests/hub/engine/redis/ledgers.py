"""A ledger and a registry on a real Redis, with a clock and living nodes that the test chooses."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from hub.delivery.inbox import inbox_owner
from hub.delivery.model import (
    Ack,
    Acked,
    Claimed,
    DeviceRecord,
    DeviceState,
    EntryTerms,
    Finish,
    Hello,
    NewEntry,
    Notified,
    Welcome,
)
from hub.delivery.options import DeliveryOptions
from hub.engine.redis.broker import RedisBroker
from hub.engine.redis.commands import Commands
from hub.engine.redis.devices import RedisDevices
from hub.engine.redis.keys import Keys
from hub.engine.redis.ledger import RedisLedger
from hub.engine.redis.link import Link
from hub.engine.redis.live_nodes import text_of
from hub.engine.redis.options import RedisOptions

PHONE = "phone-0000000001"
TABLET = "tablet-000000001"
LANE = "apns:shop:production"
NODE = "node-a"
DAY_MS = 86_400_000
AHEAD_MS = 3_600_000
"""How far the clock of a test goes before the server's, so that no key expires by the latter."""


class Clock:
    """Milliseconds that pass when the test says so."""

    def __init__(self) -> None:
        self.ms = int(time.time() * 1000) + AHEAD_MS

    def now_ms(self) -> int:
        """The time."""
        return self.ms

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.ms += round(seconds * 1000)


class ChosenNodes:
    """Implements ``NodesAlive``; at first, all count as alive."""

    def __init__(self) -> None:
        self.alive: set[str] = set()
        self.age_ms = 0

    @property
    def fresh(self) -> str | None:
        return text_of(self.alive)

    async def read(self) -> str:
        return text_of(self.alive)


@dataclass(slots=True)
class LedgerParts:
    """A ledger and what it stands on."""

    ledger: RedisLedger
    devices: RedisDevices
    broker: RedisBroker
    commands: Commands
    link: Link
    keys: Keys
    options: DeliveryOptions
    clock: Clock = field(default_factory=Clock)
    nodes: ChosenNodes = field(default_factory=ChosenNodes)

    async def order(self, user: str, *command: str | bytes | int) -> Any:
        """A bare command where the user's keys are."""
        return await self.commands.call(self.tag(user), *command)

    def tag(self, user: str) -> str:
        """The user's partition."""
        return self.keys.tag_of(inbox_owner(user))

    async def raise_term(self, user: str) -> None:
        """As if another server had taken over the user's partition."""
        await self.order(user, "HINCRBY", self.keys.term(self.tag(user)), "term", 1)

    async def register(self, user: str = "ann", device: str = PHONE, token: str = "token-1") -> None:
        """Install the app."""
        await self.devices.register(user, device, record(token))

    async def hello(
        self, user: str = "ann", device: str = PHONE, state: DeviceState = "foreground", *, client: str = "c1"
    ) -> Welcome:
        """Connect."""
        return await self.ledger.hello(user, device, Hello(NODE, client, state))

    async def notify(
        self, notification: str = "n1", user: str = "ann", *, full_trace: bool = True, ttl_ms: int = DAY_MS
    ) -> Notified:
        """Tell a user something."""
        terms = EntryTerms(notification, True, self.clock.ms + ttl_ms, full_trace)
        data = b'{"type":"notification","id":"%s"}' % notification.encode()
        return await self.ledger.notify(user, NewEntry(terms, data, "body"))

    async def ack(self, offset: int, epoch: str, user: str = "ann", device: str = PHONE) -> Acked:
        """Prove that a device has everything up to there."""
        (acked,) = await self.ledger.ack([Ack(user, device, epoch, offset, NODE, self.clock.ms, "pong")])
        return acked

    async def due(self, limit: int = 10, lane: str = LANE) -> list[Claimed]:
        """What a worker gets now."""
        return list((await self.ledger.claim(lane, limit, "w1")).rows)

    async def push(self, claimed: Claimed) -> bool:
        """The provider took everything that was claimed."""
        sent = tuple(offset for group in claimed.groups for offset in group.offsets)
        return await self.ledger.finish(
            Finish(claimed.user, claimed.device, claimed.record.lane, claimed.claim, sent=sent, node="w1")
        )

    async def names(self) -> set[str]:
        """Every key of every partition but for those of the connections, without prefix."""
        found: set[str] = set()
        tags = [*self.keys.partition_tags, *(f"t{number}" for number in range(self.keys.partitions))]
        for tag in tags:
            start = f"{self.keys.prefix}{{{tag}}}:"
            found.update(name.decode() for name in await self.commands.call(tag, "KEYS", f"{start}*"))
        return {name for name in found if ":term" not in name and ":probe" not in name}


def record(token: str, *, app: str = "shop") -> DeviceRecord:
    """A registration with this token."""
    return DeviceRecord("ios", "apns", app, "production", token, locale="en")


def offsets_of(claimed: Claimed) -> list[int]:
    """All that a claim tells of."""
    return [offset for group in claimed.groups for offset in group.offsets]


@contextlib.asynccontextmanager
async def running_ledger(
    options: RedisOptions,
    name: str = "a",
    delivery: DeliveryOptions | None = None,
    *,
    real_time: bool = False,
) -> AsyncIterator[LedgerParts]:
    """The ledger as one process has it, for the length of the block."""
    keys = Keys(options.prefix, options.partitions)
    delays = delivery or DeliveryOptions()
    clock, nodes = Clock(), ChosenNodes()
    now_ms = None if real_time else clock.now_ms
    async with contextlib.AsyncExitStack() as undo:
        commands = Commands(options, keys)
        await commands.start()
        undo.push_async_callback(commands.stop)
        link = Link(options, keys, commands, name)
        await link.start()
        undo.push_async_callback(link.stop)
        ledger = RedisLedger(commands, link, keys, nodes, delays, now_ms=now_ms)
        undo.push_async_callback(ledger.stop)
        devices = RedisDevices(commands, keys, nodes, delays, now_ms=now_ms)
        broker = RedisBroker(commands, link, keys, now_ms=now_ms)
        yield LedgerParts(ledger, devices, broker, commands, link, keys, delays, clock, nodes)
