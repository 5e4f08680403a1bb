"""Who may see what only operators should, on a port that others reach: this machine, and admin keys.

Knows no key: it is given something to ask. To everybody else such a page does not exist, so that nobody
learns from a refusal what is there.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from starlette.requests import Request

from hub.transport.http_connection import FROM_PROXY

_FORWARDED = ("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via", "cf-connecting-ip")
"""What proxies add. A proxy on this machine makes the whole world look like this machine."""

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class OperatorsOnly:
    """Decides by the connection and the key.

    ``loopback`` lets in whoever is on this
    machine and calls it by a name of this machine: a web page whose own name was made to point here
    does not. ``is_admin`` knows the keys, as bytes, that may do everything.
    """

    def __init__(self, *, is_admin: Callable[[bytes], bool], loopback: bool) -> None:
        self._is_admin = is_admin
        self._loopback = loopback

    def __call__(self, request: Request) -> bool:
        """Whether to answer ``request``."""
        if self._loopback and _is_local(request):
            return True
        presented = _key_of(request)
        return bool(presented) and self._is_admin(presented)


def _is_local(request: Request) -> bool:
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    if request.scope.get(FROM_PROXY):
        # A proxy that we were told of may say nothing, and serves others all the same.
        return False
    try:
        if not ip_address(request.client.host).is_loopback:
            return False
    except ValueError:
        return False
    return _without_port(request.headers.get("host", "")) in _LOCAL_NAMES


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _key_of(request: Request) -> bytes:
    own = request.headers.get("x-api-key", "").strip()
    if own:
        return own.encode("latin-1")
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip().encode("latin-1") if scheme.lower() in ("apikey", "bearer") else b""
