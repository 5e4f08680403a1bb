"""A request as the library passes it on, the answer to it, and the two ways to get none.

Values and one record of what came so far; no connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson
from aioapns.common import NotificationRequest, NotificationResult
from aioapns.exceptions import ConnectionClosed

from workers.payloads.apns import ApnsMessage
from workers.senders.apns.answers import Answer
from workers.senders.apns.wire import HeaderPairs
from workers.senders.retry_after import retry_after_s

if TYPE_CHECKING:
    from workers.senders.apns.connection import ApnsConnection

_MAX_ANSWER_BYTES: Final = 16_384


class NotProcessed(ConnectionClosed):
    """The provider has not taken the request: it may be sent again, elsewhere, at once."""


class OutcomeUnknown(ConnectionClosed):
    """The request was sent and its answer will not come; the provider may have taken it."""


class ApnsRequest(NotificationRequest):
    """A request of the library with a body that is already encoded and headers that are final."""

    __slots__ = ("authorization", "connection", "content", "sent_at_s")

    def __init__(self, device_token: str, content: ApnsMessage, authorization: bytes | None) -> None:
        super().__init__(device_token, {}, notification_id=content.apns_id)
        self.content = content
        self.authorization = authorization
        self.connection: ApnsConnection | None = None
        self.sent_at_s: float | None = None

    def headers(self, authority: bytes) -> HeaderPairs:
        """All header fields of the request."""
        content = self.content
        pairs = [
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":path", b"/3/device/" + self.device_token.encode()),
            (b":authority", authority),
            (b"apns-id", content.apns_id.encode()),
            (b"apns-topic", content.topic.encode()),
            (b"apns-push-type", content.push_type.encode()),
            (b"apns-priority", b"%d" % content.priority),
            (b"apns-expiration", b"%d" % content.expiration),
        ]
        if content.collapse_id:
            pairs.append((b"apns-collapse-id", content.collapse_id.encode()))
        if self.authorization is not None:
            pairs.append((b"authorization", self.authorization))
        return pairs


class ApnsResult(NotificationResult):
    """A result of the library that keeps the whole answer."""

    __slots__ = ("answer",)

    def __init__(self, answer: Answer) -> None:
        super().__init__(
            answer.provider_id, str(answer.status), answer.reason or None, timestamp=answer.timestamp_ms
        )
        self.answer = answer


class Exchange:
    """One request under way: whom to tell, what came, what could not be sent yet."""

    __slots__ = ("_body", "_headers", "answered", "status", "unsent")

    def __init__(self, answered: asyncio.Future[NotificationResult], unsent: bytes) -> None:
        self.answered = answered
        self.unsent = unsent
        self.status = 0
        self._headers: dict[bytes, bytes] = {}
        self._body = b""

    def begin_answer(self, headers: dict[bytes, bytes]) -> None:
        """The header fields of the answer came."""
        self._headers = headers
        status = headers.get(b":status", b"")
        self.status = int(status) if len(status) == 3 and status.isdigit() else 0

    def gather(self, data: bytes) -> None:
        """A piece of the answer's body came; what no provider would say at such length is left out."""
        if len(self._body) + len(data) <= _MAX_ANSWER_BYTES:
            self._body += data

    def answer(self, now_s: float) -> Answer:
        """The answer as far as it came. A body that is no JSON says nothing, and breaks nothing."""
        provider_id = self._headers.get(b"apns-id", b"").decode("latin-1")[:64]
        if self.status == 200:
            return Answer(200, provider_id=provider_id)
        wish, date = self._headers.get(b"retry-after"), self._headers.get(b"date", b"")
        said = json_object(self._body)
        reason, timestamp = said.get("reason"), said.get("timestamp")
        return Answer(
            self.status,
            reason if isinstance(reason, str) else "",
            provider_id,
            timestamp if isinstance(timestamp, int) and not isinstance(timestamp, bool) else None,
            None if wish is None else retry_after_s(wish.decode("latin-1"), now_s, date.decode("latin-1")),
        )


def json_object(raw: bytes) -> dict[str, Any]:
    """The object that ``raw`` is, an empty one where it is none."""
    if not raw:
        return {}
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
