"""What may be published: bytes that can stand in JSON, or are said not to. Checks, and never re-serialises.

Whoever takes a payload from a backend asks here, so that all of them take the same. Knows no
request and no channel.
"""

from __future__ import annotations

import re

from msgspec import DecodeError, Raw
from msgspec.json import Decoder

MAX_DEPTH = 256
"""Arrays and objects within each other. Parsers of phones recurse, and one that gives up loses the frame."""

_skimmer = Decoder(Raw)
_MARKS = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def is_json(payload: bytes) -> bool:
    """Whether ``payload`` can stand in a JSON document as it is."""
    try:
        if not payload.isascii():
            payload.decode()
        _skimmer.decode(payload)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def is_too_deep(payload: bytes) -> bool:
    """Whether a JSON payload is nested deeper than ``MAX_DEPTH``."""
    if payload.count(b"[") + payload.count(b"{") <= MAX_DEPTH:
        return False
    depth, in_text = 0, False
    for mark in _MARKS.finditer(payload):
        sign = payload[mark.start()]
        if sign == ord('"'):
            in_text = not in_text
        elif not in_text:
            depth += _STEP.get(sign, 0)
            if depth > MAX_DEPTH:
                return True
    return False
