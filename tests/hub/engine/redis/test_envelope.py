"""Publications come out of an envelope as they went in, and nothing else comes out of foreign bytes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.engine.redis.envelope import (
    JOIN,
    LEAVE,
    PUBLICATION,
    MalformedMessage,
    decode_entry,
    decode_publication,
    encode_publication,
    join_message,
    leave_message,
    parse_info,
    parse_publication,
    publication_message,
)
from hub.model import ClientInfo, Position, Publication

infos = st.builds(
    ClientInfo,
    user=st.text(max_size=10),
    client=st.text(max_size=10),
    conn_info=st.none() | st.binary(max_size=20),
    chan_info=st.none() | st.binary(max_size=20),
)
publications = st.builds(
    Publication,
    data=st.binary(max_size=50),
    offset=st.integers(1, 2**53),
    info=st.none() | infos,
    tags=st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    time_ms=st.integers(0, 2**42),
    delta=st.booleans(),
)


@given(publications)
def test_a_publication_comes_out_as_it_went_in(publication: Publication) -> None:
    """Whatever bytes and signs it holds; offset and time are said beside the envelope."""
    packed = encode_publication(publication)
    assert decode_publication(packed, publication.offset, publication.time_ms) == publication


@given(publications)
def test_a_message_holds_the_position(publication: Publication) -> None:
    """As a script writes it."""
    head = f"p\n{publication.offset}\nbirth-3\n{publication.time_ms}\n".encode()
    message = head + encode_publication(publication)
    assert message.startswith(PUBLICATION)
    assert parse_publication(message) == (publication, Position(publication.offset, "birth-3"))


@given(publications)
def test_an_entry_holds_the_time(publication: Publication) -> None:
    """As a script writes it, before its life; the offset is the entry's id."""
    entry = f"{publication.time_ms} 300\n".encode() + encode_publication(publication)
    assert decode_entry(entry, publication.offset) == publication


def test_a_message_without_a_stream_has_no_position() -> None:
    """Offset 0 and no epoch, in the same form."""
    packed = encode_publication(Publication(b"\n\n"))
    found = parse_publication(publication_message(packed, 1234))
    assert found == (Publication(b"\n\n", time_ms=1234), None)


@given(infos)
def test_who_joins_or_leaves_comes_out_as_it_went_in(info: ClientInfo) -> None:
    """And the two can be told apart."""
    joined, left = join_message(info), leave_message(info)
    assert (joined[:2], left[:2]) == (JOIN, LEAVE)
    assert parse_info(joined) == parse_info(left) == info


def test_what_a_later_hub_adds_is_passed_over() -> None:
    """Two versions run side by side while hubs are replaced."""
    assert decode_publication(b"\x95\xc4\x01x\xc0\xc0\xc2\xc3", 1, 2) == Publication(b"x", 1, time_ms=2)


@pytest.mark.parametrize(
    "message",
    [
        b"p\n",
        b"p\n1\nepoch\n5",
        b"p\none\nepoch\n5\n\x91\xc4\x00",
        b"p\n1\nepoch\nnow\n\x91\xc4\x00",
        b"p\n1\n\xff\n5\n\x91\xc4\x00",
        b"p\n1\nepoch\n5\n",
        b"p\n1\nepoch\n5\n\x90",
        b"p\n1\nepoch\n5\n\x91\xa1x",
        b"p\n1\nepoch\n5\n\x92\xc4\x00\x92\xa1\xff\xa1c",
    ],
)
def test_a_broken_publication_is_malformed(message: bytes) -> None:
    """The error says what is wrong and quotes nothing of it."""
    with pytest.raises(MalformedMessage, match=r"cannot be read$"):
        parse_publication(message)


@given(st.binary(max_size=40))
def test_foreign_bytes_are_malformed_at_worst(foreign: bytes) -> None:
    """No other error escapes, whatever arrives."""
    for parse in (parse_publication, parse_info):
        with contextlib.suppress(MalformedMessage):
            parse(foreign)
        with contextlib.suppress(MalformedMessage):
            parse(b"p\n1\ne\n1\n" + foreign)
