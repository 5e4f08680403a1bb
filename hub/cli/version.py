"""``hub version``."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

from hub.cli.output import JsonFlag, show

DISTRIBUTION = "realtime-push-hub"


def hub_version() -> str:
    """The version that is installed; ``unknown`` when the hub runs from a bare checkout."""
    try:
        return installed_version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


def version(as_json: JsonFlag = False) -> None:
    """Print the version of the hub."""
    number, python = hub_version(), platform.python_version()
    show(f"hub {number} (Python {python})", {"version": number, "python": python}, as_json=as_json)
