"""One connection to a Redis server: replies in order, as they come off the socket.

An ``asyncio.Protocol`` straight on the hiredis parser. A ``redis.asyncio.Connection`` costs 20 - 33 µs of
CPU per command in tens, this one 3 - 7 (measured with and without uvloop), and here a late reply needs no
task of its own. Knows the wire format and nothing of what is asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, cast

import hiredis

logger = logging.getLogger(__name__)

_REPLIES_PER_TURN = 512  # handled without letting the loop do anything else
_NOTHING = object()

ReplyError = hiredis.ReplyError
"""A reply that is an error. Handed on as a value, never raised by the wire."""

pack = cast("Callable[[tuple[str | bytes | int, ...]], bytes]", hiredis.pack_command)
"""A command as bytes of the wire."""


def error_code(error: Exception) -> str:
    """The first word of an error reply, for example ``MOVED``."""
    return str(error).partition(" ")[0]


class Wire(asyncio.Protocol):
    """A connection. ``on_reply`` and ``on_lost`` belong to whoever speaks on it, and may be replaced.

    ``on_lost`` is called once, with the reason, unless :meth:`abort` was called before. ``on_writable``
    is called when the socket takes bytes again after :attr:`paused` was true.
    """

    def __init__(self) -> None:
        self.on_reply: Callable[[Any], None] = _ignore
        self.on_lost: Callable[[str], None] = _ignore
        self.on_writable: Callable[[], None] = _nothing_to_do
        self.paused = False
        self.lost = False
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._draining = False

    def write(self, packed: bytes) -> None:
        """Send whole commands. Without effect on a lost wire."""
        if self._transport is not None and not self.lost:
            self._transport.write(packed)

    def abort(self) -> None:
        """Close it now; nothing is called any more."""
        self.on_reply = _ignore
        self.on_lost = _ignore
        self.on_writable = _nothing_to_do
        self.lost = True
        if self._transport is not None:
            self._transport.abort()

    async def ask(self, commands: Iterable[tuple[str | bytes | int, ...]]) -> list[Any]:
        """Send commands on a wire that is not yet in use, and return their replies, errors as values.

        Replaces ``on_reply`` and ``on_lost``. Bound it by a timeout.

        Raises:
            ConnectionError: when the wire is lost first.
        """
        packed = [pack(command) for command in commands]
        replies: list[Any] = []
        done = asyncio.get_running_loop().create_future()

        def on_reply(reply: Any) -> None:
            replies.append(reply)
            if len(replies) == len(packed) and not done.done():
                done.set_result(None)

        def on_lost(reason: str) -> None:
            if not done.done():
                done.set_exception(ConnectionError(reason))

        if self.lost:
            raise ConnectionError("the connection is closed")
        self.on_reply, self.on_lost = on_reply, on_lost
        self.write(b"".join(packed))
        await done
        return replies

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self.lost:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost:
            self._lose(f"the connection was lost: {exc}" if exc else "the server closed the connection")

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.on_writable()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        if not self._draining:
            self._drain()

    def _drain(self) -> None:
        """Hand on what has arrived whole; a flood in slices, so that it starves nobody."""
        self._draining = False
        gets = self._reader.gets
        try:
            for _ in range(_REPLIES_PER_TURN):
                reply = gets(False)
                if reply is _NOTHING:
                    self._resume_reading()
                    return
                self.on_reply(reply)
        except hiredis.ProtocolError as error:
            self._lose(f"what came is not the Redis protocol: {error}")
            return
        if not self.lost and self._transport is not None:
            self._draining = True
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._drain)

    def _resume_reading(self) -> None:
        if not self.lost and self._transport is not None and not self._transport.is_reading():
            self._transport.resume_reading()

    def _lose(self, reason: str) -> None:
        on_lost = self.on_lost
        self.abort()
        on_lost(reason)


def _ignore(_: Any) -> None:
    return None


def _nothing_to_do() -> None:
    return None
