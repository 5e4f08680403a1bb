"""What a backend wants published, and whether it can be: the same rules as those of the server API.

Pure: knows no connection and no namespace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from hub.errors import BAD_REQUEST, DATA_TOO_LARGE, HubError
from hub.payloads import MAX_DEPTH, is_json, is_too_deep

MAX_KEY_LENGTH = 512
"""Of an idempotency key and of a version epoch, in characters: Redis keeps them beside the channel."""

_MAX_VERSION = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPublication:
    """One publication to be made.

    ``data`` is a JSON value (as orjson writes it), or ``bytes`` that are a JSON document already
    and travel as they are. With ``opaque``, ``data`` is bytes that need not be JSON; clients that
    speak the JSON protocol cannot be given such. ``tags`` travel beside the data.

    An ``idempotency_key`` that was used in the same channel within 300 s publishes nothing and gives
    the first answer. A ``version`` above 0 is published only if it is greater than the last one of
    the channel and ``version_epoch``. ``delta`` lets it travel as a patch to those who agreed on
    that. ``skip_history`` delivers it and keeps nothing.
    """

    channel: str
    data: Any
    opaque: bool = False
    tags: Mapping[str, str] | None = None
    idempotency_key: str = ""
    delta: bool = False
    version: int = 0
    version_epoch: str = ""
    skip_history: bool = False


def check_fields(new: NewPublication) -> None:
    """Refuse what no hub would take, whatever the channel.

    Raises:
        HubError: 107, naming the field.
    """
    if not _is_text(new.channel):
        raise HubError(BAD_REQUEST, "`channel` is a text")
    for name, key in (("idempotency_key", new.idempotency_key), ("version_epoch", new.version_epoch)):
        if not _is_text(key) or len(key) > MAX_KEY_LENGTH:
            raise HubError(BAD_REQUEST, f"`{name}` is a text of at most {MAX_KEY_LENGTH} characters")
    version: object = new.version
    if isinstance(version, bool) or not (isinstance(version, int) and 0 <= version <= _MAX_VERSION):
        raise HubError(BAD_REQUEST, "`version` is a whole number from 0 to 2^63 - 1")
    tags: object = new.tags or {}
    if not isinstance(tags, Mapping) or not all(_is_text(text) for pair in tags.items() for text in pair):
        raise HubError(BAD_REQUEST, "`tags` are texts by texts")


def payload_of(data: Any, *, opaque: bool, max_bytes: int) -> bytes:
    """The bytes to publish.

    Raises:
        HubError: 107 for data that is no JSON, empty, or nested deeper than ``MAX_DEPTH``; 1006 for
            more than ``max_bytes``.
    """
    payload = _opaque_bytes(data) if opaque else _json_bytes(data)
    if not payload:
        raise HubError(BAD_REQUEST, "`data` is required")
    if len(payload) > max_bytes:
        raise HubError(DATA_TOO_LARGE, f"{len(payload)} bytes, and max_data_bytes is {max_bytes}")
    if not opaque and is_too_deep(payload):
        raise HubError(BAD_REQUEST, f"`data` is nested deeper than {MAX_DEPTH} levels")
    return payload


def _opaque_bytes(data: Any) -> bytes:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise HubError(BAD_REQUEST, "opaque `data` is bytes")
    return bytes(data)


def _json_bytes(data: Any) -> bytes:
    if isinstance(data, bytes | bytearray | memoryview):
        payload = bytes(data)
        if payload and not is_json(payload):
            raise HubError(
                BAD_REQUEST, "`data` is not a JSON document: say opaque=True if it is not meant to be"
            )
        return payload
    try:
        return orjson.dumps(data)
    except TypeError as error:
        # orjson names the type or the rule that was broken, and none of the data.
        raise HubError(BAD_REQUEST, f"`data` cannot be written as JSON: {error}") from None


def _is_text(value: object) -> bool:
    """Whether it is a text that can be written in UTF-8: halves of characters cannot."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
