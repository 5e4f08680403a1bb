"""HTTP/2 with three habits changed: headers, GOAWAY, counting."""

from __future__ import annotations

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.events import ConnectionTerminated, RequestReceived, ResponseReceived
from h2.settings import SettingCodes
from hpack.hpack import Decoder
from hyperframe.frame import GoAwayFrame
from hypothesis import given
from hypothesis import strategies as st

from workers.senders.apns.wire import HeaderPairs, RequestEncoder, Wire

NAMES = [b"apns-topic", b"apns-push-type", b"apns-id", b":path", b"authorization", b"apns-priority"]
FIELDS = st.tuples(
    st.sampled_from([*NAMES, b"apns-collapse-id", b"apns-expiration", b":authority"]),
    st.binary(max_size=300) | st.sampled_from([b"com.example.chat", b"alert", b"10", b"5"]),
)


def request(number: int) -> HeaderPairs:
    """The header fields of one push."""
    return [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", b"/3/device/%064x" % number),
        (b":authority", b"api.push.apple.com"),
        (b"apns-id", b"%036d" % number),
        (b"apns-topic", b"com.example.chat"),
        (b"apns-push-type", b"alert"),
        (b"apns-priority", b"10"),
        (b"apns-expiration", b"0"),
        (b"authorization", b"bearer " + b"t" * 190),
    ]


@given(st.lists(st.lists(FIELDS, max_size=12), max_size=30), st.sampled_from([0, 64, 200, 4096]))
def test_what_is_encoded_is_decoded(blocks: list[HeaderPairs], table_bytes: int) -> None:
    """Any peer reads the same fields, whatever was sent before and however small its table."""
    encoder, decoder = RequestEncoder(), Decoder()
    encoder.header_table_size = table_bytes
    decoder.max_allowed_table_size = 4096
    for block in blocks:
        assert decoder.decode(encoder.encode(block), raw=True) == block


def test_a_table_that_shrinks_midway_is_still_read() -> None:
    """The peer may change its mind by SETTINGS at any time."""
    encoder, decoder = RequestEncoder(), Decoder()
    for number, table_bytes in enumerate([4096, 4096, 60, 60, 4096, 4096, 0, 0]):
        encoder.header_table_size = table_bytes
        assert decoder.decode(encoder.encode(request(number)), raw=True) == request(number)


def test_what_repeats_is_a_byte_and_what_is_secret_is_not_remembered() -> None:
    """Token and authorization stay out of the peer's table; topic, type and priority go in."""
    encoder, decoder = RequestEncoder(), Decoder()
    first, second, third = (len(encoder.encode(request(number))) for number in range(3))
    assert second == third < first - 40
    for number in range(2):
        decoder.decode(RequestEncoder().encode(request(number)))
    remembered = {name for name, _ in encoder.header_table.dynamic_entries}
    assert remembered == {b":authority", b"apns-topic", b"apns-push-type", b"apns-priority"}


def connected() -> tuple[Wire, H2Connection]:
    """A client and a server that have greeted each other."""
    client, server = Wire(), H2Connection(H2Configuration(client_side=False, header_encoding=None))
    client.initiate_connection()
    server.initiate_connection()
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    server.receive_data(client.data_to_send())
    return client, server


def test_what_was_accepted_before_goaway_is_still_answered() -> None:
    """The connection stays open for it, and what waits to be sent is sent."""
    client, server = connected()
    client.send_headers(1, request(1))
    client.send_data(1, b"{}", end_stream=True)
    server.receive_data(client.data_to_send())
    client.send_headers(3, request(3))
    (event,) = client.receive_data(GoAwayFrame(0, 1, 0, b"{}").serialize())
    assert isinstance(event, ConnectionTerminated)
    assert client.state_machine.state is ConnectionState.CLIENT_OPEN
    assert any(isinstance(event, RequestReceived) for event in server.receive_data(client.data_to_send()))
    server.send_headers(1, [(":status", "200")], end_stream=True)
    events = client.receive_data(server.data_to_send())
    assert any(isinstance(event, ResponseReceived) for event in events)


def test_ended_streams_are_forgotten_and_open_ones_counted() -> None:
    """The count is what the peer's limit is held against."""
    client, server = connected()
    for number in (1, 3, 5):
        client.send_headers(number, request(number), end_stream=True)
    server.receive_data(client.data_to_send())
    server.send_headers(1, [(":status", "200")], end_stream=True)
    client.receive_data(server.data_to_send())
    client.forget(1)
    client.forget(1)
    assert client.open_outbound_streams == 2


def test_frames_for_a_forgotten_stream_end_nothing() -> None:
    """An answer that crossed our reset is put down to it."""
    client, server = connected()
    client.send_headers(1, request(1), end_stream=True)
    server.receive_data(client.data_to_send())
    server.send_headers(1, [(":status", "400")])
    server.send_data(1, b"{}", end_stream=True)
    client.reset_stream(1)
    client.forget(1)
    client.receive_data(server.data_to_send())
    assert client.state_machine.state is ConnectionState.CLIENT_OPEN


def test_the_peer_is_told_not_to_push() -> None:
    """Streams that it opens by itself are nothing that we could use."""
    _, server = connected()
    assert server.remote_settings[SettingCodes.ENABLE_PUSH] == 0
