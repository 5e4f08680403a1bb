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
    front door has checked. Between requests the keep-alive time passes, and nothing but a request
    stops its clock. Who takes nothing of an answer is cut off after the write timeout. Bodies are
    the application's to limit. As long as it is the client's turn, the connection may have to make
    room for others (:meth:`~hub.transport.state.TransportState.waits`).
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
        self._write_deadline: asyncio.TimerHandle | None = None
        self._unsent_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the transport over; the client is the peer that the front door found."""
        super().connection_made(transport)
        self.client = (self._peer.address, self._peer.port)

    def connection_lost(self, exc: Exception | None) -> None:
        """The TCP connection is gone."""
        self._state.is_served(self)
        self._stop_timers()
        super().connection_lost(exc)
        self._state.departed()

    def data_received(self, data: bytes) -> None:
        """Bytes of requests, and at the end maybe of a WebSocket's first frames."""
        head_was_open = self._in_head
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._stop_timers()
            self.send_400_response("Invalid HTTP request received.")
            self._watch_writes()
            return
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                # What follows the request in this read is the client's already.
                self._hand_over(data[upgrade.args[0] :])
                return
        if self._in_head:
            self._watch_head(len(data) if head_was_open else 0)
        self._note_whose_turn_it_is()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._unset_keepalive_if_required()
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """The head is whole; the request may start."""
        self._in_head = False
        self._stop_head_deadline()
        # The answer to the request before may have started the clock in the middle of this head.
        self._unset_keepalive_if_required()
        if self._peer.trusted:
            self.scope[FROM_PROXY] = True  # type: ignore[literal-required]
            self._believe_proxy()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """An answer is written, as far as the socket took it."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_writes()
        self._note_whose_turn_it_is()

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        super().pause_writing()
        self._watch_writes()
        self._note_whose_turn_it_is()

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_write_deadline()
        self._note_whose_turn_it_is()

    def timeout_keep_alive_handler(self) -> None:
        """No request came in time."""
        super().timeout_keep_alive_handler()
        self._watch_writes()

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

    def _note_whose_turn_it_is(self) -> None:
        if self.parser is None:
            return
        if self._is_serving() and not self.cycle.more_body and not self.flow.write_paused:
            self._state.is_served(self)
        else:
            self._state.waits(self)

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
        self._state.is_served(self)
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

    def _watch_writes(self) -> None:
        """See to it that what is written leaves, or the connection ends."""
        if self._write_deadline is None:
            self._unsent_bytes = self.transport.get_write_buffer_size()
            self._write_deadline = self.loop.call_later(
                self._state.options.write_timeout_s, self._look_at_writes
            )

    def _look_at_writes(self) -> None:
        self._write_deadline = None
        if self.transport.get_write_buffer_size() < self._unsent_bytes:
            self._watch_writes()
            return
        self._state.metrics.limit_reached("write_timeout")
        self.transport.abort()

    def _stop_write_deadline(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def _stop_timers(self) -> None:
        self._stop_head_deadline()
        self._stop_write_deadline()
        self._unset_keepalive_if_required()

    def _stop_head_deadline(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None
