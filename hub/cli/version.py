"""``hub version``."""

from __future__ import annotations

import platform

import hub
from hub.cli.output import JsonFlag, show


def version(as_json: JsonFlag = False) -> None:
    """Print the version of the hub."""
    python = platform.python_version()
    show(
        f"hub {hub.__version__} (Python {python})",
        {"version": hub.__version__, "python": python},
        as_json=as_json,
    )
