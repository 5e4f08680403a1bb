"""The command line as a person runs it: a process of its own, in a directory of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 30


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The one JSON object it printed."""
        return json.loads(self.out)


def run_hub(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, stdin: str | None = None
) -> Outcome:
    """Run ``python -m hub`` to its end, with no ``HUB_*`` variables but those of ``env``."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HUB_") and name not in ("PORT", "REDIS_URL", "OTEL_EXPORTER_OTLP_ENDPOINT")
    }
    inherited["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "hub", *arguments],
        cwd=cwd,
        env=inherited | dict(env or {}),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Outcome(done.returncode, done.stdout, done.stderr)
