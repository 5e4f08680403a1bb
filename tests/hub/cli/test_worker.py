"""``hub worker``: what it refuses before anything runs, and what it says when it does."""

from __future__ import annotations

from pathlib import Path

from tests.support.command_line import run_hub
from tests.support.processes import free_port
from tests.support.redis_server import RedisServer
from tests.support.shared_redis import shared_server

__all__ = ["shared_server"]

APP = """
[[push.apps]]
name = "demo"
provider = "recording"
"""


def test_there_is_none_on_the_memory_engine(tmp_path: Path) -> None:
    """There is nothing that a second process could see."""
    done = run_hub("worker", cwd=tmp_path)
    assert done.code == 2
    assert "no separate worker on the memory engine" in done.err


def test_redis_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    """A worker without its engine does not start."""
    url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    done = run_hub("worker", cwd=tmp_path, env={"REDIS_URL": url})
    assert done.code == 1
    assert "cannot start without Redis" in done.err
    assert "hunter2" not in done.err + done.out


def test_lanes_that_are_not_there_are_wrong_usage(tmp_path: Path) -> None:
    """Those that are there are named."""
    (tmp_path / "hub.toml").write_text(APP)
    done = run_hub(
        *("worker", "--lanes", "apns:*", "--config", "hub.toml"),
        cwd=tmp_path,
        env={"REDIS_URL": "redis://127.0.0.1:1"},
    )
    assert done.code == 2
    assert "recording:demo:production" in done.err


def test_a_worker_with_no_lane_that_works_says_why_of_each(
    tmp_path: Path, shared_server: RedisServer
) -> None:
    """Its credentials are the operator's to mend: exit 2, as for any other wrong setting."""
    (tmp_path / "hub.toml").write_text(APP + f'credentials = "{tmp_path}/no/such/place"\n')
    done = run_hub("worker", "--config", "hub.toml", cwd=tmp_path, env={"REDIS_URL": shared_server.url})
    assert done.code == 2
    assert "recording:demo:production: " in done.err
    assert "cannot be written" in done.err
