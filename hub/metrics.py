"""Port: what can be counted about a node, in the hub's own words.

Channel and user ids never appear: they would make one time series each. Knows no
metrics library; an implementation is chosen in the composition root.
"""

from __future__ import annotations

from typing import Literal, Protocol

Limit = Literal[
    "connect_rate",
    "connect_rate_per_ip",
    "connections",
    "connections_per_ip",
    "connections_per_user",
    "http_connections",
    "origin",
    "handshake_timeout",
    "connect_timeout",
    "message_bytes",
    "commands_per_frame",
    "pending_commands",
    "command_rate",
    "user_command_rate",
    "channels",
    "outbox_bytes",
    "write_timeout",
    "recovery_publications",
    "api_body_bytes",
    "app_body_bytes",
    "app_call_rate",
    "receipt_rate_per_ip",
    "revocations",
    "console_watches",
]
"""Every limit that can be reached, by the name it is counted under."""


class Metrics(Protocol):
    """Told what happens, as it happens. Calls must be cheap and never raise."""

    def connection_opened(self, sdk: str, protocol: str) -> None:
        """A client connected and was accepted; ``sdk`` is the library name it gave, as it gave it."""
        ...

    def connection_closed(self, code: int, sdk: str, protocol: str) -> None:
        """An accepted connection ended with this disconnect code."""
        ...

    def publication_received(self) -> None:
        """A publication reached this node."""
        ...

    def publication_delivered(self, subscribers: int) -> None:
        """A publication went into this many outboxes."""
        ...

    def fan_out_timed(self, seconds: float) -> None:
        """How long one publication took into all outboxes; told of a sample."""
        ...

    def recovery_finished(self, recovered: bool) -> None:
        """A subscription asked to resume; ``recovered`` says whether nothing was missing."""
        ...

    def command_refused(self, code: int) -> None:
        """A command was answered with this error code."""
        ...

    def handshake_refused(self, status: int) -> None:
        """An upgrade was answered with this HTTP status instead of 101."""
        ...

    def ping_answered(self, round_trip_s: float) -> None:
        """A client answered a ping after so many seconds."""
        ...

    def limit_reached(self, limit: Limit) -> None:
        """Somebody was held to a limit."""
        ...

    def draining(self, connections_left: int) -> None:
        """The drain is under way, and so many connections are still to leave."""
        ...


class NopMetrics:
    """Counts nothing, so that nobody needs to ask whether there is a counter."""

    def connection_opened(self, sdk: str, protocol: str) -> None: ...
    def connection_closed(self, code: int, sdk: str, protocol: str) -> None: ...
    def publication_received(self) -> None: ...
    def publication_delivered(self, subscribers: int) -> None: ...
    def fan_out_timed(self, seconds: float) -> None: ...
    def recovery_finished(self, recovered: bool) -> None: ...
    def command_refused(self, code: int) -> None: ...
    def handshake_refused(self, status: int) -> None: ...
    def ping_answered(self, round_trip_s: float) -> None: ...
    def limit_reached(self, limit: Limit) -> None: ...
    def draining(self, connections_left: int) -> None: ...
