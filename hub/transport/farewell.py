"""The end of a connection that was answered and is to be left: reads nothing into memory, waits briefly.

Closing a socket that still has unread bytes resets it, and the reset can overtake the answer
on its way. So our half is closed first, and the peer gets a moment to read and to leave.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from hub.transport.handshake import Rejection
from hub.transport.state import TransportState

if TYPE_CHECKING:
    from uvicorn.server import Protocols


def turn_away(state: TransportState, transport: asyncio.Transport, rejection: Rejection) -> None:
    """Answer with ``rejection`` and end the connection, within the close timeout at the latest."""
    state.metrics.handshake_refused(rejection.status)
    transport.write(rejection.render(state.server_state.default_headers))
    transport.set_protocol(Farewell(state, transport))


def register(state: TransportState, protocol: Any) -> None:
    """Put a protocol of ours among those that the server ends by ``shutdown()``."""
    state.server_state.connections.add(cast("Protocols", protocol))


def unregister(state: TransportState, protocol: Any) -> None:
    """Take it out again; no error if it is not there."""
    state.server_state.connections.discard(cast("Protocols", protocol))


class Farewell(asyncio.Protocol):
    """Waits for the peer to leave, and aborts after the close timeout."""

    __slots__ = ("_deadline", "_state", "_transport")

    def __init__(self, state: TransportState, transport: asyncio.Transport) -> None:
        self._state = state
        self._transport = transport
        register(state, self)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(state.options.close_timeout_s, transport.abort)
        close_our_half(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer left, or was aborted."""
        self._deadline.cancel()
        unregister(self._state, self)
        self._state.departed()

    def shutdown(self) -> None:
        """The server stops: nothing is owed to this peer."""
        self._transport.abort()

    abort = shutdown


def close_our_half(transport: asyncio.Transport) -> None:
    """Send what is queued and then the end of the stream; over TLS, which has no halves, close."""
    if transport.is_closing():
        return
    if transport.can_write_eof():
        transport.resume_reading()
        transport.write_eof()
    else:
        transport.close()
