"""What APNs asks of a single request, before it looks at the device. Pure: headers and body in, a reason out.

Names and limits are the documented ones; the order of the checks is ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from hub.testing.simulators.http import Request

MAX_BODY_BYTES = 4096
MAX_VOIP_BODY_BYTES = 5120
MAX_COLLAPSE_ID_BYTES = 64
MAX_EXPIRATION = 2**63 - 1

TOPIC_SUFFIX = {
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
"""What is appended to the bundle id, by push type."""

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
HEX = re.compile(r"([0-9a-fA-F]{2})+")
NUMBER = re.compile(r"\d{1,19}")
SHOWING = ("alert", "badge", "sound")

STATUS = {
    "BadPath": 404,
    "MethodNotAllowed": 405,
    "PayloadTooLarge": 413,
    "Forbidden": 403,
    "MissingProviderToken": 403,
}
"""Reasons of this page that are not a 400."""

PATH = "/3/device/"


@dataclass(frozen=True, slots=True)
class Rules:
    """How exact to be.

    ``push_type_required`` and ``push_type_matches_body`` are what the documentation asks for; the
    real service lets some of it pass, with late or lost notifications.
    """

    push_type_required: bool = True
    push_type_matches_body: bool = True


def line_refusal(request: Request) -> str:
    """What is wrong with method, path or the set of headers; empty if nothing."""
    if not request.path.startswith(PATH):
        return "BadPath"
    if request.method != "POST":
        return "MethodNotAllowed"
    if len(request.path) == len(PATH):
        return "MissingDeviceToken"
    if request.repeated and any(n == "authorization" or n.startswith("apns-") for n in request.repeated):
        return "DuplicateHeaders"
    return ""


def header_refusal(headers: dict[str, str], rules: Rules) -> str:
    """What is wrong with the ``apns-`` headers other than the topic; empty if nothing."""
    push_type = headers.get("apns-push-type")
    priority = headers.get("apns-priority", "10")
    if (push_type is None and rules.push_type_required) or (push_type or "alert") not in TOPIC_SUFFIX:
        return "InvalidPushType"
    message_id = headers.get("apns-id")
    if message_id is not None and not UUID.fullmatch(message_id):
        return "BadMessageId"
    expiration = headers.get("apns-expiration")
    if expiration is not None and not (NUMBER.fullmatch(expiration) and int(expiration) <= MAX_EXPIRATION):
        return "BadExpirationDate"
    if priority not in ("10", "5", "1") or (priority == "10" and push_type == "background"):
        return "BadPriority"
    if len(headers.get("apns-collapse-id", "").encode("latin-1")) > MAX_COLLAPSE_ID_BYTES:
        return "BadCollapseId"
    return ""


def body_refusal(body: bytes, push_type: str | None, rules: Rules) -> str:
    """What is wrong with the body; empty if nothing."""
    if len(body) > (MAX_VOIP_BODY_BYTES if push_type == "voip" else MAX_BODY_BYTES):
        return "PayloadTooLarge"
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "PayloadEmpty"
    if not isinstance(payload, dict) or not payload:
        return "PayloadEmpty"
    aps = payload.get("aps", {})
    if not isinstance(aps, dict):
        return "PayloadEmpty"
    if rules.push_type_matches_body and not _matches(push_type, aps):
        return "InvalidPushType"
    return ""


def _matches(push_type: str | None, aps: dict[str, Any]) -> bool:
    """True if what ``aps`` does is what the push type says."""
    shows = any(name in aps for name in SHOWING)
    if push_type == "background":
        return aps.get("content-available") == 1 and not shows
    if push_type == "alert":
        return shows
    return True
