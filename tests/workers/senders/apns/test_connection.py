"""One connection against a peer in memory, which does what a simulator on a socket cannot be timed to do."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aioapns.common import NotificationResult
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, PingReceived, RequestReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes, Settings

from tests.support.apns import device_token, push_to
from tests.support.waiting import eventually
from workers.payloads.apns import build_apns
from workers.senders.apns import ApnsOptions, TokenCredentials
from workers.senders.apns.connection import ApnsConnection
from workers.senders.apns.exchange import ApnsRequest, ApnsResult, NotProcessed, OutcomeUnknown
from workers.senders.apns.liveness import Timing
from workers.senders.apns.pool import ApnsPool


class Peer(asyncio.Transport):
    """The other end: a real HTTP/2 server without a socket, and the transport towards it."""

    def __init__(self, connection: ApnsConnection, settings: dict[SettingCodes, int]) -> None:
        super().__init__()
        self.connection = connection
        self.wire = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.wire.local_settings = Settings(client=False, initial_values=dict(settings))
        self.events: list[Event] = []
        self.closing = False

    def greet(self) -> None:
        """Both sides have said their SETTINGS."""
        self.wire.initiate_connection()
        self.connection.connection_made(self)
        self.say()

    def say(self) -> None:
        """Everything that the server has to send arrives."""
        self.connection.data_received(self.wire.data_to_send())

    def write(self, data: Any) -> None:
        """What the client sends arrives, and is not acknowledged to its windows."""
        if not self.closing:
            self.events += self.wire.receive_data(bytes(data))

    def answer(self, stream_id: int, status: int = 200) -> None:
        """An answer without a body."""
        self.wire.send_headers(stream_id, [(":status", str(status))], end_stream=True)
        self.say()

    def is_closing(self) -> bool:
        """Whether the client closed."""
        return self.closing

    def close(self) -> None:
        """The client closes; asyncio tells it in the next turn."""
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)

    def abort(self) -> None:
        """As closing, without a last word."""
        self.close()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """There is no socket."""
        return default

    def bytes_on(self, stream_id: int) -> int:
        """How much of a body came."""
        return sum(len(e.data) for e in self.of(DataReceived) if e.stream_id == stream_id)

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


class Line:
    """A connection, its peer, and what the pool heard."""

    def __init__(self, settings: dict[SettingCodes, int] | None = None, timing: Timing | None = None) -> None:
        self.room = 0
        self.lost: list[ApnsConnection] = []
        self.connection = ApnsConnection(
            "com.example.chat",
            None,
            self.lost.append,
            None,
            authority="gateway.test",
            timing=timing or Timing(3600, 5, 86_400),
            max_streams=1000,
            on_room=lambda _: self._heard(),
            wall_s=lambda: 0.0,
        )
        self.peer = Peer(self.connection, settings or {})

    def _heard(self) -> None:
        self.room += 1

    def send(self, number: int = 1, **fields: Any) -> asyncio.Task[NotificationResult]:
        """Begin a request."""
        message = build_apns(push_to(number, **fields))
        request = ApnsRequest(device_token(number), message, b"bearer token")
        return asyncio.create_task(self.connection.send_notification(request))


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    """A connection that has been greeted."""
    made = Line()
    made.peer.greet()
    yield made
    made.connection.abort()
    await made.connection.closed


def status_of(result: NotificationResult) -> int:
    """The status of an answer."""
    assert isinstance(result, ApnsResult)
    return result.answer.status


async def test_a_request_is_sent_and_answered(line: Line) -> None:
    """Headers name method, path and authority; the body ends the stream."""
    send = line.send()
    await eventually(lambda: bool(line.peer.of(StreamEnded)))
    headers = dict(line.peer.of(RequestReceived)[0].headers)
    assert headers[":method"] == "POST"
    assert headers[":path"] == f"/3/device/{device_token(1)}"
    assert headers[":authority"] == "gateway.test"
    assert headers["authorization"] == "bearer token"
    line.peer.answer(1)
    assert status_of(await send) == 200


async def test_before_the_peer_said_its_settings_there_is_no_room() -> None:
    """How many streams it takes is not known before."""
    line = Line()
    line.connection.connection_made(line.peer)
    assert line.connection.is_busy
    line.peer.wire.initiate_connection()
    line.peer.say()
    assert not line.connection.is_busy
    line.connection.abort()


async def test_a_body_longer_than_the_streams_window_follows_in_parts() -> None:
    """Each window that opens takes as much as fits; the request is one all the same."""
    line = Line({SettingCodes.INITIAL_WINDOW_SIZE: 100})
    line.peer.greet()
    send = line.send(data="d" * 400)
    await eventually(lambda: line.peer.bytes_on(1) == 100)
    assert line.connection.is_busy
    line.peer.wire.increment_flow_control_window(150, 1)
    line.peer.say()
    await eventually(lambda: line.peer.bytes_on(1) == 250)
    line.peer.wire.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 4000})
    line.peer.say()
    await eventually(lambda: bool(line.peer.of(StreamEnded)))
    line.peer.answer(1)
    assert status_of(await send) == 200
    line.connection.abort()


async def test_an_answer_before_the_end_of_the_body_is_an_answer() -> None:
    """The rest is not sent, and the stream is given back."""
    line = Line({SettingCodes.INITIAL_WINDOW_SIZE: 100})
    line.peer.greet()
    send = line.send(data="d" * 400)
    await eventually(lambda: line.peer.bytes_on(1) == 100)
    line.peer.answer(1, 403)
    assert status_of(await send) == 403
    await eventually(lambda: bool(line.peer.of(StreamReset)))
    assert not line.connection.is_busy
    line.connection.abort()


async def test_a_body_that_was_not_sent_whole_was_not_processed() -> None:
    """The connection is lost halfway: it may be sent again at once."""
    line = Line({SettingCodes.INITIAL_WINDOW_SIZE: 100})
    line.peer.greet()
    send = line.send(data="d" * 400)
    await eventually(lambda: line.peer.bytes_on(1) == 100)
    line.connection.connection_lost(None)
    with pytest.raises(NotProcessed):
        await send


async def test_no_request_is_begun_into_a_window_that_is_nearly_used_up(line: Line) -> None:
    """It would only wait half-sent; another connection may have room."""
    sends: list[asyncio.Task[NotificationResult]] = []
    while not line.connection.is_busy:
        sends.append(line.send(len(sends), data="d" * 3700))
        await asyncio.sleep(0)
    assert 12 <= len(sends) <= 16
    await eventually(lambda: len(line.peer.of(StreamEnded)) == len(sends))
    line.peer.wire.increment_flow_control_window(60_000)
    line.peer.say()
    assert not line.connection.is_busy
    assert line.room > 0
    line.connection.abort()
    await asyncio.gather(*sends, return_exceptions=True)


async def test_goodbye_ends_what_was_not_taken_and_waits_for_what_was(line: Line) -> None:
    """Streams above the announced one go elsewhere; a later goodbye may take back more."""
    sends = [line.send(number) for number in range(3)]
    await eventually(lambda: len(line.peer.of(StreamEnded)) == 3)
    goaway = bytes([0, 0, 8, 7, 0, 0, 0, 0, 0])
    line.connection.data_received(goaway + (2**31 - 1).to_bytes(4, "big") + bytes(4))
    assert [send.done() for send in sends] == [False] * 3
    assert line.lost == [line.connection]
    assert line.connection.is_busy
    line.connection.data_received(goaway + (3).to_bytes(4, "big") + bytes(4))
    with pytest.raises(NotProcessed):
        await sends[2]
    line.peer.answer(1)
    line.peer.answer(3)
    assert [status_of(await send) for send in sends[:2]] == [200, 200]
    assert line.peer.closing


async def test_nothing_is_begun_on_a_connection_that_leaves(line: Line) -> None:
    """Not even by a caller that chose it before."""
    line.connection.retire()
    with pytest.raises(NotProcessed):
        await line.send()


async def test_a_reset_after_the_status_is_the_status(line: Line) -> None:
    """What was said before is not taken back by how the stream ended."""
    send = line.send()
    await eventually(lambda: bool(line.peer.of(StreamEnded)))
    line.peer.wire.send_headers(1, [(":status", "200")])
    line.peer.wire.reset_stream(1, ErrorCodes.NO_ERROR)
    line.peer.say()
    assert status_of(await send) == 200


async def test_cancelling_resets_the_stream_at_the_peer(line: Line) -> None:
    """Its place is free on both sides, and the pool hears of it."""
    send = line.send()
    await eventually(lambda: bool(line.peer.of(StreamEnded)))
    heard = line.room
    send.cancel()
    await eventually(lambda: bool(line.peer.of(StreamReset)))
    assert line.peer.of(StreamReset)[0].error_code == ErrorCodes.CANCEL
    assert line.room == heard + 1


async def test_an_answer_that_crossed_a_cancellation_is_ignored(line: Line) -> None:
    """Headers, body and end of it; the bytes of the body are acknowledged all the same."""
    send = line.send()
    await eventually(lambda: bool(line.peer.of(StreamEnded)))
    send.cancel()
    line.peer.wire.send_headers(1, [(":status", "410")])
    line.peer.wire.send_data(1, b"{}", end_stream=True)
    line.peer.say()
    await asyncio.gather(send, return_exceptions=True)
    assert send.cancelled()
    other = line.send(2)
    await eventually(lambda: len(line.peer.of(StreamEnded)) == 2)
    line.peer.answer(3)
    assert status_of(await other) == 200


async def test_a_full_socket_makes_no_room_until_it_drains(line: Line) -> None:
    """What the kernel does not take is not piled up here."""
    line.connection.pause_writing()
    assert line.connection.is_busy
    line.connection.resume_writing()
    assert not line.connection.is_busy
    assert line.room > 0


async def test_a_silent_peer_is_pinged_and_then_given_up() -> None:
    """Its requests end as unknown, and it leaves the pool."""
    line = Line(timing=Timing(ping_after_s=0.02, ping_timeout_s=0.05, idle_close_s=60))
    line.peer.greet()
    send = line.send()
    # The peer is dead from here on: it reads, and what it would say is never heard.
    with pytest.raises(OutcomeUnknown):
        await asyncio.wait_for(send, 2)
    assert line.peer.of(PingReceived)
    assert line.lost == [line.connection]


async def test_frames_that_break_the_protocol_end_the_connection(line: Line) -> None:
    """Whoever waits on it is told, once."""
    send = line.send()
    await eventually(lambda: bool(line.peer.of(StreamEnded)))
    line.connection.data_received(b"\x00\x00\x00\x04\x00\x00\x00\x00\x01" + b"\xff" * 20)
    with pytest.raises(OutcomeUnknown):
        await send
    line.connection.data_received(b"more")
    assert line.lost == [line.connection]


async def test_a_place_in_the_queue_is_passed_on_by_who_leaves_when_called() -> None:
    """Woken and cancelled in the same turn: the next one in line gets the room."""
    options = ApnsOptions(app="com.example.chat", credentials=TokenCredentials("", "", ""))
    pool = ApnsPool(options, ssl.create_default_context(), lambda: 0.0, random.Random(0))
    first = asyncio.create_task(pool._wait(first=False))
    second = asyncio.create_task(pool._wait(first=False))
    await asyncio.sleep(0)
    pool._wake(1)
    first.cancel()
    await asyncio.wait_for(second, 1)
    assert (await asyncio.gather(first, return_exceptions=True))[0].__class__ is asyncio.CancelledError
