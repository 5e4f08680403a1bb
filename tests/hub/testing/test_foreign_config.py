"""The simulators live in other people's test suites, whose packages may have the names of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.command_line import ROOT


def test_the_simulators_live_beside_a_foreign_config(tmp_path: Path) -> None:
    """And bring nothing of the hub's server with them."""
    for name in ("config", "workers"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise AssertionError('this is not ours')\n")
    program = (
        "import sys\n"
        "sys.path[:0] = sys.argv[1:]\n"
        "from hub.testing.simulators import ApnsSimulator, FcmSimulator, WebPushSimulator\n"
        "from hub.testing.simulators.standing import StandingProviders\n"
        "ApnsSimulator()\n"
        "known = {name.split('.')[0] for name in sys.modules}\n"
        "assert not known & {'config', 'workers', 'pydantic', 'starlette', 'typer', 'redis'}, known\n"
    )
    command = [sys.executable, "-P", "-c", program, str(tmp_path), str(ROOT)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
