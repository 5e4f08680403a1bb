"""Frames waiting for one connection, in order, bounded in bytes; and the turn that sends them.

Knows no channel and no socket. Whatever gathers in one turn of the loop goes out as one
write. Nothing here ever waits: a reader too slow for the bound is ended, and its cursor
brings it back to where it was.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class FrameSink(Protocol):
    """Where an outbox sends to."""

    def write(self, data: bytes) -> None:
        """Take complete frames; never waits."""
        ...

    def on_overflow(self) -> None:
        """The bound was passed: the reader is too slow and must be ended."""
        ...


class Turn:
    """Outboxes that have something to send at the end of this turn of the loop."""

    __slots__ = ("_loop", "_waiting", "blocked")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.blocked: set[Outbox] = set()
        """Those whose socket is full: the only ones in which anything waits between two turns."""
        self._waiting: list[Outbox] = []

    def add(self, outbox: Outbox) -> None:
        """Have ``outbox`` flushed once the callbacks of this turn have run."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(outbox)

    def _flush(self) -> None:
        # Swapped first: a flush may end a connection, whose farewell belongs to the next turn.
        waiting, self._waiting = self._waiting, []
        for outbox in waiting:
            outbox.flush()


class _Nobody:
    """The sink of an outbox that is closed."""

    def write(self, data: bytes) -> None:
        return

    def on_overflow(self) -> None:
        return


_NOBODY = _Nobody()


class Outbox:
    """The outgoing queue of one connection."""

    __slots__ = ("_frames", "_max_bytes", "_sink", "_turn", "_waiting_bytes", "blocked", "closed")

    def __init__(self, sink: FrameSink, turn: Turn, max_bytes: int) -> None:
        self._sink: FrameSink = sink
        self._turn = turn
        self._max_bytes = max_bytes
        self._frames: list[bytes] = []
        self._waiting_bytes = 0
        self.blocked = False
        self.closed = False

    @property
    def waiting_bytes(self) -> int:
        """Bytes not yet handed to the socket."""
        return self._waiting_bytes

    def put(self, frame: bytes) -> None:
        """Queue one complete frame, or end the connection when its reader is too slow.

        A closed outbox takes nothing. Frames keep their order.
        """
        frames = self._frames
        if not frames:
            if self.closed:
                return
            if not self.blocked:
                self._turn.add(self)
        frames.append(frame)
        waiting = self._waiting_bytes + len(frame)
        self._waiting_bytes = waiting
        if waiting > self._max_bytes:
            self._relieve()

    def _relieve(self) -> None:
        # One turn may rightly gather more than the bound; only a full socket means a slow reader.
        if self.blocked:
            sink = self._sink
            self.close()
            sink.on_overflow()
        else:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the socket, unless it is full."""
        frames = self._frames
        if not frames or self.blocked:
            return
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        frames.clear()
        self._waiting_bytes = 0
        self._sink.write(data)

    def on_writable(self, writable: bool) -> None:
        """The socket is full (False), or has room again (True)."""
        self.blocked = not writable
        if writable:
            self._turn.blocked.discard(self)
        elif not self.closed:
            self._turn.blocked.add(self)
        if writable and self._frames:
            self.flush()

    def close(self) -> None:
        """Drop what waits and take nothing more."""
        self.closed = True
        self._turn.blocked.discard(self)
        # It holds us in its turn, and one that is gone should not have to wait for the collector.
        self._sink = _NOBODY
        self._frames.clear()
        self._waiting_bytes = 0
