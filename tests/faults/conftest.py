"""What the tests of faults share: one world that is broken and mended, test after test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator

import pytest
import pytest_asyncio

from tests.support.push_world import PushWorld, push_world


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def standing_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PushWorld]:
    """Two hubs and two workers."""
    async with push_world(tmp_path_factory.mktemp("world"), hub_count=2, worker_count=2) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="session")
async def world(standing_world: PushWorld) -> PushWorld:
    """The world of all tests here, everything in it up and well."""
    await standing_world.mend()
    return standing_world


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed shows what the processes of its world logged."""
    report = yield
    world = getattr(item, "funcargs", {}).get("world")
    if report.failed and isinstance(world, PushWorld):
        report.sections.append(("processes", world.logs()))
    return report
