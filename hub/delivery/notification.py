"""A notification as a backend asks for it, and the inbox entry that comes of it. Checks all, keeps nothing.

Knows no user, no device and no engine.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from hub.delivery.inbox import MAX_ENTRY_BYTES, is_notification_id
from hub.delivery.model import EntryTerms, NewEntry
from hub.errors import BAD_REQUEST, DATA_TOO_LARGE, HubError

Priority = Literal["high", "normal"]
Fallback = Literal["push", "none"]

MAX_TTL_S = 28 * 86_400
"""What FCM stores at most; APNs stores up to 30 days."""
MAX_NESTING = 200
"""Levels of ``data``. Messages of providers are written around it, and some 250 is what can be written."""
MAX_TEXT = 256
"""Characters of a thread or a collapse key."""

SHOWN_FIELDS = ("title", "body", "badge", "sound", "image", "thread", "collapse_key")
OVERRIDE_PROVIDERS = ("apns", "fcm", "webpush")


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification, whoever gets it. ``data`` is JSON byte for byte, None for none.

    ``shown`` holds the given ones of ``SHOWN_FIELDS``, ``overrides`` what is merged into the
    messages of single providers. Without ``id`` it gets one of its own, sortable by time.
    ``created_ms`` is when it was asked for, unix milliseconds; ``full_trace`` off keeps only
    the marks of the end.

    Raises:
        HubError: 107, naming the field and what it may be.
    """

    created_ms: int
    id: str = ""
    data: bytes | None = None
    shown: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    ttl_s: int = 86_400
    priority: Priority = "high"
    fallback: Fallback = "push"
    full_trace: bool = True
    traceparent: str = ""
    """W3C Trace Context of whoever asked for it, for the spans of the workers; changes nothing else."""

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", new_notification_id(self.created_ms))
        elif not _names_a_notification(self.id):
            raise HubError(BAD_REQUEST, "id is 1 to 64 visible ASCII characters")
        if not _is_whole(self.ttl_s) or not 1 <= self.ttl_s <= MAX_TTL_S:
            raise HubError(BAD_REQUEST, f"ttl_s is 1 to {MAX_TTL_S} whole seconds")
        if self.priority not in ("high", "normal"):
            raise HubError(BAD_REQUEST, "priority is high or normal")
        if self.fallback not in ("push", "none"):
            raise HubError(BAD_REQUEST, "fallback is push or none")
        _check_object("notification", self.shown)
        _check_shown(self.shown)
        _check_object("overrides", self.overrides)
        for provider, override in self.overrides.items():
            if provider not in OVERRIDE_PROVIDERS or not isinstance(override, Mapping):
                raise HubError(BAD_REQUEST, "overrides holds objects under apns, fcm and webpush")
        if self.data is None and not self.shown and not self.overrides:
            raise HubError(BAD_REQUEST, "a notification has data, or a notification to show")

    @property
    def expires_at_ms(self) -> int:
        """When nobody needs to be told of it any more, unix milliseconds."""
        return self.created_ms + self.ttl_s * 1000

    @property
    def body_hash(self) -> str:
        """The same for the same call sent again, another for another body under the same id."""
        body = (self.data or b"", _dumps(self.shown), _dumps(self.overrides))
        terms = f"{self.ttl_s} {self.priority} {self.fallback}".encode()
        digest = hashlib.sha256()
        for part in (*body, terms):
            digest.update(len(part).to_bytes(4, "big") + part)
        return digest.hexdigest()[:32]

    def entry(self) -> NewEntry:
        """Its entry in an inbox.

        Raises:
            HubError: 1006 when that would be larger than 16 KiB, 107 for data that nests too deeply.
        """
        data = self.publication_data()
        details = _dumps({"priority": self.priority, "overrides": dict(self.overrides)} | self._traced())
        if len(data) > MAX_ENTRY_BYTES:
            raise HubError(DATA_TOO_LARGE, f"an inbox entry has at most {MAX_ENTRY_BYTES} bytes")
        if len(details) > MAX_ENTRY_BYTES:
            raise HubError(DATA_TOO_LARGE, f"overrides have at most {MAX_ENTRY_BYTES} bytes")
        _check_nesting(self.data or b"")
        terms = EntryTerms(
            id=self.id,
            push=self.fallback == "push",
            expires_at_ms=self.expires_at_ms,
            full_trace=self.full_trace,
            thread=_short_hash(str(self.shown.get("thread") or "")),
            details=details,
        )
        return NewEntry(terms, data, self.body_hash)

    def publication_data(self) -> bytes:
        """What apps get: the payload of the inbox publication."""
        told: dict[str, Any] = {"type": "notification", "id": self.id}
        if self.data is not None:
            told["data"] = orjson.Fragment(self.data)
        if self.shown:
            told["notification"] = dict(self.shown)
        told["expires_at"] = self.expires_at_ms
        return orjson.dumps(told)

    def _traced(self) -> dict[str, str]:
        return {"traceparent": self.traceparent} if self.traceparent else {}

    def packed(self) -> bytes:
        """For a job, to be read by :func:`unpack`."""
        return orjson.dumps(
            {
                "created_ms": self.created_ms,
                "id": self.id,
                "data": None if self.data is None else self.data.decode(),
                "shown": dict(self.shown),
                "overrides": dict(self.overrides),
                "ttl_s": self.ttl_s,
                "priority": self.priority,
                "fallback": self.fallback,
                "full_trace": self.full_trace,
            }
            | self._traced()
        )


def unpack(packed: bytes) -> Notification:
    """A notification that :meth:`Notification.packed` wrote."""
    fields = orjson.loads(packed)
    data = fields.pop("data")
    return Notification(data=None if data is None else data.encode(), **fields)


def new_notification_id(now_ms: int) -> str:
    """A UUID version 7 (RFC 9562, 5.7): sorts by the time it was made."""
    random_bits = uuid.uuid4().int & ((1 << 74) - 1)
    value = (now_ms & ((1 << 48) - 1)) << 80 | 0x7 << 76
    value |= (random_bits >> 62) << 64 | 0b10 << 62 | random_bits & ((1 << 62) - 1)
    return str(uuid.UUID(int=value))


def _check_shown(shown: Mapping[str, Any]) -> None:
    for name, value in shown.items():
        if name not in SHOWN_FIELDS:
            raise HubError(BAD_REQUEST, f"notification has the fields {', '.join(SHOWN_FIELDS)}")
        if name == "badge":
            if not _is_whole(value) or not 0 <= value < 2**31:
                raise HubError(BAD_REQUEST, "notification.badge is a number from 0")
        elif not isinstance(value, str):
            raise HubError(BAD_REQUEST, f"notification.{name} is text")
        elif name in ("thread", "collapse_key") and len(value) > MAX_TEXT:
            raise HubError(BAD_REQUEST, f"notification.{name} has at most {MAX_TEXT} characters")


def _check_nesting(data: bytes) -> None:
    if data.count(b"[") + data.count(b"{") <= MAX_NESTING:
        return
    with contextlib.suppress(orjson.JSONDecodeError):
        level, depth = [orjson.loads(data)], -1
        while level:
            level = [inner for each in level for inner in _inside(each)]
            depth += 1
        if depth <= MAX_NESTING:
            return
    raise HubError(BAD_REQUEST, f"data nests at most {MAX_NESTING} deep")


def _inside(value: Any) -> Iterable[Any]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
        case _:
            return ()


def _check_object(name: str, given: object) -> None:
    if not isinstance(given, Mapping):
        raise HubError(BAD_REQUEST, f"{name} is an object")
    try:
        _dumps(given)
    except TypeError as error:
        raise HubError(BAD_REQUEST, f"{name} cannot be sent as JSON: {error}") from None


def _names_a_notification(value: object) -> bool:
    return isinstance(value, str) and is_notification_id(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _short_hash(text: str) -> str:
    if not text:
        return ""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:12]).decode()


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
