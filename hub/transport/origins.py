"""Which web pages may open a WebSocket: the check of the Origin header (RFC 6455, section 10.2).

Browsers send the header and cannot forge it; phones send none and are let in. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_PATTERN = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.*-]*)://)?(\[[0-9A-Fa-f:.]+\]|[^/:?#@\s]*)(?::([0-9]{1,5}|\*))?"
)


class OriginPolicy:
    """Decides by a list of allowed origins; without a list, only pages of our own host are allowed.

    Args:
        patterns: each ``*`` (everybody), or an origin whose host may hold ``*`` for any run of
            characters, dots included: ``https://app.example.com``, ``https://*.example.com``,
            ``http://localhost:*``. Without a scheme any scheme matches; without a port only
            the scheme's usual one does. ``null`` is an origin too.

    Raises:
        ValueError: naming each pattern that is no origin.
    """

    __slots__ = ("_all", "_allowed", "_same_host")

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._all = "*" in patterns
        self._same_host = not patterns
        wrong = [pattern for pattern in patterns if not _PATTERN.fullmatch(pattern)]
        if wrong:
            raise ValueError(f"not an origin (scheme://host:port, no path): {', '.join(wrong)}")
        self._allowed = [_compile(pattern) for pattern in patterns if pattern != "*"]

    def allows(self, origin: str | None, host: str | None) -> bool:
        """Whether a page of ``origin`` may connect; ``host`` is the Host header of the same request."""
        if origin is None or self._all:
            return True
        canonical = _canonical(origin)
        if canonical is None:
            return False
        if self._same_host:
            scheme = canonical.partition("://")[0]
            return host is not None and canonical == _canonical(f"{scheme}://{host}")
        return any(pattern.fullmatch(canonical) for pattern in self._allowed)


def _canonical(origin: str) -> str | None:
    """``scheme://host:port`` in lower case with the port always there; ``null`` stays as it is."""
    if origin == "null":
        return origin
    try:
        parts = urlsplit(origin)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    if not parts.scheme or parts.path or parts.query or parts.fragment or parts.username is not None:
        return None
    return f"{parts.scheme}://{parts.hostname or ''}:{port}"


def _compile(pattern: str) -> re.Pattern[str]:
    if pattern == "null":
        return re.compile("null")
    matched = _PATTERN.fullmatch(pattern.lower())
    assert matched is not None, "patterns were checked before they are compiled"
    scheme, host, port = matched[1], matched[2].strip("[]"), matched[3]
    host_part = re.escape(host).replace(r"\*", r"[^/:]+")
    if port == "*":
        port_part = "[0-9]+"
    elif port is not None:
        port_part = port
    elif scheme is not None:
        port_part = str(_DEFAULT_PORTS.get(scheme, 0))
    else:
        port_part = None
    if scheme is not None:
        return re.compile(f"{re.escape(scheme)}://{host_part}:{port_part}")
    if port_part is not None:
        return re.compile(f"[^:/]+://{host_part}:{port_part}")
    usual = "|".join(f"{name}://{host_part}:{number}" for name, number in _DEFAULT_PORTS.items())
    return re.compile(f"{usual}|[^:/]+://{host_part}:0")
