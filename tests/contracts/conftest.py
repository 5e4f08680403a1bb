from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest

from tests.contracts.engines import ENGINES, LEDGER_ENGINES, World
from tests.support.shared_redis import shared_cluster, shared_server

__all__ = ["ledger_world", "opening", "shared_cluster", "shared_server", "world"]


@pytest.fixture(params=ENGINES.values(), ids=ENGINES)
def opening(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[World]:
    """One engine after the other. Not async, because fixtures that a factory asks for may be."""
    opening: AbstractAsyncContextManager[World] = request.param(request)
    return opening


@pytest.fixture(params=LEDGER_ENGINES)
def ledger_opening(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[World]:
    """One engine with a ledger after the other."""
    return ENGINES[request.param](request)


@pytest.fixture
async def ledger_world(ledger_opening: AbstractAsyncContextManager[World]) -> AsyncIterator[World]:
    """A world of the test's own, of an engine with a ledger."""
    async with ledger_opening as made:
        yield made


@pytest.fixture
async def world(opening: AbstractAsyncContextManager[World]) -> AsyncIterator[World]:
    """A world of the test's own."""
    async with opening as made:
        yield made
