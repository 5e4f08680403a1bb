"""Whatever happens in whichever order, the ledger's rows stay sound: nothing owed is ever forgotten."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from hub.delivery.debts import has_work, owed_entries
from hub.delivery.inbox import inbox_owner
from hub.delivery.options import DeliveryOptions
from hub.engine.memory.broker import MemoryBroker
from hub.engine.memory.devices import MemoryDevices
from hub.engine.memory.inboxes import Inboxes
from hub.engine.memory.ledger import MemoryLedger
from hub.engine.memory.wakes import Wakes
from tests.support.ledger_model import USERS, Clock, LedgerModel, Nodes, Side, Worlds

START_MS = 1_700_000_000_000
LONGEST_WAIT_MS = 30_000
"""The claim; retries of the model, waits and graces are shorter."""


class Invariants:
    """What is true of all rows after every event."""

    def __init__(self, inboxes: Inboxes) -> None:
        self._inboxes = inboxes
        self._before: dict[int, tuple[object, str, int, int, int]] = {}
        self._latest_ms = 0
        """The clock may be set back; what was due by then keeps its time."""

    def check(self) -> None:
        """Look at every row of every user."""
        at = self._inboxes.moment()
        self._latest_ms = max(self._latest_ms, at.now_ms)
        places = set()
        rows: dict[int, tuple[object, str, int, int, int]] = {}
        holders: dict[str, tuple[str, str]] = {}
        for user in USERS:
            owner = inbox_owner(user)
            state = self._inboxes.find(owner, at)
            for row in () if state is None else state.devices.values():
                assert state is not None
                member = f"{owner}:{row.id}"
                assert 0 <= row.acked <= state.top.offset
                assert 0 <= row.pushed <= state.top.offset
                assert all(offset > max(row.acked, row.pushed) for offset in row.sent)
                assert all(offset > row.acked for offset in row.again)
                assert len(row.shown) <= 32
                assert all(offset > state.read for offset in row.shown)
                if row.is_usable:
                    assert row.token_hash not in holders, "two rows with one token"
                    holders[row.token_hash] = (owner, row.id)
                    if has_work(state, row, at):
                        assert row.due_ms is not None, "owed, and never due"
                        assert row.due_ms <= self._latest_ms + LONGEST_WAIT_MS
                    if owed_entries(state, row, at):
                        assert row.p0_ms is not None
                else:
                    assert row.due_ms is None
                    assert not (row.clear or row.claim or row.sent or row.again)
                    assert row.badge_want is None
                if row.due_ms is None:
                    assert self._inboxes.dues.place_of(member) is None
                else:
                    assert self._inboxes.dues.place_of(member) == (row.record.lane, row.due_ms)
                    places.add(member)
                before = self._before.get(id(row))
                if before is not None and before[:2] == (row, row.birth):
                    assert row.acked >= before[2], "a proof was taken back"
                    assert row.pushed >= before[3], "a push was taken back"
                    assert row.generation >= before[4]
                rows[id(row)] = (row, row.birth, row.acked, row.pushed, row.generation)
        assert self._inboxes.dues.members() == places
        assert self._inboxes.holders == holders
        self._before = rows


@pytest.mark.timeout(300)  # shrinking a failure takes its time
@pytest.mark.parametrize("background_counts", [False, True])
def test_rows_stay_sound(background_counts: bool) -> None:
    """Debts have a due time, tokens one row, rows one lane, and what is proven stays proven."""
    loop = asyncio.new_event_loop()
    options = DeliveryOptions(background_counts=background_counts, devices_per_user=2, max_groups=2)

    def new_model() -> LedgerModel:
        clock, nodes, wakes = Clock(START_MS), Nodes(), Wakes()
        broker = MemoryBroker(clock.now_s, clock.now_s)
        inboxes = Inboxes(broker, wakes, options, clock.now_ms, nodes.now)
        side = Side(MemoryLedger(inboxes, wakes), MemoryDevices(inboxes), broker)
        return LedgerModel(Worlds([side], clock, nodes, loop.run_until_complete, Invariants(inboxes).check))

    try:
        run_state_machine_as_test(
            new_model,  # type: ignore[arg-type]  # as good as a class
            settings=settings(
                max_examples=100,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        loop.close()
