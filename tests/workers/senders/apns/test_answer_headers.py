"""Answers are decoded exactly as the library does it."""

from __future__ import annotations

import pytest
from hpack.exceptions import HPACKDecodingError
from hpack.hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from workers.senders.apns.answer_headers import AnswerDecoder

names = st.sampled_from([b":status", b"apns-id", b"server", b"date", b"x-long"])
fields = st.lists(st.tuples(names, st.binary(max_size=300), st.booleans()), max_size=6)


@given(st.lists(st.tuples(fields, st.booleans()), max_size=5))
def test_it_reads_what_the_library_reads(blocks: list[tuple[list[tuple[bytes, bytes, bool]], bool]]) -> None:
    """Block after block over one table, packed or not, secret or not, long or short."""
    encoder, plain, ours = Encoder(), Decoder(), AnswerDecoder()
    for block, huffman in blocks:
        encoded = encoder.encode([(n, v, secret) for n, v, secret in block], huffman=huffman)
        wanted = plain.decode(encoded, raw=True)
        found = ours.decode(encoded, raw=True)
        assert list(found) == list(wanted)
        assert [type(each) for each in found] == [type(each) for each in wanted]


@given(st.binary(max_size=80))
def test_nonsense_is_refused_as_the_library_refuses_it(block: bytes) -> None:
    """By the errors that the connection knows."""
    try:
        wanted = list(Decoder().decode(block, raw=True))
    except HPACKDecodingError:
        with pytest.raises(HPACKDecodingError):
            AnswerDecoder().decode(block, raw=True)
    except IndexError:
        with pytest.raises((HPACKDecodingError, IndexError)):
            AnswerDecoder().decode(block, raw=True)
    else:
        assert list(AnswerDecoder().decode(block, raw=True)) == wanted


def test_it_remembers_only_so_much() -> None:
    """Ids are all different: they must not pile up."""
    encoder, decoder = Encoder(), AnswerDecoder()
    for number in range(2000):
        decoder.decode(encoder.encode([(b"apns-id", b"id-%d" % number, True)]), raw=True)
    assert len(decoder._known) <= 512
