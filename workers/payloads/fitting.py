"""Making a push fit: the preview is cut first, then the app's data goes, then all content.

Every provider refuses what is too long, and a refused push would be a lost notification. What is
left at the end tells the app to resume. Knows no provider: how a message is put together comes as
a function, and what counts is its size in compact JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import orjson
from msgspec import Struct

from workers.push import Push

Trimmed = Literal["nothing", "preview", "data", "content"]
"""What had to go: ``preview`` some of the body text, ``data`` the app's data, ``content`` everything."""

Encode = Callable[[Mapping[str, Any], Any, Mapping[str, Any]], dict[str, Any]]
"""The provider's message out of notification, data and overrides."""

MIN_PREVIEW_CHARS: Final = 24
"""A preview shorter than this says less than the data it would be cut for."""

ELLIPSIS: Final = "…"


class Fitted(Struct, frozen=True):
    """A message that is at most as long as allowed, unless even its bare frame is longer."""

    message: dict[str, Any]
    body: bytes
    """The message as JSON."""
    trimmed: Trimmed

    def __repr__(self) -> str:
        return f"Fitted({len(self.body)} bytes, trimmed {self.trimmed!r})"


def fit(push: Push, encode: Encode, max_bytes: int, generic_text: str) -> Fitted:
    """The most of ``push`` that ``encode`` gets into ``max_bytes``.

    Raises:
        TypeError: a value that JSON has no word for.
        ValueError: whatever ``encode`` says about values that it refuses.
    """
    whole = encoded(encode(push.notification, push.data, push.overrides), "nothing")
    if len(whole.body) <= max_bytes:
        return whole
    cut = _with_shorter_body(push.notification, push.data, push.overrides, encode, max_bytes, "preview")
    if cut is not None:
        return cut
    if push.data is not None:
        bare = encoded(encode(push.notification, None, push.overrides), "data")
        if len(bare.body) <= max_bytes:
            return bare
        cut = _with_shorter_body(push.notification, None, push.overrides, encode, max_bytes, "data")
        if cut is not None:
            return cut
    return without_content(push, encode, generic_text)


def without_content(push: Push, encode: Encode, generic_text: str) -> Fitted:
    """A push that only tells the app to resume; one that was to be seen shows a generic text."""
    shown = push.notification.get("title") or push.notification.get("body")
    generic: dict[str, Any] = {"body": generic_text} if push.kind == "notify" and shown else {}
    return encoded(encode(generic, None, {}), "content")


def patched(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``patch`` merged in; a null takes a field out (JSON merge patch, RFC 7396)."""
    out = dict(base)
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, Mapping):
            before = out.get(key)
            out[key] = patched(before if isinstance(before, Mapping) else {}, value)
        else:
            out[key] = value
    return out


def _with_shorter_body(
    notification: Mapping[str, Any],
    data: Any,
    overrides: Mapping[str, Any],
    encode: Encode,
    max_bytes: int,
    trimmed: Trimmed,
) -> Fitted | None:
    """The longest preview that fits, cut between characters; None if too little of it would be left.

    Sizes are measured, never computed: how long a character gets depends on JSON's escapes and on
    how often the provider's message repeats the text.
    """
    body = notification.get("body")
    if not isinstance(body, str) or len(body) <= MIN_PREVIEW_CHARS:
        return None

    def at(chars: int) -> Fitted:
        short = {**notification, "body": body[:chars].rstrip() + ELLIPSIS}
        return encoded(encode(short, data, overrides), trimmed)

    best = at(MIN_PREVIEW_CHARS)
    if len(best.body) > max_bytes:
        return None
    low, high = MIN_PREVIEW_CHARS, min(len(body), max_bytes)
    while high - low > 1:
        middle = (low + high) // 2
        tried = at(middle)
        if len(tried.body) <= max_bytes:
            low, best = middle, tried
        else:
            high = middle
    return best


def encoded(message: dict[str, Any], trimmed: Trimmed) -> Fitted:
    """``message`` as it stands.

    Raises:
        TypeError: a value that JSON has no word for.
    """
    return Fitted(message, orjson.dumps(message), trimmed)
