"""The first moments of every TCP connection: who is it, and is it a WebSocket or ordinary HTTP?

Reads a PROXY header where one is believed, waits for one whole request head, then hands the
transport on and is gone. Slow, silent, oversized and meaningless beginnings end here.

A PROXY header is read only from trusted proxies, and only on plain TCP. With TLS ended by the hub
itself it cannot be used: the header precedes the TLS handshake on the wire, and the event loop
starts that handshake before any protocol of ours sees a byte. Let the proxy end TLS, or let it
speak HTTP and send X-Forwarded-For. For trusted peers the header is recognised, not demanded: a
trusted proxy that relays bytes blindly, without sending the header itself, lets its clients
send one, so only proxies that speak HTTP or send the header belong on the list.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.config import Config
from uvicorn.server import ServerState

from hub.transport.farewell import register, turn_away, unregister
from hub.transport.handshake import Rejection
from hub.transport.http_connection import HttpConnection
from hub.transport.peer import Peer
from hub.transport.proxy_protocol import ProxyHeader, ProxyVerdict, read_proxy_header
from hub.transport.request_head import HeadVerdict, RequestHead, find_head
from hub.transport.state import TransportState
from hub.transport.websocket import open_link

_NOT_HTTP = Rejection(400, "not an HTTP/1 request")
_BAD_PROXY_HEADER = Rejection(400, "malformed PROXY header")
_TOO_LARGE = Rejection(431, "request head too large")
_TOO_SLOW = Rejection(408, "request head took too long")


class FrontDoor(asyncio.Protocol):
    """The protocol of a connection until its first request head is whole.

    Built with the arguments that uvicorn gives its protocol classes; what belongs to the
    server is bound by :func:`front_door_class`.
    """

    __slots__ = (
        "_app_state",
        "_config",
        "_deadline",
        "_expects_proxy_header",
        "_loop",
        "_peer",
        "_received",
        "_transport",
    )

    state: ClassVar[TransportState]

    _transport: asyncio.Transport
    _peer: Peer
    _deadline: asyncio.TimerHandle

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config = config
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._received = bytearray()
        self._expects_proxy_header = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A peer connected; over TLS, its handshake is done."""
        state = self.state
        self._transport = transport
        self._peer = state.options.trusted_proxies.peer_of(transport.get_extra_info("peername"))
        self._expects_proxy_header = self._peer.trusted and transport.get_extra_info("sslcontext") is None
        self._deadline = self._loop.call_later(state.options.handshake_timeout_s, self._deadline_passed)
        state.accepted_count += 1
        register(state, self)
        if state.stopping:
            # Its TLS handshake was under way when the sockets were closed.
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes of a PROXY header or a request head."""
        searched = len(self._received)
        self._received += data
        if self._expects_proxy_header:
            if not self._read_proxy_header():
                return
            searched = 0
        if self._received.startswith((b"\r", b"\n")):
            # Empty lines before a request are to be ignored (RFC 9112, 2.2).
            self._received = self._received.lstrip(b"\r\n")
            searched = 0
        if not self._received:
            return
        head = find_head(self._received, searched, self.state.options.max_head_bytes)
        match head:
            case RequestHead():
                self._hand_over(head)
            case HeadVerdict.NOT_HTTP:
                self._turn_away(_NOT_HTTP)
            case HeadVerdict.TOO_LARGE:
                self._turn_away(_TOO_LARGE)
            case HeadVerdict.NEED_MORE:
                pass

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer left before it asked for anything."""
        self._leave()
        self.state.departed()

    def shutdown(self) -> None:
        """The server stops: nothing is owed to a peer that has not asked yet."""
        self._transport.abort()

    abort = shutdown

    def _read_proxy_header(self) -> bool:
        """True once it is known what comes next is HTTP."""
        header = read_proxy_header(self._received)
        if isinstance(header, ProxyHeader):
            del self._received[: header.length]
            if header.source is not None:
                self._peer = self.state.options.trusted_proxies.peer(*header.source)
        elif header is ProxyVerdict.MALFORMED:
            self._turn_away(_BAD_PROXY_HEADER)
            return False
        elif header is ProxyVerdict.NEED_MORE:
            return False
        self._expects_proxy_header = False
        return True

    def _hand_over(self, head: RequestHead) -> None:
        state, received = self.state, self._received
        self._leave()
        if (
            head.wants_upgrade
            and head.method == b"GET"
            and head.path == state.options.websocket_path
            and state.acceptor is not None
        ):
            first, rest = bytes(received[: head.length]), bytes(received[head.length :])
            open_link(state, self._transport, first, rest, self._peer)
            return
        http = HttpConnection(state, self._peer, self._config, self._app_state, self._loop)
        http.connection_made(self._transport)
        # In this order: the bytes may make the HTTP connection hand the transport on in its turn.
        self._transport.set_protocol(http)
        http.data_received(bytes(received))

    def _turn_away(self, rejection: Rejection) -> None:
        self._leave()
        turn_away(self.state, self._transport, rejection)

    def _deadline_passed(self) -> None:
        self.state.metrics.limit_reached("handshake_timeout")
        if self._received:
            self._turn_away(_TOO_SLOW)
        else:
            self.state.metrics.handshake_refused(_TOO_SLOW.status)
            self._transport.abort()

    def _leave(self) -> None:
        self._deadline.cancel()
        unregister(self.state, self)


def front_door_class(state: TransportState) -> type[FrontDoor]:
    """The front door of one server, as a class for uvicorn's ``http=`` and ``ws=``."""
    return type("FrontDoor", (FrontDoor,), {"state": state, "__slots__": ()})
