"""What the Protobuf writers leave out, and what they must not."""

from __future__ import annotations

import pytest
from msgspec import Raw, Struct

from hub.protocol import messages as m
from hub.protocol.protobuf_writer import varint, writer_for


@pytest.mark.parametrize(
    ("number", "hexadecimal"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (2**64 - 1, "ffffffffffffffffff01"),
        (-1, "ffffffffffffffffff01"),
        (-(2**31), "80808080f8ffffffff01"),
    ],
)
def test_varints(number: int, hexadecimal: str) -> None:
    """Base 128, lowest digits first; a negative number takes all ten bytes."""
    assert varint(number).hex() == hexadecimal


@pytest.mark.parametrize(
    ("message", "hexadecimal"),
    [
        pytest.param(m.SubscribeResult(), "", id="zeros are left out"),
        pytest.param(m.PresenceStatsResult(0, 0), "", id="also where JSON always has them"),
        pytest.param(m.PublicationMessage(data=Raw(b"")), "", id="empty payload is left out"),
        pytest.param(m.Reply(id=1, ping=m.PingResult()), "08016200", id="empty result is present"),
        pytest.param(m.FilterNode(vals=["", "a"]), "2a002a0161", id="empty text in a list is present"),
        pytest.param(m.FilterNode(nodes=[m.FilterNode()]), "3200", id="empty message in a list is present"),
        pytest.param(
            m.ConnectRequest(headers={"": ""}), "32040a001200", id="empty map entry has key and value"
        ),
        pytest.param(
            m.ConnectRequest(subs={"a": m.SubscribeRequest()}), "1a050a01611200", id="empty message in a map"
        ),
        pytest.param(m.HistoryRequest(limit=-1), "38ffffffffffffffffff01", id="negative i32"),
        pytest.param(m.Push(channel="é"), "1202c3a9", id="text is UTF-8"),
    ],
)
def test_fields(message: Struct, hexadecimal: str) -> None:
    """Zeros cost nothing, and presence of messages survives."""
    assert writer_for(type(message))(message).hex() == hexadecimal
