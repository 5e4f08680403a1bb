"""The one table of codes: errors in replies, unsubscribe codes, disconnect codes.

The numbers and the meaning of their ranges are those of the Centrifuge client protocol;
1000 - 1999 and 4500 - 4999 hold our own. Foreign exceptions are turned into these once,
at the edge where they appear. Knows nothing but the table.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """An error as a reply carries it. ``temporary`` invites the client to try again."""

    code: int
    message: str
    http_status: int = 400
    temporary: bool = False


@dataclass(frozen=True, slots=True)
class UnsubscribeCode:
    """Why the hub ended a subscription. From 2500 on, SDKs subscribe again by themselves."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Why the hub ended a connection: the code and reason of the WebSocket close frame."""

    code: int
    reason: str

    @property
    def reconnect(self) -> bool:
        """Whether SDKs come back by themselves; they read it off the number alone."""
        return not (3500 <= self.code <= 3999 or 4500 <= self.code <= 4999)


INTERNAL = ErrorCode(100, "internal server error", 500, temporary=True)
UNAUTHORIZED = ErrorCode(101, "unauthorized", 401)
UNKNOWN_CHANNEL = ErrorCode(102, "unknown channel", 404)
PERMISSION_DENIED = ErrorCode(103, "permission denied", 403)
METHOD_NOT_FOUND = ErrorCode(104, "method not found", 404)
ALREADY_SUBSCRIBED = ErrorCode(105, "already subscribed", 400)
LIMIT_EXCEEDED = ErrorCode(106, "limit exceeded", 400)
BAD_REQUEST = ErrorCode(107, "bad request", 400)
NOT_AVAILABLE = ErrorCode(108, "not available", 400)
TOKEN_EXPIRED = ErrorCode(109, "token expired", 401)
EXPIRED = ErrorCode(110, "expired", 400)
TOO_MANY_REQUESTS = ErrorCode(111, "too many requests", 429, temporary=True)
UNRECOVERABLE_POSITION = ErrorCode(112, "unrecoverable position", 416)
CONFLICT = ErrorCode(113, "conflict", 409, temporary=True)
NO_DEVICE = ErrorCode(1000, "connection has no device", 409)
UNKNOWN_DEVICE = ErrorCode(1001, "unknown device", 404)
BAD_PROVIDER_TOKEN = ErrorCode(1002, "bad provider token or subscription", 400)
APP_NOT_CONFIGURED = ErrorCode(1003, "app or environment not configured", 400)
ID_CONFLICT = ErrorCode(1005, "id used with another body", 409)
DATA_TOO_LARGE = ErrorCode(1006, "data too large", 413)
TOO_MANY_RECIPIENTS = ErrorCode(1007, "too many recipients", 413)
UNKNOWN_NOTIFICATION = ErrorCode(1009, "unknown notification", 404)
USER_BLOCKED_ERROR = ErrorCode(1010, "user blocked", 403)
JOB_QUEUE_FULL = ErrorCode(1012, "job queue full", 429, temporary=True)
RECEIPT_INVALID = ErrorCode(1013, "receipt invalid or expired", 403)
RESERVED_CHANNEL = ErrorCode(1014, "reserved channel", 400)

UNSUBSCRIBED_BY_SERVER = UnsubscribeCode(2000, "server unsubscribe")
INSUFFICIENT_STATE_UNSUBSCRIBE = UnsubscribeCode(2500, "insufficient state")
SUBSCRIPTION_EXPIRED_UNSUBSCRIBE = UnsubscribeCode(2501, "subscription expired")
STATE_INVALIDATED_UNSUBSCRIBE = UnsubscribeCode(2502, "state invalidated")

CONNECTION_CLOSED = Disconnect(3000, "connection closed")
"""Never on the wire: the label for a peer that went away by itself."""
SHUTDOWN = Disconnect(3001, "shutdown")
SERVER_ERROR = Disconnect(3004, "internal server error")
CONNECTION_EXPIRED = Disconnect(3005, "connection expired")
SUBSCRIPTION_EXPIRED = Disconnect(3006, "subscription expired")
SLOW = Disconnect(3008, "slow")
WRITE_ERROR = Disconnect(3009, "write error")
INSUFFICIENT_STATE = Disconnect(3010, "insufficient state")
FORCE_RECONNECT = Disconnect(3011, "force reconnect")
NO_PONG = Disconnect(3012, "no pong")
COMMAND_FLOOD = Disconnect(3013, "too many requests")
STATE_INVALIDATED = Disconnect(3014, "state invalidated")
INVALID_TOKEN = Disconnect(3500, "invalid token")
BAD_FRAME = Disconnect(3501, "bad request")
STALE = Disconnect(3502, "stale")
FORCE_DISCONNECT = Disconnect(3503, "force disconnect")
CONNECTION_LIMIT = Disconnect(3504, "connection limit")
CHANNEL_LIMIT = Disconnect(3505, "channel limit")
INAPPROPRIATE_PROTOCOL = Disconnect(3506, "inappropriate protocol")
DISCONNECT_PERMISSION_DENIED = Disconnect(3507, "permission denied")
DISCONNECT_NOT_AVAILABLE = Disconnect(3508, "not available")
TOO_MANY_ERRORS = Disconnect(3509, "too many errors")
REPLACED = Disconnect(4500, "replaced by a newer connection of the same device")
USER_BLOCKED = Disconnect(4501, "user blocked")


class HubError(Exception):
    """A refusal with its code. ``detail`` tells people more: in APIs and logs, and in replies to ``rpc``."""

    def __init__(self, error: ErrorCode, detail: str = "") -> None:
        super().__init__(f"{error.code} {error.message}" + (f": {detail}" if detail else ""))
        self.error = error
        self.detail = detail


class DisconnectError(Exception):
    """A refusal that ends the connection instead of answering the command."""

    def __init__(self, disconnect: Disconnect) -> None:
        super().__init__(f"{disconnect.code} {disconnect.reason}")
        self.disconnect = disconnect


class EngineUnavailable(HubError):
    """The engine cannot be reached or did not answer in time; whether a write happened is unknown."""

    def __init__(self, detail: str = "the engine is unavailable") -> None:
        super().__init__(INTERNAL, detail)
