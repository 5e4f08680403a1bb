"""What the parent of several processes takes over from settings that are read again."""

from __future__ import annotations

from typing import Any

import pytest

from config import LoadedSettings, read_settings
from hub.cli import processes
from hub.ops.supervisor import Supervisor
from tests.support.hub_process import BASE


def settings(**more: Any) -> LoadedSettings:
    """Those of a hub on any port."""
    return read_settings(
        None, {}, {**BASE, "http.port": 0, **{name.replace("__", "."): value for name, value in more.items()}}
    )


def test_children_get_the_time_that_their_settings_give_them_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a drain that was made longer at run time, they are not killed in the middle of it."""
    bounds_s: list[float] = []

    async def told_twice(supervisor: Supervisor) -> int:
        bounds_s.append(supervisor.end_within_s)
        assert supervisor._on_reload()
        bounds_s.append(supervisor.end_within_s)
        return 0

    monkeypatch.setattr(Supervisor, "run", told_twice)
    former = settings(shutdown__ready_wait_s=5, shutdown__deadline_s=20)
    longer = settings(shutdown__ready_wait_s=10, shutdown__deadline_s=120)
    assert processes.run_processes(2, former, [], on_ready=lambda urls: None, reread=lambda: longer) == 0
    assert bounds_s[0] > 25
    assert bounds_s[1] == bounds_s[0] + 105
