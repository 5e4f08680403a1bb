"""A push in Apple's words: the JSON body, the headers that match it, and what gives way when it is too long.

Pure: no clock, no connection, no token. Limits are measured on the very bytes that are sent. The ``hub``
object is never cut, because it is what lets the app fetch everything else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from workers.payloads.fitting import Fitted, Trimmed, encoded, fit, patched, without_content
from workers.push import Push

MAX_BODY_BYTES: Final = 4096
MAX_VOIP_BODY_BYTES: Final = 5120
MAX_COLLAPSE_ID_BYTES: Final = 64
GENERIC_TEXT: Final = "You have a new notification"

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

_MAX_BADGE: Final = 2**31 - 1
_VISIBLE: Final = ("alert", "badge", "sound")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]{1,255}")


class ApnsMessage(Struct, frozen=True):
    """One request to the provider but for its token and its authorization.

    ``expiration`` is unix seconds, and 0 stands for itself: one attempt, no storing. All header
    values are printable ASCII without spaces.
    """

    body: bytes
    topic: str
    push_type: str
    priority: int
    collapse_id: str
    expiration: int
    apns_id: str
    trimmed: Trimmed = "nothing"

    def __repr__(self) -> str:
        return f"ApnsMessage({self.push_type!r}, {self.topic!r}, {self.apns_id!r})"


def build_apns(
    push: Push, *, topic: str = "", generic_text: str = GENERIC_TEXT, with_content: bool = True
) -> ApnsMessage:
    """The message for ``push``, never longer than the provider takes.

    ``topic`` is the bundle id where it is not the name of the target's app. ``push.overrides`` may
    hold ``headers`` (``apns-push-type``, ``apns-topic``, ``apns-priority``, ``apns-collapse-id``,
    ``apns-expiration``), ``aps`` (merged into ours) and any other key (top level of the body, but not
    ``hub``); a null takes a field out, a header value that the provider would refuse is left aside.
    ``generic_text`` is shown in place of content that does not fit; ``with_content`` false leaves all
    content out, for the second try where the first one was called too large.

    A badge can only be set by a push of type ``alert``; one without alert and sound shows nothing
    and goes with priority 5, as the silent ones (``background``) do.

    Raises:
        ValueError: the ``hub`` object alone is longer than the limit.
        TypeError: something in the ``hub`` object is no JSON.
    """
    headers = _mapping(push.overrides.get("headers"))
    wanted = headers.get("apns-push-type")
    limit = MAX_VOIP_BODY_BYTES if wanted == "voip" else MAX_BODY_BYTES
    fitted = _fitted(push, wanted, limit, generic_text, with_content)
    aps = fitted.message["aps"]
    push_type = _push_type(wanted, aps)
    return ApnsMessage(
        body=fitted.body,
        topic=_header(headers, "apns-topic") or (topic or push.target.app) + TOPIC_SUFFIXES[push_type],
        push_type=push_type,
        priority=_priority(push, headers, push_type, aps),
        collapse_id=_collapse_id(headers, push.collapse_id),
        expiration=_expiration(headers, push.expires_at_s),
        apns_id=push.push_id.lower(),
        trimmed=fitted.trimmed,
    )


# -- body --


def _fitted(push: Push, wanted_type: Any, limit: int, generic_text: str, with_content: bool) -> Fitted:
    def encode(notification: Mapping[str, Any], data: Any, overrides: Mapping[str, Any]) -> dict[str, Any]:
        return _payload(push, wanted_type, notification, data, overrides)

    if with_content:
        try:
            fitted = fit(push, encode, limit, generic_text)
        except TypeError:
            # Something in it is no JSON. What is left without it still tells the app to come and ask.
            fitted = without_content(push, encode, generic_text)
    else:
        fitted = without_content(push, encode, generic_text)
    if fitted.trimmed == "content":
        fitted = _waking(push, fitted)
    if len(fitted.body) > limit:
        raise ValueError("the hub object alone is longer than a push may be")
    return fitted


def _waking(push: Push, fitted: Fitted) -> Fitted:
    """Without content the app has to run, to fetch it; and what was to be heard is heard."""
    aps = {**fitted.message["aps"], "content-available": 1}
    if push.kind == "notify" and push.notification.get("sound"):
        aps["sound"] = "default"
    message = {**fitted.message, "aps": aps}
    return encoded(message, "content")


def _payload(
    push: Push, wanted_type: Any, notification: Mapping[str, Any], data: Any, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    payload: dict[str, Any] = {}
    if push.kind == "notify":
        payload["aps"] = _visible_aps(push, notification)
        if notification.get("image"):
            payload["image"] = notification["image"]
        if data is not None:
            payload["data"] = data
    else:
        payload["aps"] = _quiet_aps(push)
    if overrides:
        ours = {name: value for name, value in overrides.items() if name not in ("headers", "hub", "aps")}
        payload = patched(payload, {**ours, "aps": _mapping(overrides.get("aps"))})
    if _push_type(wanted_type, payload["aps"]) == "background":
        payload["aps"].setdefault("content-available", 1)
    payload["hub"] = dict(push.hub)
    return payload


def _visible_aps(push: Push, shown: Mapping[str, Any]) -> dict[str, Any]:
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
    if isinstance(badge, bool) or not isinstance(badge, int) or not 0 <= badge <= _MAX_BADGE:
        return None
    return badge


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
