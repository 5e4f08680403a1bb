"""Loads the Lua scripts that ship beside this file, one script a file. Knows no server."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

_FUNCTION = re.compile(r"^(local function (\w+)\(.*?^end\n)", re.MULTILINE | re.DOTALL)
_WORD = re.compile(r"\w+")
_COMMENT = re.compile(r"--.*")

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script with the name by which a server remembers it (the SHA-1 of its text, hexadecimal)."""

    name: str
    text: str
    sha: str


def load_script(*parts: str, constants: Mapping[str, str] = _NOTHING) -> Script:
    """The script made of ``scripts/<part>.lua``, one after the other, named after the last.

    The earlier parts hold what several scripts share; functions of theirs that this one does not use are
    left out, because each is made anew at every call. ``constants`` are words in them and what
    stands for each: a number in the text costs nothing, a local that functions share costs each call a
    little, for each function. Reads files: call it once, when a module is imported.
    """
    folder = files(__name__)
    *shared, own = (folder.joinpath(f"{part}.lua").read_text("utf-8") for part in parts)
    text = _without_unused("\n".join(shared), own)
    if constants:
        text = re.sub(r"\b[A-Z][A-Z0-9_]+\b", lambda word: constants.get(word[0], word[0]), text)
    return Script(parts[-1], text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _without_unused(shared: str, own: str) -> str:
    """``shared`` and ``own``, without the functions of ``shared`` that nothing uses.

    A function begins with ``local function`` and ends with ``end``, both at the beginning of a line.
    """
    pieces = _FUNCTION.split(shared)
    # Text, then name and function in turn with the text behind it.
    kept = [pieces[-1]]
    used = _words_of(own).union(*map(_words_of, pieces[::3]))
    for place in range(len(pieces) - 3, 0, -3):
        function, name = pieces[place], pieces[place + 1]
        if name in used:
            used |= _words_of(function)
            kept.append(function)
        kept.append(pieces[place - 1])
    return "".join(reversed(kept)) + "\n" + own


def _words_of(text: str) -> set[str]:
    return set(_WORD.findall(_COMMENT.sub("", text)))
