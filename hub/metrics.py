"""Port: what can be counted about a node, in the hub's own words.

Channel and user ids never appear: they would make one time series each. Knows no
metrics library; an implementation is chosen in the composition root.
"""

from __future__ import annotations

from typing import Protocol


class Metrics(Protocol):
    """Told what happens, as it happens. Calls must be cheap and never raise."""

    def connection_opened(self, sdk: str) -> None:
        """A client connected and was accepted; ``sdk`` is the library name it gave."""
        ...

    def connection_closed(self, code: int) -> None:
        """An accepted connection ended with this disconnect code."""
        ...

    def publication_received(self) -> None:
        """A publication reached this node."""
        ...

    def publication_delivered(self, subscribers: int) -> None:
        """A publication went into this many outboxes."""
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


class NopMetrics:
    """Counts nothing, so that nobody needs to ask whether there is a counter."""

    def connection_opened(self, sdk: str) -> None: ...
    def connection_closed(self, code: int) -> None: ...
    def publication_received(self) -> None: ...
    def publication_delivered(self, subscribers: int) -> None: ...
    def recovery_finished(self, recovered: bool) -> None: ...
    def command_refused(self, code: int) -> None: ...
    def handshake_refused(self, status: int) -> None: ...
