"""A push as FCM's HTTP v1 message: firebase-admin's types, filled, encoded and cut to size.

Only the block of the target's own platform is filled (``android``, ``apns`` for iOS through FCM,
``webpush``); what is not shown goes as data alone. ``data.hub`` is a JSON string (contract 6).
Overrides are merged last, in the shape of the HTTP v1 message, and can neither redirect a message
nor take ``hub`` out of it.

Knows no clock and nothing of the wire.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
from firebase_admin import messaging  # type: ignore[import-untyped]
from msgspec import Struct

from workers.payloads.fitting import Trimmed, fit, patched
from workers.push import Push, Target

MAX_BODY_BYTES: Final = 4096
"""What FCM takes. Counted here over the whole request body, target included, which leaves room to spare."""

MAX_TTL_S: Final = 2_419_200
"""Four weeks: FCM refuses more."""

GENERIC_TEXT: Final = "You have a new notification"
"""What is shown in place of a content that fits into no push."""

_TARGETS: Final = ("token", "fid", "topic", "condition")
_INSTALLATION_ID: Final = re.compile(r"[cdef][A-Za-z0-9_-]{21}")
_WEB_TOPIC: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_RESERVED_KEYS: Final = frozenset({"from", "message_type", "hub"})
_RESERVED_STARTS: Final = ("google", "gcm.")
# At most four collapse keys are stored per device, so two are ours and two are left to the app.
_COLLAPSE_KEYS: Final[Mapping[str, str]] = {"badge": "hub.badge", "sync": "hub.sync"}


@dataclass(frozen=True, slots=True)
class FcmStyle:
    """What the operator wishes of every message of one app."""

    android_channel_id: str = ""
    generic_text: str = GENERIC_TEXT


class FcmMessage(Struct, frozen=True):
    """The request body, and what had to go to make it fit. ``repr`` leaves out the body with its token."""

    body: bytes
    trimmed: Trimmed

    def __repr__(self) -> str:
        return f"FcmMessage({len(self.body)} bytes, trimmed {self.trimmed!r})"


def target_field(token: str) -> Literal["token", "fid"]:
    """Which of FCM's two names for an installation ``token`` is: an installation id has 22 signs."""
    return "fid" if _INSTALLATION_ID.fullmatch(token) else "token"


def build_message(push: Push, style: FcmStyle | None = None) -> FcmMessage:
    """``push`` as the JSON body of one ``messages:send``, at most :data:`MAX_BODY_BYTES` long.

    Raises:
        ValueError: firebase-admin, or JSON, cannot express what the push holds.
    """
    chosen = style or FcmStyle()

    def encode(notification: Mapping[str, Any], data: Any, overrides: Mapping[str, Any]) -> dict[str, Any]:
        return {"message": _message(push, notification, data, overrides, chosen)}

    try:
        fitted = fit(push, encode, MAX_BODY_BYTES, chosen.generic_text)
    except TypeError as error:  # orjson says so of what JSON has no word for
        raise ValueError(str(error)) from None
    return FcmMessage(fitted.body, fitted.trimmed)


def _message(
    push: Push,
    notification: Mapping[str, Any],
    data: Any,
    overrides: Mapping[str, Any],
    style: FcmStyle,
) -> dict[str, Any]:
    """One try at the message, encoded by firebase-admin, overrides merged in."""
    hub = orjson.dumps(push.hub).decode()
    message = messaging.Message(data={**_strings(data), "hub": hub}, notification=_common(push, notification))
    # The constructor warns at each use of the one argument that most phones still need.
    setattr(message, target_field(push.target.token), push.target.token)
    shown = message.notification is not None
    if push.target.platform == "ios":
        message.apns = _apns(push, notification, shown)
    elif push.target.platform == "web":
        message.webpush = _webpush(push, shown)
    else:
        message.android = _android(push, notification, shown, style)
    encoded: dict[str, Any] = messaging._MessagingService.encode_message(message)
    return _merged(encoded, overrides, push.target, hub) if overrides else encoded


def _common(push: Push, notification: Mapping[str, Any]) -> messaging.Notification | None:
    """Title, body and image, which every platform draws; None where nothing is to be drawn."""
    if push.kind != "notify" or not (notification.get("title") or notification.get("body")):
        return None
    return messaging.Notification(
        title=notification.get("title"), body=notification.get("body"), image=notification.get("image")
    )


def _android(
    push: Push, notification: Mapping[str, Any], shown: bool, style: FcmStyle
) -> messaging.AndroidConfig:
    drawn = None
    if shown:
        drawn = messaging.AndroidNotification(
            tag=push.collapse_id or None,
            channel_id=style.android_channel_id or None,
            sound=notification.get("sound"),
            # 0 would be taken for "one more", so it is left out as unknown is.
            notification_count=_badge(push, notification) or None,
        )
    return messaging.AndroidConfig(
        priority=push.priority if push.kind == "notify" else "normal",
        ttl=_ttl_s(push),
        collapse_key=_COLLAPSE_KEYS.get(push.kind) or notification.get("collapse_key"),
        notification=drawn,
    )


def _apns(push: Push, notification: Mapping[str, Any], shown: bool) -> messaging.APNSConfig:
    """Apple's part. What shows nothing may not ask for priority 10; a badge alone is still an alert."""
    badge = _badge(push, notification)
    visible = shown or badge is not None
    headers = {
        "apns-push-type": "alert" if visible else "background",
        "apns-priority": "10" if shown and push.priority == "high" else "5",
        "apns-expiration": str(push.expires_at_s),
    }
    if push.collapse_id:
        headers["apns-collapse-id"] = push.collapse_id
    aps = messaging.Aps(
        badge=badge,
        sound=notification.get("sound") if shown else None,
        thread_id=notification.get("thread") if shown else None,
        # Only with this may the app's extension fetch the image, or drop what the inbox has brought.
        mutable_content=shown,
        # Wakes the app's own code, which takes back what the badge or the id no longer stands for.
        content_available=not shown,
    )
    return messaging.APNSConfig(headers=headers, payload=messaging.APNSPayload(aps))


def _webpush(push: Push, shown: bool) -> messaging.WebpushConfig:
    urgency = push.priority if push.kind == "notify" else "low"
    headers = {"TTL": str(_ttl_s(push)), "Urgency": urgency}
    if _WEB_TOPIC.fullmatch(push.collapse_id):
        headers["Topic"] = push.collapse_id
    drawn = messaging.WebpushNotification(tag=push.collapse_id or None) if shown else None
    return messaging.WebpushConfig(headers=headers, notification=drawn)


def _ttl_s(push: Push) -> int:
    """Android and browsers are told a time to live, not an expiry."""
    return max(0, min(push.ttl_s, MAX_TTL_S))


def _badge(push: Push, notification: Mapping[str, Any]) -> int | None:
    """The hub's own count if it gave one, else the app's."""
    return push.badge if push.badge is not None else notification.get("badge")


def _strings(data: Any) -> dict[str, str]:
    """The app's value as FCM's map of strings: texts as they are, all else as JSON.

    What is no object, or has a key that FCM or the hub keeps for itself, goes whole under ``data``.
    """
    if data is None:
        return {}
    if not isinstance(data, Mapping) or any(_is_reserved(key) for key in data):
        return {"data": _string(data)}
    return {key: _string(value) for key, value in data.items()}


def _string(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _is_reserved(key: Any) -> bool:
    return not isinstance(key, str) or not key or key in _RESERVED_KEYS or key.startswith(_RESERVED_STARTS)


def _merged(
    message: dict[str, Any], overrides: Mapping[str, Any], target: Target, hub: str
) -> dict[str, Any]:
    """``message`` with the app's own words in it; a null takes a field out, as in a JSON merge patch."""
    merged = patched(message, {key: value for key, value in overrides.items() if key not in _TARGETS})
    # A block's own data stands in for the common one on that platform: ``hub`` must be in both.
    for holder in (merged, *(merged.get(block) for block in ("android", "webpush"))):
        if isinstance(holder, dict) and (holder is merged or holder.get("data")):
            given = holder.get("data")
            kept = {k: v for k, v in given.items() if k != "hub"} if isinstance(given, Mapping) else given
            holder["data"] = {**_strings(kept), "hub": hub}
    return merged
