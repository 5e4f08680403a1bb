"""What FCM asks of a message. Pure: the parsed request in, the field and what is wrong with it out.

Limits are the documented ones. Sizes are counted on compact JSON of what reaches the phone.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import orjson

MAX_BYTES = 4096
MAX_TOPIC_BYTES = 2048
MAX_TTL_S = 2_419_200
TARGETS = ("token", "fid", "topic", "condition")
RESERVED = ("from", "message_type")
RESERVED_PREFIXES = ("google", "gcm.")
TTL = re.compile(r"\d+(\.\d{1,9})?s")
TOPIC = re.compile(r"[A-Za-z0-9\-_.~%]+")
TOPICS_PER_CONDITION = 5
URGENCIES = ("very-low", "low", "normal", "high")

REQUEST_FIELDS = frozenset({"validate_only", "validateOnly", "message"})
MESSAGE_FIELDS = frozenset(
    {"name", "data", "notification", "android", "webpush", "apns", "fcm_options", "fcmOptions", *TARGETS}
)
ANDROID_FIELDS = frozenset(
    {
        "collapse_key",
        "priority",
        "ttl",
        "restricted_package_name",
        "data",
        "notification",
        "fcm_options",
        "direct_boot_ok",
        "bandwidth_constrained_ok",
        "restricted_satellite_ok",
    }
)
APNS_FIELDS = frozenset({"headers", "payload", "fcm_options", "live_activity_token"})
WEBPUSH_FIELDS = frozenset({"headers", "data", "notification", "fcm_options"})


class Wrong(NamedTuple):
    """A field, and what is wrong with it."""

    field: str
    description: str


class Refused(Exception):
    """The message is not sent; ``wrong`` says why."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(description)
        self.wrong = Wrong(field, description)


def target_of(message: dict[str, Any]) -> tuple[str, str]:
    """The kind of target and its value.

    Raises:
        Refused: there is none, more than one, or it is no text.
    """
    found = [(kind, message[kind]) for kind in TARGETS if message.get(kind)]
    if not found:
        raise Refused("message", "Recipient of the message is not set.")
    if len(found) > 1:
        raise Refused("message", "Exactly one of token, fid, topic and condition may be set.")
    kind, value = found[0]
    if not isinstance(value, str):
        raise Refused(f"message.{kind}", "Must be a string.")
    return kind, value


def check(request: dict[str, Any]) -> dict[str, Any]:
    """The message of a request that may be sent.

    Raises:
        Refused: it may not.
    """
    _known(request, REQUEST_FIELDS, "request")
    message = _block(request, "message", "")
    if not message:
        raise Refused("message", "The message is not set.")
    _known(message, MESSAGE_FIELDS, "message")
    kind, value = target_of(message)
    if kind == "topic" and not TOPIC.fullmatch(value.removeprefix("/topics/")):
        raise Refused("message.topic", "Invalid topic name.")
    if kind == "condition" and value.count(" in topics") > TOPICS_PER_CONDITION:
        raise Refused("message.condition", "A condition names at most five topics.")
    _check_data(_block(message, "data", "message."), "message.data", reserved=True)
    _block(message, "notification", "message.")
    _check_android(_block(message, "android", "message."))
    _check_apns(_block(message, "apns", "message."), message)
    _check_webpush(_block(message, "webpush", "message."))
    _check_size(message, MAX_BYTES if kind in ("token", "fid") else MAX_TOPIC_BYTES)
    return message


def _check_android(android: dict[str, Any]) -> None:
    _known(android, ANDROID_FIELDS, "message.android")
    ttl = android.get("ttl")
    if ttl is not None and (not isinstance(ttl, str) or not TTL.fullmatch(ttl)):
        raise Refused("message.android.ttl", "Must be seconds with up to nine fractional digits and an s.")
    if ttl is not None and ttl_s(ttl) > MAX_TTL_S:
        raise Refused("message.android.ttl", f"Must be between 0 and {MAX_TTL_S} seconds.")
    if str(android.get("priority", "normal")).lower() not in ("normal", "high"):
        raise Refused("message.android.priority", "Must be NORMAL or HIGH.")
    if not isinstance(android.get("collapse_key", ""), str):
        raise Refused("message.android.collapse_key", "Must be a string.")
    _check_data(_block(android, "data", "message.android."), "message.android.data", reserved=True)
    count = _block(android, "notification", "message.android.").get("notification_count", 0)
    if not isinstance(count, int) or count < 0:
        raise Refused("message.android.notification.notification_count", "Must not be negative.")


def _check_apns(apns: dict[str, Any], message: dict[str, Any]) -> None:
    _known(apns, APNS_FIELDS, "message.apns")
    headers = _block(apns, "headers", "message.apns.")
    _check_data(headers, "message.apns.headers", reserved=False)
    aps = _block(_block(apns, "payload", "message.apns."), "aps", "message.apns.payload.")
    shows = "notification" in message or any(name in aps for name in ("alert", "badge", "sound"))
    if not shows and headers.get("apns-priority") == "10":
        raise Refused("message.apns.headers", "A message of data only must have apns-priority 5.")


def _check_webpush(webpush: dict[str, Any]) -> None:
    _known(webpush, WEBPUSH_FIELDS, "message.webpush")
    headers = _block(webpush, "headers", "message.webpush.")
    _check_data(headers, "message.webpush.headers", reserved=False)
    if not headers.get("TTL", "0").isdigit():
        raise Refused("message.webpush.headers", "TTL must be a number of seconds.")
    if headers.get("Urgency", "normal") not in URGENCIES:
        raise Refused("message.webpush.headers", "Unknown urgency.")
    _check_data(_block(webpush, "data", "message.webpush."), "message.webpush.data", reserved=True)


def _check_data(data: dict[str, Any], where: str, *, reserved: bool) -> None:
    for name, value in data.items():
        if not isinstance(value, str):
            raise Refused(where, "Values must be strings.")
        if reserved and (name in RESERVED or name.startswith(RESERVED_PREFIXES)):
            raise Refused(where, f"Reserved key: {name}")


def _check_size(message: dict[str, Any], max_bytes: int) -> None:
    """Each platform gets its own block in place of, or over, the common one."""
    common = {"data": message.get("data", {}), "notification": message.get("notification", {})}
    android = message.get("android", {})
    apns = message.get("apns", {})
    webpush = message.get("webpush", {})
    variants = (
        {
            "data": android.get("data") or common["data"],
            "notification": {**common["notification"], **android.get("notification", {})},
        },
        {"payload": apns.get("payload", {}), **common} if apns else common,
        {"data": webpush.get("data") or common["data"], "notification": webpush.get("notification", {})},
    )
    # The names of the blocks are ours and are not counted.
    if any(len(orjson.dumps(list(variant.values()))) > max_bytes for variant in variants):
        raise Refused("message", f"The message is bigger than {max_bytes} bytes.")


def ttl_s(ttl: str | None) -> float:
    """How long a message may wait, in seconds; four weeks if nothing is said."""
    return MAX_TTL_S if ttl is None else float(ttl.removesuffix("s"))


def _block(parent: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    value = parent.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused(where + name, "Must be an object.")
    return value


def _known(block: dict[str, Any], names: frozenset[str], where: str) -> None:
    if unknown := block.keys() - names:
        raise Refused(where, f'Invalid JSON payload received. Unknown name "{min(unknown)}".')
