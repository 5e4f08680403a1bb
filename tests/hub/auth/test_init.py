"""The door of the room."""

from __future__ import annotations

import subprocess
import sys

import hub.auth


def test_every_name_of_the_door_is_there() -> None:
    """What is promised can be imported."""
    assert all(hasattr(hub.auth, name) for name in hub.auth.__all__)


def test_the_door_brings_no_http_client() -> None:
    """Whoever only verifies or issues tokens does not pay for httpx."""
    probe = "import sys, hub.auth; sys.exit(any(name in sys.modules for name in ('httpx', 'asyncio')))"
    subprocess.run([sys.executable, "-c", probe], check=True, timeout=30)
