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


def load_script(*parts: str, constants: str = "") -> Script:
    """The script made of ``scripts/<part>.lua``, one after the other, named after the last.

    The earlier parts hold what several scripts share. ``constants`` are lines of Lua in front of them,
    for what never changes while a process lives. Reads files: call it once, when a module is imported.
    """
    folder = files(__name__)
    texts = [folder.joinpath(f"{part}.lua").read_text("utf-8") for part in parts]
    text = "\n".join([constants, *texts] if constants else texts)
    return Script(parts[-1], text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
