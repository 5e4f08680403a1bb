"""Where a Web Push subscription may lead: an endpoint comes from a stranger's browser.

Three walls, so that nobody makes a worker knock at the inside of a network: https to a push service
on the list, no address but a public one, and the connection goes to the very address that was
checked, so that a name cannot point elsewhere a moment later. Knows no push.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

KNOWN_PUSH_SERVICES: Final = (
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "*.push.services.mozilla.com",
    "*.notify.windows.com",
    "web.push.apple.com",
    "*.push.apple.com",
)
"""Those of the browsers: Chrome and its kin, Firefox, Edge, Safari."""

_ENDPOINT: Final = re.compile(r"https://[!-\[\]-~]{1,2000}")
_HOST: Final = re.compile(r"[a-z0-9.-]{1,253}")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class EndpointRefused(ValueError):
    """The endpoint may not be sent to; the text is the rule it breaks, never the endpoint."""


class AddressRefused(OSError):
    """A name stands for no public address."""


class PushServices:
    """The hosts that may be sent to.

    ``allowed`` are host names, with ``*.`` in front for all subdomains. ``trusted_origins``
    (``https://host:port``) are the operator's own, a simulator or a gateway: for them neither the
    list nor the rule of public addresses holds.
    """

    def __init__(self, allowed: Iterable[str], trusted_origins: Iterable[str] = ()) -> None:
        names = [name.lower().rstrip(".") for name in allowed]
        self._names = frozenset(name for name in names if not name.startswith("*."))
        self._suffixes = tuple(name[1:] for name in names if name.startswith("*."))
        origins = [URL(origin) for origin in trusted_origins]
        self._trusted = frozenset((url.raw_host or "", url.port or 443) for url in origins)

    def checked(self, endpoint: str) -> URL:
        """``endpoint``, exactly as it is to be requested.

        Raises:
            EndpointRefused: it is no https address of an allowed push service.
        """
        if not _ENDPOINT.fullmatch(endpoint):
            raise EndpointRefused("endpoint is no https address")
        try:
            url = URL(endpoint, encoded=True)
            host, port = (url.raw_host or "").lower(), url.port
        except ValueError:
            raise EndpointRefused("endpoint is no https address") from None
        if "@" in url.raw_authority:
            raise EndpointRefused("endpoint holds a user name")
        if self.is_trusted(host, port or 0):
            return url
        if port != 443:
            raise EndpointRefused("endpoint has a port of its own")
        if not _HOST.fullmatch(host) or not self._is_allowed(host):
            raise EndpointRefused("push service is not allowed")
        if _is_number(host) and not is_public(host):
            raise EndpointRefused("push service is not allowed")
        return url

    def is_trusted(self, host: str, port: int) -> bool:
        """True for the operator's own origins."""
        return (host, port) in self._trusted

    def _is_allowed(self, host: str) -> bool:
        return host in self._names or host.endswith(self._suffixes)


class PublicResolver(AbstractResolver):
    """Looks names up and keeps what is public; aiohttp connects to what this returns and nothing else."""

    def __init__(self, services: PushServices, inner: AbstractResolver | None = None) -> None:
        self._services = services
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The public addresses of ``host``.

        Raises:
            AddressRefused: it has none.
            OSError: it is not known.
        """
        found = await self._inner.resolve(host, port, family)
        if self._services.is_trusted(host, port):
            return found
        public = [result for result in found if is_public(result["host"])]
        if not public:
            raise AddressRefused("no public address")
        return public

    async def close(self) -> None:
        """Release what looks names up."""
        await self._inner.close()


def is_public(address: str) -> bool:
    """True for an address of the open internet; one that hides an IPv4 address is judged by that."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        hidden = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            hidden = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if hidden is not None:
            return is_public(str(hidden))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
