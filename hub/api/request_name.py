"""What logs call a request: as its caller names it, if that is a plain name, else by a number of its own."""

from __future__ import annotations

import itertools
import re

_PLAIN = re.compile(rb"[\w.:+/=-]{1,64}")
_numbers = itertools.count(1)


def request_name(given: bytes) -> str:
    """The name for a request whose ``X-Request-ID`` is ``given``; anything may stand in that."""
    if given and _PLAIN.fullmatch(given):
        return given.decode()
    return str(next(_numbers))
