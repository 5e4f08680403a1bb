"""Programs outside Python that tests need. A missing one is an error, never a skipped test."""

from __future__ import annotations

import os
import shutil

_PACKAGES = {
    "nginx": "nginx-light",
    "haproxy": "haproxy",
    "redis-server": "redis-server",
    "node": "nodejs",
    "openssl": "openssl",
}
_MORE_PLACES = ("/usr/sbin", "/usr/local/sbin", "/sbin")
"""Where Debian puts servers, which an ordinary user's PATH leaves out."""


class ProgramMissing(RuntimeError):
    """A test cannot run here; the text says what to install."""


def require_program(name: str) -> str:
    """The full path of ``name``.

    Raises:
        ProgramMissing: naming the Debian package that brings it.
    """
    path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_MORE_PLACES]))
    if path is None:
        package = _PACKAGES.get(name, name)
        raise ProgramMissing(f"this test needs the program {name!r}: apt-get install {package}")
    return path
