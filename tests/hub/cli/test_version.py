"""``hub version``, and the command line as a whole."""

from __future__ import annotations

from pathlib import Path

import hub
from tests.support.command_line import run_hub


def test_version_is_that_of_the_package(tmp_path: Path) -> None:
    """One number, for people and for programs."""
    assert run_hub("version", cwd=tmp_path).out.startswith(f"hub {hub.__version__} ")
    assert run_hub("version", "--json", cwd=tmp_path).value["version"] == hub.__version__


def test_no_command_and_a_wrong_one_exit_with_2(tmp_path: Path) -> None:
    """Wrong usage is 2 everywhere."""
    assert run_hub(cwd=tmp_path).code == 2
    assert run_hub("sevre", cwd=tmp_path).code == 2


def test_every_command_explains_itself(tmp_path: Path) -> None:
    """The overview names all of them."""
    done = run_hub("--help", cwd=tmp_path)
    assert done.code == 0
    for command in ("serve", "worker", "token", "publish", "config", "version"):
        assert f"  {command} " in done.out
