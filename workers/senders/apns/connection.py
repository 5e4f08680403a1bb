"""One connection to APNs, as the protocol class under the pool of ``aioapns``.

The library's own protocol loses, doubles or hangs requests when windows fill, callers leave, streams are
reset or the peer says GOAWAY. This one keeps one record for each stream and nothing else: a request ends
exactly once, by its own answer or by a reason that says whether the provider may have taken it. Knows no
verdicts and no provider token.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, cast

from aioapns.common import NotificationRequest, NotificationResult
from aioapns.connection import APNsTLSClientProtocol
from aioapns.exceptions import ConnectionClosed
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import H2Error, NoAvailableStreamIDError

from workers.senders.apns.answers import LEAVES_CONNECTION
from workers.senders.apns.exchange import (
    ApnsRequest,
    ApnsResult,
    Exchange,
    NotProcessed,
    OutcomeUnknown,
    json_object,
)
from workers.senders.apns.liveness import Liveness, Timing, keep_alive
from workers.senders.apns.wire import Wire

logger = logging.getLogger(__name__)

_RESERVED_WINDOW_BYTES: Final = 8192
"""Below this no new request is begun: it might have to wait half-sent."""
_TYPICAL_REQUEST_BYTES: Final = 1024
_PING: Final = b"alive?!\n"


class ApnsConnection(APNsTLSClientProtocol):
    """One connection. Made by the pool, which hears ``on_room`` whenever a request more may be begun."""

    conn: Wire

    def __init__(
        self,
        apns_topic: str,
        loop: asyncio.AbstractEventLoop | None = None,
        on_connection_lost: Callable[[Any], Any] | None = None,
        auth_provider: Any = None,
        *,
        authority: str,
        timing: Timing,
        max_streams: int,
        on_room: Callable[[ApnsConnection], None],
        wall_s: Callable[[], float],
    ) -> None:
        super().__init__(apns_topic, loop, on_connection_lost, auth_provider)
        self.conn = Wire()
        self.ready: asyncio.Future[None] = self.loop.create_future()
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self.answered_once = False
        self._authority = authority.encode()
        self._max_streams = max_streams
        self._on_room = on_room
        self._wall_s = wall_s
        self._exchanges: dict[int, Exchange] = {}
        self._waiting_for_window: dict[int, Exchange] = {}
        self._draining = False
        self._lost = False
        self._choked = False
        self._flush_asked = False
        self.made_at_s = self.loop.time()
        self._liveness = Liveness(
            self.loop, timing, ping=self._ping, on_dead=self._on_no_ping_answer, on_idle=self.retire
        )

    # -- what the pool asks --

    @property
    def room(self) -> int:
        """How many requests more may be begun now."""
        if self._draining or self._lost or self._liveness.doubted or self._choked or not self.ready.done():
            return 0
        free = min(self.conn.remote_settings.max_concurrent_streams, self._max_streams) - len(self._exchanges)
        window = self.conn.outbound_flow_control_window
        if self._exchanges and (window < _RESERVED_WINDOW_BYTES or self._waiting_for_window):
            return 0
        return min(free, max(1, window // _TYPICAL_REQUEST_BYTES))

    @property
    def is_busy(self) -> bool:
        """Whether no request may be begun now: streams, window, or the connection is on its way out."""
        return self.room <= 0

    async def send_notification(self, request: NotificationRequest) -> NotificationResult:
        """Send one :class:`ApnsRequest` and wait for its answer.

        Cancelling resets the stream; others on the connection do not notice.

        Raises:
            NotProcessed: it was not sent, or the provider says that it did not look at it.
            OutcomeUnknown: it was sent, and the stream or the connection ended without an answer.
        """
        assert isinstance(request, ApnsRequest)
        stream_id = self._begin(request)
        exchange = self._exchanges[stream_id]
        try:
            return await exchange.answered
        except asyncio.CancelledError:
            self._abandon(stream_id)
            raise

    def retire(self) -> None:
        """Begin nothing more; close once all that is under way is answered."""
        if self._draining or self._lost:
            return
        self._draining = True
        self._tell_pool_of_loss()
        self._close_if_drained()

    def doubt(self, since_s: float) -> None:
        """A request of then got no answer in time: unless anything came since, ask whether the peer lives."""
        if not self._lost:
            self._liveness.doubt(since_s)

    def close(self) -> None:
        """Say goodbye and close at once. What is under way ends as unknown."""
        if self._lost:
            return
        if self.transport is not None and not self.transport.is_closing():
            self.conn.close_connection()
            self._flush()
            self.transport.close()
        self._lose("closed by us")

    def abort(self) -> None:
        """Close without a word: the peer does not answer, or has broken the protocol."""
        if self.transport is not None:
            self.transport.abort()
        self._lose("connection aborted")

    # -- what asyncio tells --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, and wait for the peer's SETTINGS before anything is sent."""
        # Not every loop derives its transports from the class: uvloop does not.
        self.transport = cast(asyncio.Transport, transport)
        keep_alive(transport.get_extra_info("socket"))
        self.conn.initiate_connection()
        self._flush()
        self._liveness.start()

    def data_received(self, data: bytes) -> None:
        """Take frames; each ends, feeds or unblocks the request of its stream."""
        if self._lost:
            return
        self._liveness.heard()
        try:
            events = self.conn.receive_data(data)
            for event in events:
                handler = _HANDLERS.get(type(event))
                if handler is not None:
                    handler(self, event)
            self._send_waiting()
        except H2Error as error:
            logger.warning("APNs broke HTTP/2, its connection is dropped: %s", type(error).__name__)
            self.abort()
            return
        self._ask_flush()
        self._close_if_drained()
        if not self._draining and self.room > 0:
            self._on_room(self)

    def pause_writing(self) -> None:
        """The socket is full."""
        self._choked = True

    def resume_writing(self) -> None:
        """The socket takes more."""
        self._choked = False
        if not self.is_busy:
            self._on_room(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing will be answered any more."""
        self._lose("connection lost")
        if not self.closed.done():
            self.closed.set_result(None)

    # -- sending --

    def _begin(self, request: ApnsRequest) -> int:
        if self._draining or self._lost:
            raise NotProcessed("connection closing")
        try:
            stream_id = self.conn.get_next_available_stream_id()
            self.conn.send_headers(stream_id, request.headers(self._authority))
        except NoAvailableStreamIDError:
            self.retire()
            raise NotProcessed("connection used up") from None
        except H2Error as error:
            raise NotProcessed(type(error).__name__) from error
        exchange = Exchange(self.loop.create_future(), request.content.body)
        self._exchanges[stream_id] = exchange
        self._send_body(stream_id, exchange)
        self._ask_flush()
        request.connection = self
        request.sent_at_s = self._liveness.used()
        return stream_id

    def _send_body(self, stream_id: int, exchange: Exchange) -> None:
        """As much of the body as the windows allow; the rest goes when they open."""
        conn = self.conn
        while exchange.unsent:
            size = len(exchange.unsent)
            allowed = min(conn.local_flow_control_window(stream_id), conn.max_outbound_frame_size)
            if allowed >= size:
                conn.send_data(stream_id, exchange.unsent, end_stream=True)
                exchange.unsent = b""
                self._waiting_for_window.pop(stream_id, None)
                return
            if allowed <= 0:
                self._waiting_for_window[stream_id] = exchange
                return
            conn.send_data(stream_id, exchange.unsent[:allowed])
            exchange.unsent = exchange.unsent[allowed:]

    def _send_waiting(self) -> None:
        for stream_id, exchange in list(self._waiting_for_window.items()):
            self._send_body(stream_id, exchange)

    def _ask_flush(self) -> None:
        """One write for all that is sent in this turn of the loop."""
        if not self._flush_asked:
            self._flush_asked = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_asked = False
        data = self.conn.data_to_send()
        if data and self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    # -- the end of a request --

    def _finish(self, stream_id: int) -> Exchange | None:
        self._waiting_for_window.pop(stream_id, None)
        self.conn.forget(stream_id)
        return self._exchanges.pop(stream_id, None)

    def _fail(self, stream_id: int, error: ConnectionClosed) -> None:
        exchange = self._finish(stream_id)
        if exchange is not None and not exchange.answered.done():
            exchange.answered.set_exception(NotProcessed(str(error)) if exchange.unsent else error)

    def _abandon(self, stream_id: int) -> None:
        """The caller has gone: give the stream back, to the peer too."""
        if stream_id not in self._exchanges:
            return
        if not self._lost:
            self._reset(stream_id)
        self._finish(stream_id)
        self._close_if_drained()
        if not self.is_busy:
            self._on_room(self)

    def _reset(self, stream_id: int) -> None:
        try:
            self.conn.reset_stream(stream_id, ErrorCodes.CANCEL)
        except H2Error:
            return
        self._ask_flush()

    # -- what the peer says --

    def _on_headers(self, event: ResponseReceived) -> None:
        exchange = self._exchanges.get(event.stream_id)
        if exchange is None:
            return
        exchange.begin_answer(dict(event.headers))

    def _on_data(self, event: DataReceived) -> None:
        if event.flow_controlled_length:
            self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        exchange = self._exchanges.get(event.stream_id)
        if exchange is not None:
            exchange.gather(event.data)

    def _on_ended(self, event: StreamEnded) -> None:
        exchange = self._exchanges.get(event.stream_id)
        if exchange is not None and exchange.unsent:
            # Answered before the whole body was there: the rest stays here.
            self._reset(event.stream_id)
        self._finish(event.stream_id)
        if exchange is None or exchange.answered.done():
            return
        self.answered_once = True
        self._settle(exchange)

    def _settle(self, exchange: Exchange) -> None:
        answer = exchange.answer(self._wall_s())
        exchange.answered.set_result(ApnsResult(answer))
        if answer.reason in LEAVES_CONNECTION:
            self.retire()

    def _on_reset(self, event: StreamReset) -> None:
        exchange = self._exchanges.get(event.stream_id)
        if event.error_code == ErrorCodes.REFUSED_STREAM:
            self._fail(event.stream_id, NotProcessed("stream refused"))
        elif exchange is not None and exchange.status and not exchange.answered.done():
            self._finish(event.stream_id)
            self._settle(exchange)
        else:
            self._fail(event.stream_id, OutcomeUnknown("stream reset"))

    def _on_settings(self, event: RemoteSettingsChanged) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    def _on_goaway(self, event: ConnectionTerminated) -> None:
        reason = _goaway_reason(event.additional_data)
        logger.info("APNs ends a connection: %s", reason or f"code {event.error_code}")
        last = event.last_stream_id if event.last_stream_id is not None else 0
        for stream_id in [number for number in self._exchanges if number > last]:
            self._fail(stream_id, NotProcessed("connection ended by the provider"))
        self.retire()

    def _on_ping_answer(self, event: PingAckReceived) -> None:
        self._liveness.answered()

    # -- life and death --

    def _ping(self) -> None:
        self.conn.ping(_PING)
        self._ask_flush()

    def _on_no_ping_answer(self) -> None:
        logger.info("APNs does not answer a ping, its connection is dropped")
        self.abort()

    def _close_if_drained(self) -> None:
        if self._draining and not self._exchanges and not self._lost:
            self._flush()
            if self.transport is not None:
                self.transport.close()
            self._lose("drained")

    def _lose(self, why: str) -> None:
        if self._lost:
            return
        self._lost = True
        self._liveness.stop()
        if not self.ready.done():
            self.ready.set_exception(ConnectionClosed(why))
            # The pool may have stopped waiting for it.
            self.ready.exception()
        self._tell_pool_of_loss()
        for stream_id in list(self._exchanges):
            self._fail(stream_id, OutcomeUnknown(why))

    def _tell_pool_of_loss(self) -> None:
        if self.on_connection_lost is not None:
            tell, self.on_connection_lost = self.on_connection_lost, None
            tell(self)


_HANDLERS: Final[dict[type[Event], Callable[[ApnsConnection, Any], None]]] = {
    ResponseReceived: ApnsConnection._on_headers,
    DataReceived: ApnsConnection._on_data,
    StreamEnded: ApnsConnection._on_ended,
    StreamReset: ApnsConnection._on_reset,
    RemoteSettingsChanged: ApnsConnection._on_settings,
    ConnectionTerminated: ApnsConnection._on_goaway,
    PingAckReceived: ApnsConnection._on_ping_answer,
}


def _goaway_reason(data: bytes | None) -> str:
    reason = json_object(data or b"").get("reason")
    return reason[:64] if isinstance(reason, str) and reason.isascii() and reason.isprintable() else ""
