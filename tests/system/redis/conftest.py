"""What the system tests on Redis share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.js_client import JsDriver, js_driver


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def js() -> AsyncIterator[JsDriver]:
    """One Node process for all swarms of a module."""
    async with js_driver() as driver:
        yield driver
