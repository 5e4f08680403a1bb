"""Open files and memory against what is expected."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from hub.doctor.finding import Level
from hub.doctor.machine import check_machine
from tests.hub.doctor.findings import levels


@pytest.fixture
def limited() -> Iterator[int]:
    """A soft limit of 1024 open files, as many systems have it."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    yield 1024
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_limit_that_suffices(limited: int) -> None:
    """A few files are reserved for the hub itself."""
    assert levels(check_machine(800), "1024 open files") == [Level.OK]
    assert levels(check_machine(1000), "1024 open files") == [Level.ERROR]


def test_an_expectation_that_nobody_named_is_no_error(limited: int) -> None:
    """The usual number is a guess."""
    assert levels(check_machine(None), "1024 open files") == [Level.WARNING]


def test_memory_for_all_of_them() -> None:
    """A number that no machine holds."""
    assert levels(check_machine(10**9), "MiB of memory are left") == [Level.WARNING]
