"""Payloads of the server API: opaque bytes that must be able to stand in JSON, or say that they are not.

Checks, and never re-serialises. Knows no request and no method.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NotBase64

from msgspec import DecodeError, Raw, UnsetType
from msgspec.json import Decoder

from hub.errors import BAD_REQUEST, HubError

MAX_DEPTH = 256
"""Arrays and objects within each other. Parsers of phones recurse, and one that gives up loses the frame."""

_skimmer = Decoder(Raw)
_MARKS = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def payload_of(raw: Raw | UnsetType, b64: str | None, field: str) -> bytes | None:
    """The bytes that were sent in ``field`` or, before that, in its base64 form; None for neither.

    Raises:
        HubError: 107 when the base64 form is none, or JSON is nested deeper than ``MAX_DEPTH``.
    """
    if b64:
        try:
            return b64decode(b64, validate=True)
        except (NotBase64, ValueError):
            raise HubError(BAD_REQUEST, f"`b64{field}` is not base64") from None
    if isinstance(raw, UnsetType):
        return None
    payload = bytes(raw)
    if _too_deep(payload):
        raise HubError(BAD_REQUEST, f"`{field}` is nested deeper than {MAX_DEPTH} levels")
    return payload


def is_json(payload: bytes) -> bool:
    """Whether ``payload`` can stand in a JSON document as it is."""
    try:
        if not payload.isascii():
            payload.decode()
        _skimmer.decode(payload)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _too_deep(payload: bytes) -> bool:
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
