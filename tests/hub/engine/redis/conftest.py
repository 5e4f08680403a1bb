"""Real Redis servers for the tests of this room."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.engine.redis.options import RedisOptions
from tests.support.processes import free_port, running


@pytest.fixture
async def redis_options(tmp_path: Path) -> AsyncIterator[RedisOptions]:
    """An empty Redis of this test's own."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    async with running(command, log_path=tmp_path / "redis.log", port=port):
        yield RedisOptions(f"redis://127.0.0.1:{port}", partitions=4)
