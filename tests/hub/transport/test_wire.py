"""What the wire adds to the library's protocol: messages read at once, few pongs, a silent log."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from hub.transport.wire import Wire
from tests.support.raw_client import PING, client_frame


def opened() -> Wire:
    return Wire(65536)


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


def test_a_goodbye_is_a_close_frame_of_the_peer() -> None:
    """Ours is none, and broken rules are none either."""
    wire = opened()
    wire.receive_data(client_frame(Opcode.TEXT, b"x"))
    assert not wire.said_goodbye
    wire.send_close(1000, "")
    assert not wire.said_goodbye
    wire.receive_data(client_frame(Opcode.CLOSE))
    assert wire.said_goodbye
    assert not wire.is_broken
    broken = opened()
    broken.receive_data(client_frame(Opcode.TEXT, b"x", masked=False))
    assert (broken.said_goodbye, broken.is_broken) == (False, True)


def test_payloads_never_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Not even at debug level."""
    caplog.set_level(logging.DEBUG)
    wire = opened()
    wire.receive_data(client_frame(Opcode.TEXT, b"secret"))
    (frame,) = wire.events_received()
    assert isinstance(frame, Frame)
    assert frame.data == b"secret"
    assert "secret" not in caplog.text


FRAMES = st.one_of(
    st.builds(
        client_frame,
        st.sampled_from([Opcode.TEXT, Opcode.BINARY]),
        st.binary(max_size=140) | st.binary(min_size=190, max_size=210),
    ),
    st.builds(
        client_frame,
        st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PING, Opcode.PONG, Opcode.CLOSE]),
        st.binary(max_size=140),
        fin=st.booleans(),
        reserved=st.sampled_from([0, 0, 0, 4]),
        masked=st.sampled_from([True, True, True, False]),
    ),
    st.binary(max_size=20),
)


@given(st.lists(FRAMES, max_size=6), st.lists(st.integers(0, 900), max_size=6))
def test_it_reads_what_the_library_reads(frames: list[bytes], cuts: list[int]) -> None:
    """The same frames, the same answers, however the bytes are cut into pieces."""
    sent = b"".join(frames)
    ends = sorted(min(cut, len(sent)) for cut in cuts)
    ours, stock = Wire(200), Protocol(Side.SERVER, max_size=200)
    both: tuple[Wire | Protocol, ...] = (ours, stock)
    read: list[list[object]] = [[], []]
    for start, end in zip([0, *ends], [*ends, len(sent)], strict=True):
        for protocol, seen in zip(both, read, strict=True):
            protocol.receive_data(sent[start:end])
            for event in protocol.events_received():
                assert isinstance(event, Frame)
                seen.append((event.opcode, event.fin, bytes(event.data)))
    assert read[0] == read[1]
    assert b"".join(ours.data_to_send()) == b"".join(stock.data_to_send())
    assert ours.state is stock.state


def test_a_frame_is_read_byte_by_byte() -> None:
    """Of every length that a header can say."""
    for size in (0, 1, 125, 126, 65535, 65536):
        wire = opened()
        payload = b"x" * size
        for byte in client_frame(Opcode.TEXT, payload):
            wire.receive_data(bytes((byte,)))
        assert [bytes(event.data) for event in wire.events_received() if isinstance(event, Frame)] == [
            payload
        ]
