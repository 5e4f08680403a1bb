"""Requests and answers as bytes: whole, in parts, doubled and broken."""

from __future__ import annotations

import pytest

from hub.engine.redis.control_wire import (
    ITEMS_PER_PART,
    AnswerPart,
    MalformedControl,
    PartialAnswer,
    Question,
    cut,
    decode_part,
    decode_question,
    encode_part,
    encode_question,
    piece_count,
)

LONG = {
    "connections": {f"c{n}": {"user": f"u{n}"} for n in range(2 * ITEMS_PER_PART + 1)},
    "channels": {f"room{n}": n for n in range(ITEMS_PER_PART + 1)},
    "name": "a",
    "few": {"one": 1},
}


def test_a_request_comes_back_as_it_was_sent() -> None:
    """With its id, its sender and those it is meant for."""
    question = Question({"do": "info", "list": [1, None, "ü"]}, "a", ["b", "c"])
    assert decode_question(encode_question(question)) == question


def test_every_request_has_an_id_of_its_own() -> None:
    """Answers find back by it."""
    assert Question({}, "a").id != Question({}, "a").id


@pytest.mark.parametrize("answer", [{}, {"error": {"code": 100}}, LONG], ids=["empty", "small", "long"])
def test_an_answer_in_pieces_is_put_together_again(answer: dict[str, object]) -> None:
    """Nothing is lost, whatever the length."""
    pieces = list(cut(answer))
    assert len(pieces) == piece_count(answer)
    partial = PartialAnswer()
    found = [partial.add(AnswerPart("1", "a", i, len(pieces), piece)) for i, piece in enumerate(pieces)]
    assert found[-1] == answer


def test_a_long_answer_is_cut_and_each_part_is_small() -> None:
    """So that no one part holds up what else goes over the link."""
    messages = [encode_part(AnswerPart("1", "a", i, 6, piece)) for i, piece in enumerate(cut(LONG))]
    assert len(messages) == 6
    assert max(map(len, messages)) < 64 * 1024


def test_parts_may_come_doubled_and_in_any_order() -> None:
    """The answer is there once no part is missing."""
    parts = [AnswerPart("1", "a", i, 6, piece) for i, piece in enumerate(cut(LONG))]
    partial = PartialAnswer()
    for part in [*parts[:4], *parts[:2], parts[5]]:
        assert partial.add(decode_part(encode_part(part))) is None
    assert partial.add(parts[4]) == LONG


@pytest.mark.parametrize("message", [b"", b"j", b"j[]", b"j{}", b"zzz", b'j{"id":"1","body":{}}'])
def test_bytes_that_no_hub_wrote_are_refused(message: bytes) -> None:
    """With one exception, whatever is wrong with them."""
    with pytest.raises(MalformedControl):
        decode_question(message)
    with pytest.raises(MalformedControl):
        decode_part(message)
