"""The wire rules of proto3, as a reader must keep them towards every SDK."""

from __future__ import annotations

import pytest
from msgspec import Raw

from hub.protocol import messages as m
from hub.protocol.protobuf_reader import read_varint, reader_for


def read_command(hexadecimal: str) -> m.Command:
    frame = bytes.fromhex(hexadecimal)
    command = reader_for(m.Command)(frame, 0, len(frame), 0, None)
    assert isinstance(command, m.Command)
    return command


@pytest.mark.parametrize(
    ("hexadecimal", "number"),
    [("00", 0), ("7f", 127), ("8001", 128), ("8000", 0), ("ffffffffffffffffff01", 2**64 - 1)],
)
def test_varints(hexadecimal: str, number: int) -> None:
    """Base 128, lowest digits first; needless zero digits are tolerated."""
    encoded = bytes.fromhex(hexadecimal)
    assert read_varint(encoded, 0) == (number, len(encoded))


def test_a_varint_longer_than_ten_bytes_is_refused() -> None:
    """Nothing of 64 bits needs more."""
    with pytest.raises(ValueError, match="ten bytes"):
        read_varint(b"\xff" * 10 + b"\x01", 0)


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param("a006 9601", id="varint"),
        pytest.param("a106 0102030405060708", id="fixed 64"),
        pytest.param("a206 03 616263", id="length-delimited"),
        pytest.param("a506 01020304", id="fixed 32"),
        pytest.param("0a 01 61", id="known number with another wire type"),
        pytest.param("2001", id="message number with another wire type"),
    ],
)
def test_unknown_fields_are_skipped(unknown: str) -> None:
    """Newer SDKs add fields of any type; what stands around them is read."""
    assert read_command(f"0805 {unknown} 5a00") == m.Command(id=5, ping=m.PingRequest())


def test_the_last_scalar_wins() -> None:
    """A scalar that comes twice counts once, as the later one."""
    assert read_command("0801 0802") == m.Command(id=2)
    assert read_command("3a06 0a0161 0a0162") == m.Command(publish=m.PublishRequest(channel="b"))


def test_a_message_that_comes_twice_is_merged() -> None:
    """Scalars of the later one win, what only the first had stays, lists and maps grow."""
    merged = read_command("2a0b 0a0161 1801 6a04 2a027631 2a0b 0a0162 6a04 2a027632 3805")
    assert merged.subscribe == m.SubscribeRequest(
        channel="b", recover=True, offset=5, tf=m.FilterNode(vals=["v1", "v2"])
    )


@pytest.mark.parametrize(
    ("hexadecimal", "command"),
    [
        pytest.param("08 8180808010", m.Command(id=1), id="u32 drops what is above"),
        pytest.param(
            "5206 38ffffffff0f", m.Command(history=m.HistoryRequest(limit=-1)), id="i32 of five bytes"
        ),
        pytest.param(
            "520b 38ffffffffffffffffff01",
            m.Command(history=m.HistoryRequest(limit=-1)),
            id="i32 of ten bytes",
        ),
        pytest.param(
            "220b 38ffffffffffffffffff01", m.Command(connect=m.ConnectRequest(flag=-1)), id="i64 of ten bytes"
        ),
        pytest.param(
            "2a0b 38ffffffffffffffffff01",
            m.Command(subscribe=m.SubscribeRequest(offset=2**64 - 1)),
            id="u64 at its end",
        ),
        pytest.param(
            "2a03 188002",
            m.Command(subscribe=m.SubscribeRequest(recover=True)),
            id="any bit makes a bool true",
        ),
    ],
)
def test_integers_are_cut_to_their_width(hexadecimal: str, command: m.Command) -> None:
    """Wide and negative numbers arrive as every Protobuf runtime would read them."""
    assert read_command(hexadecimal) == command


@pytest.mark.parametrize(
    ("entry", "subs"),
    [
        pytest.param("0a0161 1202 3807", {"a": m.SubscribeRequest(offset=7)}, id="key and value"),
        pytest.param("1202 3807 0a0161", {"a": m.SubscribeRequest(offset=7)}, id="value before key"),
        pytest.param("0a0161", {"a": m.SubscribeRequest()}, id="no value"),
        pytest.param("1202 3807", {"": m.SubscribeRequest(offset=7)}, id="no key"),
        pytest.param("", {"": m.SubscribeRequest()}, id="neither"),
        pytest.param("0a0161 1801 1202 3807", {"a": m.SubscribeRequest(offset=7)}, id="unknown field"),
        pytest.param("0a0161 0a0162", {"b": m.SubscribeRequest()}, id="two keys"),
    ],
)
def test_map_entries(entry: str, subs: dict[str, m.SubscribeRequest]) -> None:
    """An entry is a message of its own: any order, either part may be missing."""
    encoded = bytes.fromhex(entry)
    connect = b"\x1a" + bytes((len(encoded),)) + encoded
    frame = b"\x22" + bytes((len(connect),)) + connect
    command = read_command(frame.hex())
    assert command == m.Command(connect=m.ConnectRequest(subs=subs))


def test_the_last_of_equal_map_keys_wins() -> None:
    """A key that comes twice has its later value alone."""
    command = read_command("220f 3206 0a0161 120162 3205 0a0161 1200")
    assert command == m.Command(connect=m.ConnectRequest(headers={"a": ""}))


def filter_of_depth(depth: int) -> bytes:
    frame = b""
    for tag in [0x32] * (depth - 3) + [0x6A, 0x2A]:
        length = len(frame)
        prefix = bytes((length,)) if length < 128 else bytes((length & 127 | 128, length >> 7))
        frame = bytes((tag,)) + prefix + frame
    return frame


def test_nesting_has_a_limit() -> None:
    """A frame made to exhaust the stack is refused; no honest filter comes near."""
    deep = filter_of_depth(101)
    assert reader_for(m.Command)(deep, 0, len(deep), 0, None).subscribe is not None
    too_deep = filter_of_depth(105)
    with pytest.raises(ValueError, match="deep"):
        reader_for(m.Command)(too_deep, 0, len(too_deep), 0, None)


def test_an_empty_payload_is_no_payload() -> None:
    """Presence of bytes means nothing in proto3."""
    command = read_command("6202 0a00")
    assert command.send is not None
    assert command.send.data is m.NO_DATA


@pytest.mark.parametrize(
    ("hexadecimal", "reply"),
    [
        ("1200", m.Reply(error=m.Error(0, ""))),
        ("2202 2a00", m.Reply(push=m.Push(join=m.Join(m.ClientInfoMessage("", ""))))),
        ("4a00", m.Reply(presence=m.PresenceResult({}))),
        ("5a00", m.Reply(history=m.HistoryResult([], "", 0))),
        ("6a04 0a027b7d", m.Reply(rpc=m.RPCResult(Raw(b"{}")))),
    ],
)
def test_fields_without_default_are_zero_when_absent(hexadecimal: str, reply: m.Reply) -> None:
    """proto3 leaves zeros out; a client of ours fills them in."""
    frame = bytes.fromhex(hexadecimal)
    assert reader_for(m.Reply)(frame, 0, len(frame), 0, None) == reply
