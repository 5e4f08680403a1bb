"""What a check can find, and the questions that several checks ask. Knows no setting."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath

from config.problems import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at ``path``, given what stands there and at ``needs``.

    ``missing`` says that the mistake is an absence.
    """

    path: Path
    message: str
    needs: tuple[Path, ...] = ()
    missing: bool = False


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``. Names other than ``localhost`` are not looked up."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def unreadable(path: Path, file: FilePath | None) -> Iterator[Finding]:
    """What keeps the file named at ``path`` from being read."""
    if file is None:
        return
    if not file.is_file():
        yield Finding(path, "names a file that does not exist")
    elif not os.access(file, os.R_OK):
        yield Finding(path, "names a file that this user may not read")
