"""uvicorn's HTTP/1 connection, taught who its client is, to give up an upgrade, and not to wait forever.

An upgrade may come after other requests on the same connection: proxies that keep connections
alive (nginx ``keepalive``, HAProxy ``http-reuse``) send health checks first. Knows no route.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from hub.transport.farewell import turn_away
from hub.transport.handshake import Rejection
from hub.transport.peer import Peer
from hub.transport.request_head import path_of
from hub.transport.state import TransportState
from hub.transport.websocket import open_link

FROM_PROXY = "hub.from_proxy"
"""In the scope of a request that a trusted proxy sent, whatever it says of whom it serves."""


class HttpConnection(HttpToolsProtocol):
    """Serves HTTP requests until the connection ends or becomes a WebSocket.

    Every head after the first has the same deadline and size limit as the first, which the
    front door has checked. Bodies are the application's to limit.
    """

    def __init__(
        self,
        state: TransportState,
        peer: Peer,
        config: Config,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(config, state.server_state, app_state, loop)
        self._state = state
        self._peer = peer
        self._in_head = False
        self._head_bytes = 0
        self._head_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the transport over; the client is the peer that the front door found."""
        super().connection_made(transport)
        self.client = (self._peer.address, self._peer.port)

    def connection_lost(self, exc: Exception | None) -> None:
        """The TCP connection is gone."""
        self._stop_timers()
        super().connection_lost(exc)
        self._state.departed()

    def data_received(self, data: bytes) -> None:
        """Bytes of requests, and at the end maybe of a WebSocket's first frames."""
        self._unset_keepalive_if_required()
        head_was_open = self._in_head
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._stop_timers()
            self.send_400_response("Invalid HTTP request received.")
            return
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                # What follows the request in this read is the client's already.
                self._hand_over(data[upgrade.args[0] :])
                return
        if self._in_head:
            self._watch_head(len(data) if head_was_open else 0)
        elif not self._is_serving() and not self.transport.is_closing():
            # Bytes that began no request stopped the keep-alive clock; without it we would wait forever.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """The head is whole; the request may start."""
        self._in_head = False
        self._stop_head_deadline()
        if self._peer.trusted:
            self.scope[FROM_PROXY] = True  # type: ignore[literal-required]
            self._believe_proxy()
        super().on_headers_complete()

    def abort(self) -> None:
        """Drop the connection at once."""
        self.transport.abort()

    def _get_upgrade(self) -> bytes | None:
        # The stock method sees only the last of several Connection headers (RFC 9110, 5.3).
        options = [value for name, value in self.headers if name == b"connection"]
        if b"upgrade" not in (option.strip().lower() for option in b",".join(options).split(b",")):
            return None
        upgrades = [value.strip().lower() for name, value in self.headers if name == b"upgrade"]
        return upgrades[-1] if upgrades else None

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: strangers must not be able to fill the log."""

    def _believe_proxy(self) -> None:
        forwarded_for = [
            value.decode("latin-1") for name, value in self.headers if name == b"x-forwarded-for"
        ]
        address = self._state.options.trusted_proxies.client_of(self._peer, forwarded_for)
        if address != self._peer.address:
            self.scope["client"] = (address, 0)
        protocols = [value for name, value in self.headers if name == b"x-forwarded-proto"]
        if protocols and protocols[-1].strip().lower() in (b"http", b"https"):
            self.scope["scheme"] = protocols[-1].strip().lower().decode()

    def _is_serving(self) -> bool:
        cycle: RequestResponseCycle | None = (
            self.cycle
        )  # None until the first request, whatever its type says
        return cycle is not None and not cycle.response_complete

    def _hand_over(self, leftover: bytes) -> None:
        """Give the connection to a WebSocket, or answer why not."""
        if self._is_serving():
            # The answer before it is not written yet, and nothing may overtake it.
            self._state.metrics.handshake_refused(503)
            self.cycle.keep_alive = False
            return
        state, transport, peer, url = self._state, self.transport, self._peer, self.url
        head = self._rebuild_head()
        self._leave()
        if state.acceptor is None or path_of(url.decode("latin-1")) != state.options.websocket_path:
            turn_away(state, transport, Rejection(404, "no WebSocket here"))
        else:
            open_link(state, transport, head, leftover, peer)

    def _rebuild_head(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines.extend(name + b": " + value for name, value in self.headers)
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _leave(self) -> None:
        """Stop being the transport's protocol, and let go of everything that holds us in a circle."""
        self._stop_timers()
        self.connections.discard(self)
        self.flow.resume_reading()
        self.parser = self.flow = self.cycle = None  # type: ignore[assignment]

    def _watch_head(self, new_bytes: int) -> None:
        self._head_bytes += new_bytes
        if self._head_bytes > self._state.options.max_head_bytes:
            self._give_up(Rejection(431, "request head too large"))
        elif self._head_deadline is None:
            self._head_deadline = self.loop.call_later(
                self._state.options.handshake_timeout_s, self._deadline_passed
            )

    def _deadline_passed(self) -> None:
        self._state.metrics.limit_reached("handshake_timeout")
        self._give_up(Rejection(408, "request head took too long"))

    def _give_up(self, rejection: Rejection) -> None:
        self._stop_head_deadline()
        if self._is_serving():
            # A pipelined head: the answer that is under way is the last one.
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        state, transport = self._state, self.transport
        self._leave()
        turn_away(state, transport, rejection)

    def _stop_timers(self) -> None:
        self._stop_head_deadline()
        self._unset_keepalive_if_required()

    def _stop_head_deadline(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None
