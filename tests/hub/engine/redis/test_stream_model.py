"""The broker over Redis and the embedded one give the same answers to the same random use."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from hub.engine.memory.broker import MemoryBroker
from hub.engine.redis.broker import RedisBroker
from hub.engine.redis.commands import Commands
from hub.engine.redis.keys import Keys
from hub.engine.redis.link import Link
from hub.engine.redis.options import RedisOptions
from tests.hub.engine.redis.stream_model import Clock, StreamModel, TwoBrokers
from tests.support.redis_server import RedisServer

AHEAD_S = 3600
"""How far the clock of the model goes before the server's, so that no key expires by the latter."""


@pytest.mark.timeout(300)  # shrinking a failure takes its time
def test_redis_answers_as_memory_does(shared_server: RedisServer) -> None:
    """Positions, pages, duplicates, order and age, whatever is done in whichever order."""
    loop = asyncio.new_event_loop()
    options = RedisOptions(shared_server.url)
    # Nothing of the model waits for a subscription, so the link need not run.
    commands = Commands(options, Keys(options.prefix, options.partitions))
    link = Link(options, Keys(options.prefix, options.partitions), commands, "model")
    numbers = itertools.count()

    def new_model() -> StreamModel:
        clock = Clock(int(time.time()) + AHEAD_S)
        tested = RedisBroker(commands, link, Keys(f"model{next(numbers)}:", 4), now_ms=clock.now_ms)
        specified = MemoryBroker(clock.now_s, clock.now_s)
        return StreamModel(TwoBrokers(tested, specified, clock, loop.run_until_complete))

    try:
        loop.run_until_complete(commands.start())
        run_state_machine_as_test(
            new_model,
            settings=settings(
                max_examples=300,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        loop.run_until_complete(commands.stop())
        loop.close()
