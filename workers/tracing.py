"""Port: spans around what a worker does, for whoever follows a call across processes.

Facts are what the logs may say too: lanes, kinds, ids; never a token. Knows no tracing library; an
implementation is chosen in the composition root.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Fact = str | int | float


class Span(Protocol):
    """Something that takes time."""

    def note(self, **facts: Fact) -> None:
        """Add what became known meanwhile."""
        ...

    def fail(self, reason: str) -> None:
        """It came to nothing."""
        ...


class WorkerTracer(Protocol):
    """Makes spans. Calls never raise."""

    def span(
        self, name: str, *, parent: str = "", outward: bool = False, **facts: Fact
    ) -> AbstractContextManager[Span]:
        """A span for the length of the block, below the one that is open here.

        ``parent`` is the W3C traceparent of whoever set it going, which then counts instead.
        ``outward`` says that somebody else does the work.
        """
        ...


class _NoSpan:
    def note(self, **facts: Fact) -> None: ...
    def fail(self, reason: str) -> None: ...


_NOTHING = nullcontext(_NoSpan())


class NopWorkerTracer:
    """Traces nothing, so that nobody needs to ask whether there is a tracer."""

    def span(
        self, name: str, *, parent: str = "", outward: bool = False, **facts: Fact
    ) -> AbstractContextManager[Span]:
        return _NOTHING
