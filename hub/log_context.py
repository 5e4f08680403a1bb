"""What every line of a log says about where it comes from: the node, the connection, the request, the trace.

Said where a task begins, and so in force for everything that the task does and begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from structlog.contextvars import bind_contextvars, reset_contextvars


def say_node(name: str) -> None:
    """This process, among hubs and workers."""
    bind_contextvars(node=name)


def say_client(client: str) -> None:
    """The connection that is served from here on, by its client id."""
    bind_contextvars(client=client)


def say_request(request: str) -> None:
    """The HTTP request that is served from here on."""
    bind_contextvars(request=request)


@contextmanager
def saying_trace(trace: str) -> Iterator[None]:
    """For the length of the block, the trace that it is part of."""
    tokens = bind_contextvars(trace=trace)
    try:
        yield
    finally:
        reset_contextvars(**tokens)
