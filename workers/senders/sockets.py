"""The sockets of an aiohttp session, so that all of them can be closed at once.

aiohttp closes a connection whose request was given up by TLS's own goodbye, which waits half a
minute for a peer that is silent. A sender that stops does not wait for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import weakref
from typing import Any, Final

_CLOSING_TURNS: Final = 50
"""Turns of the loop that closing may take: the transports notice in the next one or two."""


class Sockets:
    """Makes sockets for a connector (``socket_factory``) and forgets those that are gone."""

    def __init__(self) -> None:
        self._made: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def make(self, address: tuple[Any, ...]) -> socket.socket:
        """A socket for one address as ``getaddrinfo`` names it."""
        made = socket.socket(family=address[0], type=address[1], proto=address[2])
        made.setblocking(False)
        self._made.add(made)
        return made

    async def cut(self) -> None:
        """Cut every connection that is left; returns when the transports have noticed."""
        for left in self._open():
            with contextlib.suppress(OSError):
                left.shutdown(socket.SHUT_RDWR)
        for _ in range(_CLOSING_TURNS):
            if not self._open():
                return
            await asyncio.sleep(0)

    def _open(self) -> list[socket.socket]:
        return [made for made in self._made if made.fileno() >= 0]
