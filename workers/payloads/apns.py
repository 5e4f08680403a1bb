"""A push in Apple's words: the JSON body, the headers that match it, and what gives way when it is too long.

Pure: no clock, no connection, no token. Limits are measured on the very bytes that are sent. The ``hub``
object is never cut, because it is what lets the app fetch everything else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from workers.push import Push

MAX_BODY_BYTES: Final = 4096
MAX_VOIP_BODY_BYTES: Final = 5120
MAX_COLLAPSE_ID_BYTES: Final = 64

TOPIC_SUFFIXES: Final[Mapping[str, str]] = {
    "alert": "",
    "background": "",
    "voip": ".voip",
    "complication": ".complication",
    "fileprovider": ".pushkit.fileprovider",
    "liveactivity": ".push-type.liveactivity",
    "widgets": ".push-type.widgets",
    "controls": ".push-type.controls",
    "location": ".location-query",
    "pushtotalk": ".voip-ptt",
    "mdm": "",
}
"""What each push type adds to the bundle id. An ``mdm`` topic stands in its certificate: override it."""

_SHORT_TEXT_BYTES: Final = 120
_VISIBLE: Final = ("alert", "badge", "sound")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]{1,255}")

Cut = Literal["", "preview", "content"]
"""What had to give way: nothing, the end of the body text, or everything but the ``hub`` object."""


@dataclass(frozen=True, slots=True)
class ApnsMessage:
    """One request to the provider but for its token and its authorization.

    ``expiration`` is unix seconds, and 0 stands for itself: one attempt, no storing. All header
    values are printable ASCII without spaces.
    """

    body: bytes = field(repr=False)
    topic: str
    push_type: str
    priority: int
    collapse_id: str
    expiration: int
    apns_id: str
    cut: Cut = ""


def build_apns(push: Push, *, topic: str = "", content_free: bool = False) -> ApnsMessage:
    """The message for ``push``, never longer than the provider takes.

    ``topic`` is the bundle id where it is not the name of the target's app. ``push.overrides`` may
    hold ``headers`` (``apns-push-type``, ``apns-topic``, ``apns-priority``, ``apns-collapse-id``,
    ``apns-expiration``), ``aps`` (merged into ours) and any other key (top level of the body, but not
    ``hub``); a header value that the provider would refuse is left aside. ``content_free`` asks for
    the shortest form at once.

    A badge can only be set by a push of type ``alert``; one without alert and sound shows nothing
    and goes with priority 5, as the silent ones (``background``) do.

    Raises:
        ValueError: the ``hub`` object alone is longer than the limit.
        TypeError: something in the ``hub`` object is no JSON.
    """
    headers = _mapping(push.overrides.get("headers"))
    wanted = headers.get("apns-push-type")
    limit = MAX_VOIP_BODY_BYTES if wanted == "voip" else MAX_BODY_BYTES
    body, aps, cut = _fitted(push, str(wanted), limit, content_free)
    push_type = _push_type(wanted, aps)
    return ApnsMessage(
        body=body,
        topic=_header(headers, "apns-topic") or (topic or push.target.app) + TOPIC_SUFFIXES[push_type],
        push_type=push_type,
        priority=_priority(push, headers, push_type, aps),
        collapse_id=_collapse_id(headers, push.collapse_id),
        expiration=_expiration(headers, push.expires_at_s),
        apns_id=push.push_id.lower(),
        cut=cut,
    )


# -- body --


def _payload(push: Push, wanted_type: str) -> dict[str, Any]:
    aps = _visible_aps(push) if push.kind == "notify" else _quiet_aps(push)
    payload: dict[str, Any] = {"aps": aps}
    if push.kind == "notify":
        if push.notification.get("image"):
            payload["image"] = push.notification["image"]
        if push.data is not None:
            payload["data"] = push.data
    for key, value in push.overrides.items():
        if key == "aps":
            _merge_aps(aps, _mapping(value))
        elif key not in ("headers", "hub"):
            payload[key] = value
    if _push_type(wanted_type, aps) == "background":
        aps.setdefault("content-available", 1)
    payload["hub"] = dict(push.hub)
    return payload


def _merge_aps(aps: dict[str, Any], override: Mapping[str, Any]) -> None:
    alert = aps.get("alert")
    aps.update(override)
    if isinstance(alert, dict) and isinstance(override.get("alert"), Mapping):
        aps["alert"] = {**alert, **override["alert"]}


def _visible_aps(push: Push) -> dict[str, Any]:
    shown = push.notification
    aps: dict[str, Any] = {}
    alert = {key: shown[key] for key in ("title", "subtitle", "body") if shown.get(key)}
    if alert:
        aps["alert"] = alert
        # Lets the app's extension fetch the image and send the receipt before anything is shown.
        aps["mutable-content"] = 1
    badge = _badge(push)
    if badge is not None:
        aps["badge"] = badge
    if shown.get("sound"):
        aps["sound"] = shown["sound"]
    if shown.get("thread"):
        aps["thread-id"] = shown["thread"]
    return aps


def _quiet_aps(push: Push) -> dict[str, Any]:
    aps: dict[str, Any] = {}
    badge = _badge(push)
    if badge is not None and push.kind != "sync":
        aps["badge"] = badge
    if push.kind == "clear":
        # The app has to run, because only it can take back what is shown.
        aps["content-available"] = 1
    return aps


def _badge(push: Push) -> int | None:
    badge = push.badge if push.badge is not None else push.notification.get("badge")
    return badge if isinstance(badge, int) and not isinstance(badge, bool) else None


# -- fitting --


def _fitted(
    push: Push, wanted_type: str, limit: int, content_free: bool
) -> tuple[bytes, Mapping[str, Any], Cut]:
    """The body, what it says to the system, and what had to give way."""
    if not content_free:
        payload = _payload(push, wanted_type)
        try:
            body = orjson.dumps(payload)
            if len(body) <= limit:
                return body, payload["aps"], ""
            shorter = _with_shorter_preview(payload, limit)
            if shorter is not None:
                return shorter, payload["aps"], "preview"
        except TypeError:
            # Something in it is no JSON. What is left without it still tells the app to come and ask.
            pass
    aps = _content_free_aps(push)
    for least in (aps, {"content-available": 1}):
        body = orjson.dumps({"aps": least, "hub": dict(push.hub)})
        if len(body) <= limit:
            return body, least, "content"
    raise ValueError("the hub object alone is longer than a push may be")


def _with_shorter_preview(payload: Mapping[str, Any], limit: int) -> bytes | None:
    """``payload`` with the end of its body text cut off, None where that is not enough."""
    aps = payload["aps"]
    alert = aps.get("alert")
    text = alert.get("body") if isinstance(alert, dict) else alert
    if not isinstance(text, str):
        return None

    def encoded(kept: str) -> bytes:
        shown = {**alert, "body": kept} if isinstance(alert, dict) else kept
        return orjson.dumps({**payload, "aps": {**aps, "alert": shown}})

    kept = _cut(text, limit - len(encoded("")))
    return encoded(kept) if kept else None


def _content_free_aps(push: Push) -> dict[str, Any]:
    """What wakes the app, and for something visible as much as names it."""
    aps = {**_quiet_aps(push), "content-available": 1}
    if push.kind != "notify":
        return aps
    shown = push.notification
    for key in ("title", "body"):
        if isinstance(shown.get(key), str) and shown[key]:
            # A lone half of a surrogate pair cannot be sent.
            text = shown[key].encode("utf-8", "replace").decode()
            aps["alert"] = {key: _cut(text, _SHORT_TEXT_BYTES)}
            aps["mutable-content"] = 1
            break
    if shown.get("sound"):
        aps["sound"] = "default"
    return aps


def _cut(text: str, room: int) -> str:
    """The longest beginning of ``text`` that takes ``room`` bytes of JSON, its quotes aside."""
    if len(orjson.dumps(text)) - 2 <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if len(orjson.dumps(text[:middle] + "…")) - 2 <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low] + "…" if low else ""


# -- headers --


def _push_type(wanted: Any, aps: Mapping[str, Any]) -> str:
    if isinstance(wanted, str) and wanted in TOPIC_SUFFIXES:
        return wanted
    return "alert" if any(key in aps for key in _VISIBLE) else "background"


def _priority(push: Push, headers: Mapping[str, Any], push_type: str, aps: Mapping[str, Any]) -> int:
    wanted = _header(headers, "apns-priority")
    silent = push_type == "background" or (push_type == "alert" and not ("alert" in aps or "sound" in aps))
    if wanted in ("1", "5"):
        return int(wanted)
    if silent:
        # 10 together with a background push is an error of its own.
        return 5
    if wanted == "10":
        return 10
    return 10 if push.priority == "high" else 5


def _collapse_id(headers: Mapping[str, Any], own: str) -> str:
    wanted = headers.get("apns-collapse-id")
    text = wanted if isinstance(wanted, str) and wanted else own
    if not text or (_HEADER_VALUE.fullmatch(text) and len(text) <= MAX_COLLAPSE_ID_BYTES):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).decode()[:32]


def _expiration(headers: Mapping[str, Any], own: int) -> int:
    wanted = headers.get("apns-expiration")
    if isinstance(wanted, str) and wanted.isascii() and wanted.isdigit() and len(wanted) <= 12:
        return int(wanted)
    if isinstance(wanted, int) and not isinstance(wanted, bool) and 0 <= wanted < 10**12:
        return wanted
    return max(0, own)


def _header(headers: Mapping[str, Any], name: str) -> str:
    """A header of the overrides where it is one that can be sent, else nothing."""
    value = headers.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value)
    return text if _HEADER_VALUE.fullmatch(text) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
