"""Payloads as the server API's requests carry them: JSON as it was written, or base64. Knows no method."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64

from msgspec import Raw, UnsetType

from hub.errors import BAD_REQUEST, HubError
from hub.payloads import MAX_DEPTH, is_too_deep


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
    if is_too_deep(payload):
        raise HubError(BAD_REQUEST, f"`{field}` is nested deeper than {MAX_DEPTH} levels")
    return payload
