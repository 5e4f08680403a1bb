"""A user with a phone, as the cases of the ledger speak of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from hub.delivery.inbox import INBOX_POLICY, inbox_channel
from hub.delivery.model import (
    Ack,
    Acked,
    Claimed,
    DeviceRecord,
    DeviceState,
    DeviceView,
    EntryTerms,
    Finish,
    Hello,
    Mark,
    NewEntry,
    Notified,
    Welcome,
)
from hub.engine import Engine
from hub.model import HistoryFilter, Position, Publication
from tests.contracts.engines import World

PHONE = "phone-0000000001"
TABLET = "tablet-000000001"
NODE = "a"
APNS = "apns:shop:production"
FAR_MS = 4_000_000_000_000
EVERYTHING = HistoryFilter(limit=-1)


def record(token: str = "t1", provider: str = "apns") -> DeviceRecord:
    """A registration with this token."""
    return DeviceRecord("ios", provider, "shop", "production", token)


def new_entry(
    notification: str = "n1",
    *,
    push: bool = True,
    expires_at_ms: int = FAR_MS,
    thread: str = "",
    full_trace: bool = True,
    body: str = "same",
) -> NewEntry:
    """A notification on its way in."""
    terms = EntryTerms(notification, push, expires_at_ms, full_trace, thread, b'{"priority":"high"}')
    return NewEntry(terms, b'{"type":"notification","id":"%s"}' % notification.encode(), body)


@dataclass(slots=True)
class Person:
    """One user of a world, with the steps that many cases take."""

    world: World
    user: str = "ann"
    generations: dict[str, int] = field(default_factory=dict)

    @property
    def engine(self) -> Engine:
        """The engine they are in."""
        return self.world.engine

    async def register(self, device: str = PHONE, token: str = "t1", provider: str = "apns") -> None:
        """Install the app."""
        await self.engine.devices.register(self.user, device, record(token, provider))

    async def hello(
        self,
        device: str = PHONE,
        state: DeviceState = "foreground",
        *,
        client: str = "c1",
        cursor: Position | None = None,
        resumes: int | None = None,
    ) -> Welcome:
        """Connect."""
        hello = Hello(NODE, client, state, cursor, resumes)
        welcome = await self.engine.ledger.hello(self.user, device, hello)
        self.generations[device] = welcome.generation
        return welcome

    async def notify(
        self,
        notification: str = "n1",
        *,
        push: bool = True,
        expires_in_s: float = 0.0,
        thread: str = "",
        full_trace: bool = True,
        body: str = "same",
    ) -> Notified:
        """Be told something; one that expires does so after some seconds of the engine's clock."""
        expires_at_ms = FAR_MS if not expires_in_s else await self.now_ms() + round(expires_in_s * 1000)
        entry = new_entry(
            notification,
            push=push,
            expires_at_ms=expires_at_ms,
            thread=thread,
            full_trace=full_trace,
            body=body,
        )
        return await self.engine.ledger.notify(self.user, entry)

    async def now_ms(self) -> int:
        """The time by the engine's clock."""
        return (await self.engine.ledger.claim("none:none:none", 1, "clock")).now_ms

    async def ack(self, offset: int, device: str = PHONE, *, epoch: str = "", written_ms: int = 0) -> Acked:
        """Prove that a device has everything up to there."""
        epoch = epoch or await self.epoch()
        (acked,) = await self.engine.ledger.ack(
            [Ack(self.user, device, epoch, offset, NODE, written_ms, "pong")]
        )
        return acked

    async def epoch(self) -> str:
        """Of the inbox."""
        return (await self.engine.ledger.summary(self.user)).top.epoch

    async def view(self, device: str = PHONE) -> DeviceView:
        """One of their devices."""
        return next(each for each in await self.engine.devices.view(self.user) if each.id == device)

    async def due(self, lane: str = APNS, limit: int = 10) -> list[Claimed]:
        """What a worker gets now."""
        return list((await self.engine.ledger.claim(lane, limit, "w1")).rows)

    async def due_one(self, lane: str = APNS) -> Claimed:
        """The one row that a worker gets now."""
        (claimed,) = await self.due(lane)
        return claimed

    async def finish(self, claimed: Claimed, **more: object) -> bool:
        """How the worker's claim ended."""
        end = Finish(claimed.user, claimed.device, claimed.record.lane, claimed.claim, node="w1", **more)  # type: ignore[arg-type]
        return await self.engine.ledger.finish(end)

    async def push(self, claimed: Claimed) -> bool:
        """Everything that was claimed went out."""
        offsets = [offset for group in claimed.groups for offset in group.offsets]
        return await self.finish(claimed, sent=(*offsets, *(entry.offset for entry in claimed.rest)))

    async def trace(self, notification: str = "n1") -> list[Mark]:
        """What is known of a notification."""
        return await self.engine.ledger.trace(self.user, notification)

    async def events(self, notification: str = "n1") -> list[str]:
        """The names of its marks."""
        return [mark.event for mark in await self.trace(notification)]

    async def inbox(self) -> tuple[Publication, ...]:
        """What a client that resumes from nothing would get."""
        page = await self.engine.broker.history(inbox_channel(self.user), EVERYTHING, INBOX_POLICY)
        return page.publications
