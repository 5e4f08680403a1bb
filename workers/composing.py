"""From a claimed row to the pushes that settle it. Pure: no clock, no provider, no ledger.

One push for each group of notifications, one that tells the app to resume for what is beyond
them, one for a badge that changed elsewhere, one for each notification that was taken back.
Built anew at every attempt: nothing that was frozen earlier is ever sent.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Mapping
from typing import Any, Final

import orjson
from msgspec import Struct

from hub.delivery.inbox import inbox_channel
from hub.delivery.model import Claimed, EntryTerms, Group
from hub.delivery.receipts import Receipt, sign_receipt
from workers.push import Kind, Priority, Push, Target

PAYLOAD_VERSION: Final = 1

QUIET_TTL_S: Final = 3600
"""What a badge or a clear is worth: later the app will have asked for itself."""

_PUSHES: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:realtime-push-hub:push").bytes


class PlannedPush(Struct, frozen=True):
    """One push of a row, and what of the row it settles once the provider took it.

    ``told`` are the offsets and notification ids it stands for, oldest first; ``badge`` the count
    and ``cleared`` the id that it settles. ``expires_at_ms`` is when it is worth nothing any more.
    """

    push: Push
    expires_at_ms: int
    told: tuple[tuple[int, str], ...] = ()
    badge: int | None = None
    cleared: str = ""


def compose(row: Claimed, receipt_secret: bytes, receipt_ttl_s: int) -> list[PlannedPush]:
    """The pushes of a claimed row, in the order in which they are to be sent."""
    writer = _Writer(row, receipt_secret, receipt_ttl_s * 1000)
    planned = [writer.clear(each) for each in row.clear]
    planned += [writer.notify(group) for group in row.groups]
    if row.rest:
        planned.append(writer.sync())
    if row.badge is not None and not row.groups:
        planned.append(writer.badge(row.badge))
    return planned


def push_id(device: str, notification: str) -> str:
    """The same UUID for every attempt at the same notification on the same device."""
    # What uuid.uuid5 does (RFC 9562, 5.5), without an object in between: this is done for every attempt.
    digest = bytearray(hashlib.sha1(_PUSHES + f"{device}|{notification}".encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def collapse_id(device: str, subject: str) -> str:
    """What replaces what on a phone: one text for a thread, or a notification without one."""
    digest = hashlib.sha256(f"{device}|{subject}".encode()).digest()
    return base64.urlsafe_b64encode(digest)[:32].decode()


def target_of(row: Claimed) -> Target:
    """Where the pushes of a row go."""
    record = row.record
    web = record.provider == "webpush"
    return Target(
        user=row.user,
        device=row.device,
        platform=record.platform,
        provider=record.provider,
        app=record.app,
        environment=record.environment,
        token="" if web else record.token,
        token_hash=row.token_hash,
        token_updated_ms=row.token_updated_ms,
        subscription=_json_object(record.token.encode()) if web else None,
        locale=record.locale,
    )


class _Writer:
    """What all pushes of one row have in common."""

    def __init__(self, row: Claimed, receipt_secret: bytes, receipt_ttl_ms: int) -> None:
        self._row = row
        self._secret = receipt_secret
        self._receipt_ttl_ms = receipt_ttl_ms
        self._target = target_of(row)
        self._channel = inbox_channel(row.user)
        self._user_hash = hashlib.sha256(row.user.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        self._provider = row.record.provider
        self._several = len(row.groups) + bool(row.rest) > 1
        self._owed = (
            sorted([*(o for g in row.groups for o in g.offsets), *(e.offset for e in row.rest)])
            if self._several
            else []
        )

    def notify(self, group: Group) -> PlannedPush:
        entry, row = group.newest, self._row
        terms = entry.terms
        details = _json_object(terms.details)
        told = _json_object(entry.data)
        shown = told.get("notification")
        shown = shown if isinstance(shown, dict) else {}
        overrides = _json_value(details.get("overrides")).get(self._provider)
        return PlannedPush(
            push=Push(
                kind="notify",
                push_id=push_id(row.device, terms.id),
                target=self._target,
                hub=self._hub(
                    "notify", terms.id, entry.offset, group.count, self._receipt(group.offsets, terms)
                ),
                notification=shown,
                data=told.get("data"),
                # Who counts for himself, over more than this inbox, knows better.
                badge=shown.get("badge", row.unread),
                collapse_id=collapse_id(row.device, terms.thread or terms.id),
                priority=_priority(details),
                expires_at_s=terms.expires_at_ms // 1000,
                ttl_s=self._ttl_s(terms.expires_at_ms),
                overrides=_json_value(overrides),
                traceparent=str(details.get("traceparent", "")),
            ),
            expires_at_ms=terms.expires_at_ms,
            told=tuple(zip(group.offsets, group.ids, strict=True)),
            # It shows the count as well, so that the first one that is taken settles the badge.
            badge=row.badge,
        )

    def sync(self) -> PlannedPush:
        row = self._row
        newest = row.rest[-1]
        expires_at_ms = max(entry.terms.expires_at_ms for entry in row.rest)
        offsets = tuple(entry.offset for entry in row.rest)
        return PlannedPush(
            # An id has no blank in it, so none of these names is that of a notification.
            push=Push(
                kind="sync",
                push_id=push_id(row.device, f"sync {newest.terms.id}"),
                target=self._target,
                hub=self._hub(
                    "sync",
                    newest.terms.id,
                    newest.offset,
                    len(row.rest),
                    self._receipt(offsets, newest.terms, shown=False),
                ),
                collapse_id=collapse_id(row.device, "sync "),
                priority="normal",
                expires_at_s=expires_at_ms // 1000,
                ttl_s=self._ttl_s(expires_at_ms),
                traceparent=str(_json_object(newest.terms.details).get("traceparent", "")),
            ),
            expires_at_ms=expires_at_ms,
            told=tuple((entry.offset, entry.terms.id) for entry in row.rest),
        )

    def badge(self, count: int) -> PlannedPush:
        row = self._row
        subject = f"badge {row.epoch} {row.read} {count}"
        return self._quiet("badge", subject, "badge ", "", row.read, badge=count)

    def clear(self, notification: str) -> PlannedPush:
        return self._quiet(
            "clear", f"clear {notification}", f"clear {notification}", notification, 0, badge=self._row.unread
        )

    def _quiet(
        self, kind: Kind, subject: str, replaces: str, notification: str, offset: int, badge: int
    ) -> PlannedPush:
        row = self._row
        expires_at_ms = row.now_ms + QUIET_TTL_S * 1000
        return PlannedPush(
            push=Push(
                kind=kind,
                push_id=push_id(row.device, subject),
                target=self._target,
                hub=self._hub(kind, notification, offset, 0, ""),
                badge=badge,
                collapse_id=collapse_id(row.device, replaces),
                priority="normal",
                expires_at_s=expires_at_ms // 1000,
                ttl_s=QUIET_TTL_S,
            ),
            expires_at_ms=expires_at_ms,
            badge=badge if kind == "badge" else None,
            cleared=notification,
        )

    def _hub(self, kind: Kind, notification: str, offset: int, count: int, receipt: str) -> dict[str, Any]:
        hub: dict[str, Any] = {
            "v": PAYLOAD_VERSION,
            "kind": kind,
            "id": notification,
            "channel": self._channel,
            "epoch": self._row.epoch,
            "offset": offset,
            "count": count,
            "user": self._user_hash,
        }
        if receipt:
            hub["receipt"] = receipt
        return hub

    def _ttl_s(self, expires_at_ms: int) -> int:
        return max(0, (expires_at_ms - self._row.now_ms) // 1000)

    def _receipt(self, offsets: tuple[int, ...], terms: EntryTerms, *, shown: bool = True) -> str:
        """An ack is up to an offset: it must not reach a debt that this push does not tell of."""
        newest = offsets[-1]
        acks = newest
        if self._several or not shown:
            mine = frozenset(offsets) if shown else frozenset()
            owed = self._owed or offsets
            acks = min([newest, *(offset - 1 for offset in owed if offset not in mine)])
        row = self._row
        return sign_receipt(
            Receipt(
                user=row.user,
                device=row.device,
                epoch=row.epoch,
                offset=newest,
                acks=acks,
                expires_at_ms=max(row.now_ms, terms.expires_at_ms) + self._receipt_ttl_ms,
            ),
            self._secret,
        )


def _priority(details: Mapping[str, Any]) -> Priority:
    return "normal" if details.get("priority") == "normal" else "high"


def _json_object(text: bytes) -> dict[str, Any]:
    try:
        return _json_value(orjson.loads(text))
    except orjson.JSONDecodeError:
        return {}


def _json_value(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
