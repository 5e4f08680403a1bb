"""Finds the end of an HTTP/1 request head, and tells early what can never become one. Pure.

Reads no header: it only decides whether to wait on, to give up, or to hand the bytes to
somebody who parses them (RFC 9112, sections 2 and 3).
"""

from __future__ import annotations

import enum
import re

from msgspec import Struct

_REQUEST_LINE = re.compile(rb"([A-Z-]{1,20}) ([\x21-\xff]+) HTTP/1\.[01]\r\n")
_REQUEST_LINE_START = re.compile(rb"[A-Z-]{1,20}(?: |\Z)")
_UPGRADE_HEADER = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)


class HeadVerdict(enum.Enum):
    """What can be said when there is no whole head."""

    NEED_MORE = "need more"
    NOT_HTTP = "not http"
    TOO_LARGE = "too large"


class RequestHead(Struct, frozen=True, gc=False):
    """A whole head: its length with the empty line, and the little that decides who serves it."""

    length: int
    method: bytes
    path: str
    wants_upgrade: bool


def find_head(received: bytearray, searched: int, max_bytes: int) -> RequestHead | HeadVerdict:
    """The request head at the start of ``received``, or why there is none yet. Never raises.

    Args:
        received: everything so far, without leading empty lines.
        searched: how many of these bytes were there at the last call, so that a head that
            trickles in is not searched again from its start each time.
        max_bytes: longest head allowed.
    """
    end = received.find(b"\r\n\r\n", max(0, searched - 3), max_bytes)
    line = _REQUEST_LINE.match(received)
    if line is None:
        if b"\r\n" in received or not _REQUEST_LINE_START.match(received):
            return HeadVerdict.NOT_HTTP
    if end < 0:
        return HeadVerdict.TOO_LARGE if len(received) >= max_bytes else HeadVerdict.NEED_MORE
    if line is None:
        return HeadVerdict.NOT_HTTP
    upgrade = _UPGRADE_HEADER.search(received, line.end() - 2, end + 2)
    return RequestHead(end + 4, line[1], path_of(line[2].decode("latin-1")), upgrade is not None)


def path_of(target: str) -> str:
    """The path of a request target in origin or absolute form, without its query (RFC 9112, 3.2)."""
    if not target.startswith("/"):
        _, scheme_end, rest = target.partition("://")
        target = "/" + rest.partition("/")[2] if scheme_end else target
    return target.partition("?")[0]


def query_of(target: str) -> str:
    """The query of a request target, without its question mark."""
    return target.partition("?")[2]
