"""Who is at the other end: the TCP peer, and behind proxies that we trust, the phone itself.

Pure. Believes nobody's word but that of the configured proxies: a header that anyone can send
is read from right to left, and no further than the first address that is not a proxy of ours.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

UNIX = "unix"
"""Stands for every peer of a Unix socket, in the list of trusted proxies and as an address."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_WITH_PORT = re.compile(r"(?:\[([^\]]+)\]|([0-9.]+))(?::[0-9]{1,5})?")


class Peer(Struct, frozen=True, gc=False):
    """One end of a connection. ``trusted`` says that its word about who is behind it counts."""

    address: str
    port: int
    trusted: bool


def parse_address(text: str) -> str | None:
    """The IP address in one entry of X-Forwarded-For, in canonical form; None for anything else.

    Takes a port, brackets and quotes; an IPv4 address mapped into IPv6 becomes IPv4, so that
    ``::ffff:10.0.0.1`` and ``10.0.0.1`` are one peer; a zone is dropped.
    """
    text = text.strip().strip('"')
    if with_port := _WITH_PORT.fullmatch(text):
        text = with_port[1] or with_port[2]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


class TrustedProxies:
    """The proxies whose X-Forwarded-For and PROXY headers are believed.

    Args:
        networks: addresses and networks (``10.0.0.0/8``, ``::1``), and ``unix`` for Unix sockets.
            To trust ``0.0.0.0/0`` is to let every client choose its own address.

    Raises:
        ValueError: naming each entry that is none of these.
    """

    __slots__ = ("_networks", "_unix")

    def __init__(self, networks: Iterable[str] = ()) -> None:
        entries = [entry.strip() for entry in networks]
        self._unix = UNIX in entries
        self._networks: list[_Network] = []
        wrong = []
        for entry in entries:
            if entry == UNIX:
                continue
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                wrong.append(entry)
        if wrong:
            raise ValueError(f"not an address, a network or {UNIX!r}: {', '.join(wrong)}")

    def trusts(self, address: str) -> bool:
        """Whether ``address`` is one of the proxies."""
        if address == UNIX:
            return self._unix
        if not self._networks:
            return False
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self._networks)

    def peer(self, address: str, port: int) -> Peer:
        """The peer with this address, which must be an IP address in text or ``unix``."""
        canonical = parse_address(address) or UNIX
        return Peer(canonical, port, self.trusts(canonical))

    def peer_of(self, peername: object) -> Peer:
        """The peer of a socket, from what ``getpeername`` gave: a tuple for TCP, else a Unix path."""
        if isinstance(peername, tuple) and len(peername) == 2:
            # IPv4, and in the system's own writing, which is the canonical one.
            return Peer(peername[0], peername[1], self.trusts(peername[0]))
        if isinstance(peername, tuple | list) and len(peername) >= 2:
            return self.peer(str(peername[0]), int(peername[1]))
        return self.peer(UNIX, 0)

    def client_of(self, peer: Peer, forwarded_for: Sequence[str]) -> str:
        """Address of the client itself, given the values of all X-Forwarded-For headers in order.

        Each proxy appends the address that it saw. Walking back, the first one that is not a
        trusted proxy is the client; what stands left of it may be the client's invention. An
        entry that is no address ends the walk at the proxy that reported it.
        """
        client = peer.address
        if not peer.trusted:
            return client
        for entry in reversed(",".join(forwarded_for).split(",")):
            address = parse_address(entry)
            if address is None:
                return client
            client = address
            if not self.trusts(address):
                return client
        return client
