"""What of the embedded engine is freed, and when."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from hub.delivery.inbox import INBOX_POLICY
from hub.delivery.model import EntryTerms, NewEntry
from hub.delivery.options import SEEN_TTL_S, DeliveryOptions
from hub.engine import Engine
from hub.engine.jobs import NOTICE_TTL_S, NewNotice
from hub.engine.memory import memory_engine
from hub.engine.memory.broker import SWEPT_AT_ONCE, MemoryBroker
from tests.contracts.inboxes import PHONE, record


@dataclass(slots=True)
class Clock:
    """Seconds that a test moves."""

    now_s: float = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Parts:
    """An engine and its clock."""

    engine: Engine
    clock: Clock

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and free what is over."""
        self.clock.now_s += seconds
        assert isinstance(self.engine.broker, MemoryBroker)
        self.engine.broker.sweep()


@pytest.fixture
def parts() -> Parts:
    """A new world."""
    clock = Clock()
    return Parts(memory_engine(lambda: clock.now_s, lambda: clock.now_s), clock)


def entry(name: str = "n1") -> NewEntry:
    """A notification for ever."""
    return NewEntry(EntryTerms(name, push=True, expires_at_ms=10**15), b"{}", "hash")


async def test_an_id_is_known_as_long_as_its_entry(parts: Parts) -> None:
    """A week later it is a new one."""
    await parts.engine.ledger.notify("ann", entry())
    parts.pass_time(SEEN_TTL_S - 1)
    assert (await parts.engine.ledger.notify("ann", entry())).duplicate
    parts.pass_time(1)
    assert not (await parts.engine.ledger.notify("ann", entry())).duplicate


async def test_what_is_too_old_is_owed_no_more(parts: Parts) -> None:
    """The inbox decides what there is; where it begins again, so does the device."""
    await parts.engine.devices.register("ann", PHONE, record())
    await parts.engine.ledger.notify("ann", entry())
    parts.pass_time(INBOX_POLICY.ttl_s)
    assert (await parts.engine.ledger.claim(record().lane, 5, "w")).rows == ()
    (view,) = await parts.engine.devices.view("ann")
    assert view.owed == 0


async def test_rows_go_with_their_inbox(parts: Parts) -> None:
    """400 days after anything was heard of them."""
    await parts.engine.devices.register("ann", PHONE, record())
    parts.pass_time(INBOX_POLICY.meta_ttl_s - 1)
    assert await parts.engine.devices.view("ann")
    parts.pass_time(1)
    assert await parts.engine.devices.view("ann") == []


async def test_only_the_newest_entries_are_owed(parts: Parts) -> None:
    """What the inbox let go for its size cannot be pushed."""
    await parts.engine.devices.register("ann", PHONE, record())
    for number in range(INBOX_POLICY.size + 7):
        await parts.engine.ledger.notify("ann", entry(f"n{number}"))
    (view,) = await parts.engine.devices.view("ann")
    assert view.owed == INBOX_POLICY.size


async def test_traces_go_some_time_after_the_last_mark(parts: Parts) -> None:
    """By the setting."""
    ttl_s = DeliveryOptions().trace_ttl_s
    await parts.engine.ledger.notify("ann", entry())
    parts.pass_time(ttl_s - 1)
    await parts.engine.ledger.opened("ann", PHONE, "n1")
    parts.pass_time(ttl_s - 1)
    assert len(await parts.engine.ledger.trace("ann", "n1")) == 2
    parts.pass_time(1)
    assert await parts.engine.ledger.trace("ann", "n1") == []


async def test_notices_go_after_a_week_with_what_nobody_expanded(parts: Parts) -> None:
    """Nothing may wait for ever."""
    await parts.engine.jobs.open(NewNotice("n1", "hash", b"", ["ann"], as_job=True))
    parts.pass_time(NOTICE_TTL_S)
    assert await parts.engine.jobs.status("n1") is None
    assert await parts.engine.jobs.claim_step(30) is None


async def test_who_only_asks_leaves_nothing(parts: Parts) -> None:
    """Anybody may ask for users without end."""
    for number in range(50):
        user = f"user{number}"
        await parts.engine.ledger.summary(user)
        await parts.engine.ledger.plan(user)
        await parts.engine.devices.view(user)
        await parts.engine.ledger.withdraw(user, "n1")
    assert [each async for each in parts.engine.devices.export()] == []
    assert parts.engine.ledger._inboxes.owners() == []  # type: ignore[attr-defined]


async def test_sweeping_many_leaves_others_their_turn(parts: Parts) -> None:
    """Of streams, of traces and of users: nobody waits until all of them are looked at."""
    for number in range(2 * SWEPT_AT_ONCE):
        entry = NewEntry(EntryTerms("n1", True, 4_000_000_000_000), b"{}", "h")
        await parts.engine.ledger.notify(f"u{number}", entry)
    assert isinstance(parts.engine.broker, MemoryBroker)
    assert len(list(parts.engine.broker._sweep_in_turns())) >= 3 * 2


async def test_an_id_that_is_used_again_is_forgotten_after_the_others(parts: Parts) -> None:
    """It stands in nobody's way, and is known for its whole time."""
    for notification in ("n1", "n2"):
        await parts.engine.ledger.notify("u", NewEntry(EntryTerms(notification, True, 1), b"{}", "h"))
        parts.clock.now_s += 1
    parts.clock.now_s += SEEN_TTL_S
    entry = NewEntry(EntryTerms("n1", True, 1), b"{}", "h")
    assert not (await parts.engine.ledger.notify("u", entry)).duplicate
    parts.pass_time(SEEN_TTL_S - 1)
    assert (await parts.engine.ledger.notify("u", entry)).duplicate
    parts.pass_time(2)
    assert not (await parts.engine.ledger.notify("u", entry)).duplicate
