"""Each engine in turn."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contracts.engines import ENGINES, World


@pytest.fixture(params=ENGINES.values(), ids=ENGINES)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A world of the test's own."""
    async with request.param() as made:
        yield made
