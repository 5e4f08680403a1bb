"""What the wire adds to the library's protocol: little memory, and no trace of the handshake."""

from __future__ import annotations

import gc
import logging
import weakref

import pytest
from websockets.frames import Frame, Opcode

from hub.transport.wire import Wire, parse_request
from tests.support.raw_client import PING, client_frame, upgrade_request


def opened() -> Wire:
    wire = Wire(["centrifuge-json"], 65536, compression=False)
    wire.send_response(wire.accept(parse_request(upgrade_request())))
    wire.forget_handshake()
    wire.data_to_send()
    return wire


def test_the_request_is_not_kept() -> None:
    """It may hold a token, and takes memory that thousands of idle connections do not have."""
    wire = Wire([], 65536, compression=False)
    request = parse_request(upgrade_request(headers={"Authorization": "Bearer secret"}))
    wire.send_response(wire.accept(request))
    wire.forget_handshake()
    gone = weakref.ref(request)
    del request
    gc.collect()
    assert gone() is None
    assert wire.compressed is False


def test_only_the_newest_pong_waits() -> None:
    """And it is sent once the peer reads again."""
    wire = opened()
    wire.holds_pongs = True
    wire.receive_data(client_frame(PING, b"1") + client_frame(PING, b"2"))
    assert wire.data_to_send() == []
    wire.holds_pongs = False
    wire.release_pong()
    wire.release_pong()
    assert wire.data_to_send() == [b"\x8a\x012"]


def test_a_pong_is_not_sent_behind_a_close() -> None:
    """The end of the stream must stay the last thing."""
    wire = opened()
    wire.holds_pongs = True
    wire.receive_data(client_frame(PING, b"1") + client_frame(Opcode.CLOSE))
    wire.holds_pongs = False
    wire.release_pong()
    assert wire.data_to_send() == [b"\x88\x00", b""]


def test_payloads_never_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Not even at debug level."""
    caplog.set_level(logging.DEBUG)
    wire = opened()
    wire.receive_data(client_frame(Opcode.TEXT, b"secret"))
    (frame,) = wire.events_received()
    assert isinstance(frame, Frame)
    assert frame.data == b"secret"
    assert "secret" not in caplog.text


def test_an_incomplete_head_is_refused() -> None:
    """Callers bring whole heads only."""
    with pytest.raises(EOFError):
        parse_request(upgrade_request()[:-4])
