"""A push as the JSON that a service worker receives, and the headers that go around it.

The object has ``hub`` (contract 6), ``notification`` and ``data`` as far as given, ``badge`` and
``tag``. Overrides are merged last and cannot take ``hub`` out. Silence is the service worker's
business: browsers ask that something be shown for each push, so ``hub.kind`` tells what.

Knows neither encryption nor endpoints nor a clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from workers.payloads.fitting import Fitted, Trimmed, fit, patched, without_content
from workers.push import Push

MAX_BODY_BYTES: Final = 4096
"""What a push service must take (RFC 8030, 7.2), counted after encryption."""

ENCRYPTION_BYTES: Final = 103
"""What ``aes128gcm`` adds to one record: an 86-byte header, one byte of padding, a 16-byte tag (RFC 8188)."""

MAX_TTL_S: Final = 2_419_200
"""Four weeks, the most that push services keep anything."""

GENERIC_TEXT: Final = "You have a new notification"

_TOPIC: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


class WebPushMessage(Struct, frozen=True):
    """What is to be encrypted, the headers in the clear, and what had to go to make it fit."""

    plaintext: bytes
    headers: dict[str, str]
    trimmed: Trimmed

    def __repr__(self) -> str:
        return f"WebPushMessage({len(self.plaintext)} bytes, trimmed {self.trimmed!r})"


def build_message(push: Push, generic_text: str = GENERIC_TEXT, with_content: bool = True) -> WebPushMessage:
    """``push`` as at most :data:`MAX_BODY_BYTES` once encrypted.

    ``with_content`` false leaves everything out but what the app needs to resume: for the second
    try at a service that found the first one too long.

    Raises:
        ValueError: JSON cannot express what the push holds.
    """

    def encode(notification: Mapping[str, Any], data: Any, overrides: Mapping[str, Any]) -> dict[str, Any]:
        return _object(push, notification, data, overrides)

    try:
        fitted: Fitted = (
            fit(push, encode, MAX_BODY_BYTES - ENCRYPTION_BYTES, generic_text)
            if with_content
            else without_content(push, encode, generic_text)
        )
    except TypeError as error:  # orjson says so of what JSON has no word for
        raise ValueError(str(error)) from None
    return WebPushMessage(fitted.body, _headers(push), fitted.trimmed)


def _object(
    push: Push, notification: Mapping[str, Any], data: Any, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    out: dict[str, Any] = {"hub": dict(push.hub)}
    if push.kind == "notify" and notification:
        out["notification"] = dict(notification)
    if data is not None:
        out["data"] = data
    if push.badge is not None:
        out["badge"] = push.badge
    if push.collapse_id:
        out["tag"] = push.collapse_id
    return {**patched(out, overrides), "hub": out["hub"]} if overrides else out


def _headers(push: Push) -> dict[str, str]:
    """TTL, Urgency and Topic (RFC 8030, 5.2 to 5.4)."""
    urgency = push.priority if push.kind == "notify" else "low"
    headers = {"TTL": str(max(0, min(push.ttl_s, MAX_TTL_S))), "Urgency": urgency}
    if _TOPIC.fullmatch(push.collapse_id):
        headers["Topic"] = push.collapse_id
    return headers
