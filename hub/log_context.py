"""What every line of a log should say about where it comes from: the node, the connection, the request.

Set where a task begins, and so in force for everything the task does. Knows no logging library.
"""

from __future__ import annotations

from contextvars import ContextVar

NODE: ContextVar[str] = ContextVar("node", default="")
"""Name of this process among hubs and workers."""
CLIENT: ContextVar[str] = ContextVar("client", default="")
"""The connection that is served."""
REQUEST: ContextVar[str] = ContextVar("request", default="")
"""The HTTP request that is served."""
TRACE: ContextVar[str] = ContextVar("trace", default="")
"""The trace it is part of, where traces are made."""


def fields() -> dict[str, str]:
    """Those that are known here, by the name they are logged under."""
    known = {variable.name: variable.get() for variable in (NODE, CLIENT, REQUEST, TRACE)}
    return {name: value for name, value in known.items() if value}
