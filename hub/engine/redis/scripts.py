"""Loads the Lua scripts that ship beside this file, one script a file. Knows no server."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script with the name by which a server remembers it (the SHA-1 of its text, hexadecimal)."""

    name: str
    text: str
    sha: str


def load_script(name: str) -> Script:
    """The script ``scripts/<name>.lua``. Reads a file: call it once, when a module is imported."""
    text = files("hub.engine.redis").joinpath("scripts", f"{name}.lua").read_text("utf-8")
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
