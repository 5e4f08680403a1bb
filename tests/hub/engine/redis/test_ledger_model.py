"""The ledger over Redis and the pure rules give the same answers to the same random events."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from hub.delivery.options import DeliveryOptions
from hub.engine.memory.broker import MemoryBroker
from hub.engine.memory.devices import MemoryDevices
from hub.engine.memory.inboxes import Inboxes
from hub.engine.memory.ledger import MemoryLedger
from hub.engine.memory.wakes import Wakes
from hub.engine.redis.broker import RedisBroker
from hub.engine.redis.commands import Commands
from hub.engine.redis.devices import RedisDevices
from hub.engine.redis.keys import Keys
from hub.engine.redis.ledger import RedisLedger
from hub.engine.redis.link import Link
from hub.engine.redis.live_nodes import text_of
from hub.engine.redis.options import RedisOptions
from tests.support.ledger_model import Clock, LedgerModel, Nodes, Side, Worlds
from tests.support.redis_server import RedisServer

AHEAD_MS = 3_600_000
"""How far the clock of the model goes before the server's, so that no key expires by the latter."""


class KnownNodes:
    """Implements ``NodesAlive`` by what the model says."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    @property
    def fresh(self) -> str | None:
        """What lives now."""
        return text_of(self._nodes.live)

    @property
    def age_ms(self) -> int:
        """Read just now."""
        return 0

    async def read(self) -> str:
        """The same."""
        return text_of(self._nodes.live)


@pytest.mark.timeout(600)  # shrinking a failure takes its time
@pytest.mark.parametrize(("partitions", "background_counts"), [(1, False), (1, True), (64, False)])
def test_redis_answers_as_the_rules_do(
    shared_server: RedisServer, partitions: int, background_counts: bool
) -> None:
    """Answers, debts, due times, claims, traces and inboxes, whatever is done in whichever order."""
    loop = asyncio.new_event_loop()
    options = RedisOptions(shared_server.url)
    delays = DeliveryOptions(
        background_counts=background_counts,
        devices_per_user=2,
        max_groups=2,
        trace_ttl_s=30 * 86_400,  # traces go by the server's clock, which the model does not move
    )
    # Nothing of the model waits for a subscription, so the link need not run.
    commands = Commands(options, Keys(options.prefix, options.partitions))
    link = Link(options, Keys(options.prefix, options.partitions), commands, "model")
    numbers = itertools.count()

    def new_model() -> LedgerModel:
        clock, nodes, wakes = Clock(int(time.time() * 1000) + AHEAD_MS), Nodes(), Wakes()
        broker = MemoryBroker(clock.now_s, clock.now_s)
        inboxes = Inboxes(broker, wakes, delays, clock.now_ms, nodes.now)
        specified = Side(MemoryLedger(inboxes, wakes), MemoryDevices(inboxes), broker)
        keys = Keys(f"model-{partitions}-{background_counts}-{next(numbers)}:", partitions)
        known = KnownNodes(nodes)
        tested = Side(
            RedisLedger(commands, link, keys, known, delays, now_ms=clock.now_ms),
            RedisDevices(commands, keys, known, delays, now_ms=clock.now_ms),
            RedisBroker(commands, link, keys, now_ms=clock.now_ms),
        )
        sides = (specified, tested)
        return LedgerModel(Worlds(sides, clock, nodes, loop.run_until_complete, in_due_order=partitions == 1))

    try:
        loop.run_until_complete(commands.start())
        run_state_machine_as_test(
            new_model,  # type: ignore[arg-type]  # as good as a class
            settings=settings(
                max_examples=60,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        loop.run_until_complete(commands.stop())
        loop.close()
