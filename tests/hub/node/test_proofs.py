"""Proofs and departures reach the ledger once, in order, and also where the engine was away meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from hub.delivery.model import Ack, Acked, Hello, Unproven, Welcome
from hub.engine import Ledger
from hub.errors import EngineUnavailable
from hub.model import Position
from hub.node import proofs as room
from hub.node.proofs import Proofs
from tests.support.waiting import eventually


class TellingLedger:
    """Notes what it is told. ``away`` are the devices whose partition does not answer."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.away: set[str] = set()
        self.broken: set[str] = set()

    async def ack(self, acks: Sequence[Ack]) -> list[Acked]:
        await asyncio.sleep(0)
        self._check(*(ack.device for ack in acks))
        self.told.append([(ack.device, ack.offset) for ack in acks])
        return [Acked(Position(9, "e"), ack.offset, known=True, same_epoch=True) for ack in acks]

    async def leave(self, user: str, device: str, generation: int, how: str, unproven: object) -> None:
        await asyncio.sleep(0)
        self._check(device)
        self.told.append((device, generation, how, unproven))

    async def hello(self, user: str, device: str, hello: Hello) -> Welcome:
        self._check(device)
        self.told.append(("hello", device))
        return cast(Welcome, None)

    def _check(self, *devices: str) -> None:
        if self.away.intersection(devices):
            raise EngineUnavailable
        if self.broken.intersection(devices):
            raise ValueError("a mistake")


@pytest.fixture
def ledger() -> TellingLedger:
    """One that is there."""
    return TellingLedger()


@pytest.fixture
async def proofs(ledger: TellingLedger) -> AsyncIterator[Proofs]:
    """The way to it."""
    made = Proofs(cast(Ledger, ledger))
    yield made
    await made.stop(0.0)


def proof(device: str, offset: int, epoch: str = "e") -> Ack:
    """A pong of this device."""
    return Ack("u", device, epoch, offset, "n", 1, "pong")


async def test_the_newest_proofs_of_a_turn_are_one_call(proofs: Proofs, ledger: TellingLedger) -> None:
    """However many publications were proven."""
    for device, offset in (("a", 1), ("b", 1), ("a", 3), ("a", 2)):
        proofs.prove(proof(device, offset))
    await eventually(lambda: bool(ledger.told))
    assert ledger.told == [[("a", 3), ("b", 1)]]


async def test_many_proofs_are_told_in_portions(proofs: Proofs, ledger: TellingLedger) -> None:
    """All that was kept while the engine was away would stop the loop for seconds."""
    for number in range(2 * room._AT_ONCE + 1):
        proofs.prove(proof(f"d{number}", 1))
    await eventually(lambda: len(ledger.told) == 3)
    assert [len(call) for call in ledger.told] == [room._AT_ONCE, room._AT_ONCE, 1]


async def test_an_offset_of_another_epoch_is_not_compared(proofs: Proofs, ledger: TellingLedger) -> None:
    """The later one counts."""
    proofs.prove(proof("a", 5, "old"))
    proofs.prove(proof("a", 2, "new"))
    await eventually(lambda: bool(ledger.told))
    assert ledger.told == [[("a", 2)]]


async def test_a_departure_follows_what_was_proven(proofs: Proofs, ledger: TellingLedger) -> None:
    """Even said before it: the pong was there first."""
    unproven = Unproven(4, 1)
    proofs.leave("u", "a", 7, "dropped", unproven)
    proofs.prove(proof("a", 3))
    await eventually(lambda: len(ledger.told) == 2)
    assert ledger.told == [[("a", 3)], ("a", 7, "dropped", unproven)]


async def test_what_the_engine_could_not_take_is_kept(proofs: Proofs, ledger: TellingLedger) -> None:
    """The newest of each device, departures behind it."""
    ledger.away = {"a"}
    proofs.prove(proof("a", 1))
    proofs.leave("u", "a", 7, "closed", None)
    proofs.prove(proof("b", 1))
    proofs.leave("u", "b", 2, "closed", None)
    await eventually(lambda: len(ledger.told) == 2)
    assert ledger.told == [[("b", 1)], ("b", 2, "closed", None)]
    proofs.prove(proof("a", 2))
    ledger.away = set()
    await eventually(lambda: len(ledger.told) == 4)
    assert ledger.told[2:] == [[("a", 2)], ("a", 7, "closed", None)]


async def test_of_two_departures_the_later_counts(proofs: Proofs, ledger: TellingLedger) -> None:
    """A former connection that ends late has nothing to say."""
    ledger.away = {"a"}
    proofs.leave("u", "a", 8, "dropped", None)
    proofs.leave("u", "a", 7, "closed", None)
    await asyncio.sleep(0.01)
    proofs.leave("u", "a", 9, "closed", None)
    ledger.away = set()
    await eventually(lambda: bool(ledger.told))
    assert ledger.told == [("a", 9, "closed", None)]


async def test_a_hello_comes_after_what_was_proven_before(proofs: Proofs, ledger: TellingLedger) -> None:
    """A device that comes back is not sent again what it has proven to have."""
    proofs.prove(proof("a", 3))
    await proofs.hello("u", "a", cast(Hello, None))
    assert ledger.told == [[("a", 3)], ("hello", "a")]


async def test_the_oldest_is_given_up_where_too_many_wait(
    proofs: Proofs, ledger: TellingLedger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An engine that stays away fills no memory."""
    monkeypatch.setattr(room, "MAX_KEPT", 2)
    ledger.away = {"a", "b", "c"}
    for device in "abc":
        proofs.prove(proof(device, 1))
    await eventually(lambda: "1 proofs are given up" in caplog.text)
    ledger.away = set()
    await eventually(lambda: bool(ledger.told))
    assert ledger.told == [[("b", 1), ("c", 1)]]


async def test_a_mistake_in_one_holds_back_no_other(
    proofs: Proofs, ledger: TellingLedger, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged and not repeated."""
    ledger.broken = {"a"}
    proofs.prove(proof("a", 1))
    proofs.prove(proof("b", 1))
    await eventually(lambda: bool(ledger.told))
    assert ledger.told == [[("b", 1)]]
    assert caplog.text.count("ValueError: a mistake") == 1
    proofs.prove(proof("b", 2))
    await eventually(lambda: len(ledger.told) == 2)


async def test_the_end_waits_for_what_is_to_tell(ledger: TellingLedger) -> None:
    """As long as it may."""
    proofs = Proofs(cast(Ledger, ledger))
    proofs.prove(proof("a", 1))
    proofs.leave("u", "a", 7, "drained", None)
    await proofs.stop(5.0)
    assert ledger.told == [[("a", 1)], ("a", 7, "drained", None)]
    ledger.away = {"a"}
    proofs.prove(proof("a", 2))
    await proofs.stop(0.05)
    assert len(ledger.told) == 2
