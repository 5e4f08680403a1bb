"""Request and reply, whatever version of HTTP carries them, and the connection as a provider sees it.

Knows no provider and no wire format: the two protocols fulfil :class:`Exchange`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Frames = Literal["one", "split", "empty", "none"]


@dataclass(slots=True)
class Request:
    """One request, complete. Header names are lower-case; ``repeated`` names those that came twice."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    repeated: frozenset[str] = frozenset()


@dataclass(slots=True)
class Reply:
    """One answer. ``reason`` is the provider's word for it and stays off the wire, in the counts."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = ""


class Connection(Protocol):
    """One client connection. ``notes`` is for what a provider remembers about it."""

    number: int
    requests: int
    notes: dict[str, Any]
    transport: asyncio.Transport

    def go_away(self, last_stream: int, reason: str) -> None:
        """Announce that streams above ``last_stream`` are not processed, and ignore those."""
        ...

    def raise_stream_limit(self, streams: int) -> None:
        """Allow ``streams`` requests at once from now on."""
        ...

    def finish(self) -> None:
        """Close after what was written."""
        ...

    def freeze(self, *, frozen: bool) -> None:
        """Neither read nor write any more, as if the network had swallowed the peer; or go on."""
        ...


class Exchange(Protocol):
    """One request and the one answer it may get."""

    stream: int
    request: Request

    @property
    def connection(self) -> Connection:
        """Where it came."""
        ...

    def answer(self, reply: Reply, frames: Frames = "one") -> None:
        """Send the answer; nothing happens when the client no longer waits for it."""
        ...

    def reset(self, code: int) -> None:
        """End this stream, without an answer."""
        ...


def merged(headers: list[tuple[str, str]]) -> tuple[dict[str, str], frozenset[str]]:
    """Headers by name, the last of each, and the names that came more than once."""
    by_name = dict(headers)
    if len(by_name) == len(headers):
        return by_name, frozenset()
    names = [name for name, _ in headers]
    return by_name, frozenset(name for name in by_name if names.count(name) > 1)


def json_headers(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Headers of a JSON answer."""
    return {"content-type": "application/json; charset=UTF-8", **(extra or {})}
