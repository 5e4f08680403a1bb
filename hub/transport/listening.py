"""Sockets to listen on, one per address of a host, all on the same port."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket

_LOCALHOST = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_NO_SUCH_FAMILY = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}
_FREE_PORT_TRIES = 20
"""A port that is free on one address may be taken on the next; so often another is tried."""


async def open_listeners(host: str, port: int, *, reuse_port: bool = False) -> list[socket.socket]:
    """Bound sockets for every address of ``host``, with the same port number.

    ``localhost`` is 127.0.0.1 and ::1, whatever the resolver says, because clients pick either;
    the empty text is all addresses. A machine without IPv6 gets IPv4 alone.

    Raises:
        OSError: when an address cannot be bound; the text names it.
    """
    addresses = await _addresses(host)
    for _ in range(_FREE_PORT_TRIES - 1):
        try:
            return _bind_all(addresses, port, reuse_port)
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE:
                raise
    return _bind_all(addresses, port, reuse_port)


async def _addresses(host: str) -> list[tuple[int, str]]:
    if host == "localhost":
        return list(_LOCALHOST)
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return list(dict.fromkeys((int(family), str(address[0])) for family, _, _, _, address in found))


def _bind_all(addresses: list[tuple[int, str]], port: int, reuse_port: bool) -> list[socket.socket]:
    with contextlib.ExitStack() as on_failure:
        bound: list[socket.socket] = []
        absent: OSError | None = None
        for family, address in addresses:
            try:
                sock = on_failure.enter_context(_bind(family, address, port, reuse_port))
            except OSError as error:
                if family == socket.AF_INET6 and len(addresses) > 1 and error.errno in _NO_SUCH_FAMILY:
                    absent = error
                    continue
                raise
            bound.append(sock)
            port = sock.getsockname()[1]
        if not bound:
            raise absent or OSError(errno.EADDRNOTAVAIL, "the host has no address")
        on_failure.pop_all()
        return bound


def _bind(family: int, address: str, port: int, reuse_port: bool) -> socket.socket:
    # Named, because asyncio switches Nagle's delay off only where the protocol says TCP.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # IPv4 has a socket of its own, so that both families show plain addresses.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {address} port {port}: {error.strerror}") from None
    return sock
