"""The Protobuf encoding of whole frames: samples, prefixes, limits, and the SDK's own runtime."""

from __future__ import annotations

import pytest
from centrifuge.protocol import client_pb2
from msgspec import Raw

from hub.protocol import messages as m
from hub.protocol.codec import MalformedFrame
from hub.protocol.protobuf_codec import ProtobufCodec

codec = ProtobufCodec()
MAX = 8

CONNECT = m.Command(id=1, connect=m.ConnectRequest(token="t", name="py"))
SUBSCRIBE = m.Command(
    id=2, subscribe=m.SubscribeRequest(channel="ch", recover=True, epoch="abcd", offset=300)
)


@pytest.mark.parametrize(
    ("hexadecimal", "command"),
    [
        ("04 0801 2200", m.Command(id=1, connect=m.ConnectRequest())),
        ("0b 0801 2207 0a0174 22027079", CONNECT),
        ("13 0802 2a0f 0a026368 1801 320461626364 38ac02", SUBSCRIBE),
        (
            "0c 0803 3a08 0a026368 12027b7d",
            m.Command(id=3, publish=m.PublishRequest(channel="ch", data=Raw(b"{}"))),
        ),
        ("00", m.Command()),
    ],
)
def test_sample_commands(hexadecimal: str, command: m.Command) -> None:
    """The vectors of the protocol's description are read, and a client of ours writes the same."""
    frame = bytes.fromhex(hexadecimal)
    assert codec.decode(frame, MAX) == [command]
    assert codec.encode_command(command) == frame


@pytest.mark.parametrize(
    ("hexadecimal", "reply"),
    [
        (
            "10 0801 2a0c 0a026331 12027631 3819 4001",
            m.Reply(id=1, connect=m.ConnectResult(client="c1", version="v1", ping=25, pong=True)),
        ),
        ("04 0803 4200", m.Reply(id=3, publish=m.PublishResultMessage())),
        (
            "19 0802 1215 0867 1211 7065726d697373696f6e2064656e696564",
            m.Reply(id=2, error=m.Error(103, "permission denied")),
        ),
        (
            "0e 220c 12026368 2206 22027b7d 3001",
            m.Reply(push=m.Push(channel="ch", pub=m.PublicationMessage(data=Raw(b"{}"), offset=1))),
        ),
        (
            "1f 221d 12026368 3a17 10c413 1a12 696e73756666696369656e74207374617465",
            m.Reply(push=m.Push(channel="ch", unsubscribe=m.Unsubscribe(2500, "insufficient state"))),
        ),
        ("00", m.Reply()),
    ],
)
def test_sample_replies(hexadecimal: str, reply: m.Reply) -> None:
    """The vectors of the protocol's description are written, and a client of ours reads them."""
    frame = bytes.fromhex(hexadecimal)
    assert codec.encode(reply) == frame
    assert codec.decode_replies(frame) == [reply]


def test_ping_is_one_zero_byte() -> None:
    """A message of length zero, in both directions."""
    assert codec.ping == codec.encode(m.Reply()) == b"\x00"


def test_every_message_has_its_own_length() -> None:
    """Several commands share a frame, each behind its prefix; a pong may stand between them."""
    frame = codec.join([codec.encode_command(CONNECT), codec.ping, codec.encode_command(SUBSCRIBE)])
    assert codec.decode(frame, MAX) == [CONNECT, m.Command(), SUBSCRIBE]


def test_long_messages_have_long_prefixes() -> None:
    """A message of more than 127 bytes is prefixed by more than one byte."""
    reply = m.Reply(push=m.Push(message=m.Message(Raw(b"x" * 70_000))))
    assert codec.encode(reply)[:3] == bytes.fromhex("fca204")
    assert codec.decode_replies(codec.encode(reply)) == [reply]


def test_more_commands_than_allowed_are_malformed() -> None:
    """The limit itself passes, one more does not."""
    assert len(codec.decode(b"\x00\x00", 2)) == 2
    with pytest.raises(MalformedFrame):
        codec.decode(b"\x00\x00\x00", 2)


@pytest.mark.parametrize(
    "hexadecimal",
    [
        pytest.param("", id="empty frame"),
        pytest.param("04 0801 22", id="ends inside a message"),
        pytest.param("80", id="ends inside a prefix"),
        pytest.param("ffffffffffffffffffff 01", id="endless prefix"),
        pytest.param("01 08 00", id="message ends before its value"),
        pytest.param("02 2205 00", id="field longer than its message"),
        pytest.param("06 2204 0a05 7474", id="text longer than its message"),
        pytest.param("05 2203 0a01 ff", id="bad UTF-8"),
        pytest.param("02 0000", id="field number zero"),
        pytest.param("02 a701", id="wire type seven"),
        pytest.param("02 a301", id="group"),
        pytest.param("0c 08 ffffffffffffffffffff 01", id="endless varint"),
        pytest.param("04 a506 0000 00", id="fixed 32 cut off"),
        pytest.param("04 a106 0000 00", id="fixed 64 cut off"),
        pytest.param("03 a206 05 0000", id="unknown field longer than its message"),
        pytest.param("06 2204 3202 0a05", id="map entry cut off"),
        pytest.param("08 80808080 80808080", id="tag cut off"),
        pytest.param("07 888080808000 05", id="tag of six bytes"),
        pytest.param("07 22808080808000", id="length of six bytes"),
        pytest.param("06 8080808010 00", id="tag beyond 32 bits"),
    ],
)
def test_anything_else_is_malformed(hexadecimal: str) -> None:
    """Nothing but whole, valid commands passes, and no other exception appears."""
    with pytest.raises(MalformedFrame):
        codec.decode(bytes.fromhex(hexadecimal), MAX)


def test_the_sdks_runtime_reads_our_replies() -> None:
    """Replies with lists, maps and presence of empty messages mean the same to the SDK."""
    publication = m.PublicationMessage(
        data=Raw(b"\x00\xff"),
        info=m.ClientInfoMessage("u", "c"),
        offset=2**63,
        tags={"k": "v", "": ""},
        time=-1,
    )
    reply = m.Reply(
        id=7,
        subscribe=m.SubscribeResult(
            recoverable=True, epoch="e", publications=[publication, m.PublicationMessage()]
        ),
    )
    theirs = client_pb2.Reply()
    theirs.ParseFromString(codec.encode(reply)[1:])
    first, second = theirs.subscribe.publications
    assert (first.data, first.offset, dict(first.tags), first.time) == (
        b"\x00\xff",
        2**63,
        {"k": "v", "": ""},
        -1,
    )
    assert (first.info.user, first.info.client) == ("u", "c")
    assert not second.HasField("info")


def test_we_read_the_sdks_commands() -> None:
    """Commands written by the SDK's runtime mean the same to us."""
    theirs = client_pb2.Command(
        id=5,
        connect=client_pb2.ConnectRequest(
            token="t",
            data=b"\x01",
            subs={
                "a": client_pb2.SubscribeRequest(recover=True, offset=2**64 - 1),
                "b": client_pb2.SubscribeRequest(),
            },
            headers={"h": "v"},
            flag=-2,
        ),
    )
    written = theirs.SerializeToString()
    assert codec.decode(bytes((len(written),)) + written, MAX) == [
        m.Command(
            id=5,
            connect=m.ConnectRequest(
                token="t",
                data=Raw(b"\x01"),
                subs={"a": m.SubscribeRequest(recover=True, offset=2**64 - 1), "b": m.SubscribeRequest()},
                headers={"h": "v"},
                flag=-2,
            ),
        )
    ]
