from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest

from tests.contracts.engines import ENGINES, World
from tests.support.shared_redis import shared_cluster, shared_server

__all__ = ["opening", "shared_cluster", "shared_server", "world"]


@pytest.fixture(params=ENGINES.values(), ids=ENGINES)
def opening(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[World]:
    """One engine after the other. Not async, because fixtures that a factory asks for may be."""
    opening: AbstractAsyncContextManager[World] = request.param(request)
    return opening


@pytest.fixture
async def world(opening: AbstractAsyncContextManager[World]) -> AsyncIterator[World]:
    """A world of the test's own."""
    async with opening as made:
        yield made
