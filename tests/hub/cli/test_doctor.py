"""``hub doctor``, as an operator runs it."""

from __future__ import annotations

from pathlib import Path

from tests.support.command_line import run_hub
from tests.support.processes import free_port

SECRET = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def test_in_order(tmp_path: Path) -> None:
    """What was looked at is told, one line each; the exit code is 0 although there are notes."""
    done = run_hub("doctor", "--connections", "100", cwd=tmp_path, env={"HUB_AUTH__SECRET": SECRET})
    assert done.code == 0
    assert "ok       settings: no mistake in them" in done.out
    assert "→ " in done.out
    assert "0 errors, 0 warnings" in done.out
    assert (SECRET in done.out + done.err, done.err) == (False, "")


def test_something_is_broken(tmp_path: Path) -> None:
    """1, and what it is stands there."""
    port = free_port()
    env = {"HUB_AUTH__SECRET": SECRET, "HUB_REDIS__URL": f"redis://127.0.0.1:{port}"}
    done = run_hub("doctor", "--json", cwd=tmp_path, env=env)
    assert (done.code, done.value["ok"], done.value["counts"]["error"]) == (1, False, 1)
    (broken,) = [each for each in done.value["findings"] if each["level"] == "error"]
    assert (broken["area"], str(port) in broken["what"]) == ("redis", True)
    assert broken["advice"]


def test_wrong_settings_are_all_named_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    """2, with every mistake, and what else can be seen besides."""
    env = {"HUB_PING__INTERVAL_S": "soon", "HUB_HTTP__HOTS": "x", "HUB_HTTP__ALLOWED_ORIGINS": "*"}
    done = run_hub("doctor", cwd=tmp_path, env=env)
    assert done.code == 2
    assert "HUB_PING__INTERVAL_S: ping.interval_s: should be a whole number" in done.out
    assert "HUB_HTTP__HOTS: is not a setting" in done.out
    assert "there is nothing to verify the tokens of clients with" in done.out
    assert "lets pages of every site connect" in done.out


def test_a_file_that_cannot_be_read_at_all(tmp_path: Path) -> None:
    """Then there is only that to say."""
    (tmp_path / "hub.toml").write_text("this is = = no toml")
    done = run_hub("doctor", "--config", "hub.toml", cwd=tmp_path)
    assert done.code == 2
    assert "ERROR    settings: hub.toml" in done.out
