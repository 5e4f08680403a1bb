"""Requests and answers between nodes as bytes; a large answer in parts.

What is asked and answered are JSON-ready mappings whose meaning is not known here. An
answer is cut one level below the top, where the long lists of a node are; so nobody holds
the loop, or a link that publications use too, for longer than one part takes.
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson

from hub.engine.control import Answer, Request

ITEMS_PER_PART = 1000
"""Entries of a mapping that travel in one part, about 250 KB of descriptions."""

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""Compressed, over all parts, of one node: more would fill the asker's buffer in Redis."""

_COMPRESS_FROM_BYTES = 16 * 1024
_FAST = 1
_PLAIN, _DEFLATED = b"j", b"z"


class MalformedControl(ValueError):
    """Bytes that no hub wrote. The text quotes nothing of them."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request on its way. ``to`` names who still owes an answer; None means everybody."""

    body: Request
    sender: str
    to: Collection[str] | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True, slots=True)
class AnswerPart:
    """Part ``index``, from 0, of the ``count`` that make up a node's answer."""

    id: str
    node: str
    index: int
    count: int
    body: Mapping[str, Any]


def encode_question(question: Question) -> bytes:
    """A request as it is published."""
    to = None if question.to is None else list(question.to)
    return _pack({"id": question.id, "from": question.sender, "to": to, "body": question.body})


def decode_question(message: bytes) -> Question:
    """The other direction.

    Raises:
        MalformedControl: if it is none.
    """
    try:
        found = _unpack(message)
        return Question(found["body"], found["from"], found["to"], found["id"])
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise MalformedControl("a control request cannot be read") from error


def encode_part(part: AnswerPart) -> bytes:
    """One part as it is published."""
    return _pack(
        {"id": part.id, "node": part.node, "index": part.index, "count": part.count, "body": part.body}
    )


def decode_part(message: bytes) -> AnswerPart:
    """The other direction.

    Raises:
        MalformedControl: if it is none.
    """
    try:
        found = _unpack(message)
        return AnswerPart(found["id"], found["node"], found["index"], found["count"], dict(found["body"]))
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise MalformedControl("a control answer cannot be read") from error


def _is_long(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) > ITEMS_PER_PART


def piece_count(answer: Answer) -> int:
    """How many pieces :func:`cut` makes."""
    return 1 + sum(-(-len(value) // ITEMS_PER_PART) for value in answer.values() if _is_long(value))


def cut(answer: Answer) -> Iterator[dict[str, Any]]:
    """The answer in pieces that :class:`PartialAnswer` puts together again; at least one."""
    rest: dict[str, Any] = {}
    for key, value in answer.items():
        if not _is_long(value):
            rest[key] = value
            continue
        remaining = iter(value.items())
        while piece := dict(islice(remaining, ITEMS_PER_PART)):
            yield {key: piece}
    yield rest


class PartialAnswer:
    """The parts of one node's answer, put together as they come; doubled ones do no harm."""

    __slots__ = ("_seen", "_whole")

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._whole: dict[str, Any] = {}

    def add(self, part: AnswerPart) -> dict[str, Any] | None:
        """The whole answer, once nothing is missing."""
        if part.index not in self._seen:
            self._seen.add(part.index)
            _join(self._whole, part.body)
        return self._whole if len(self._seen) >= part.count else None


def _join(whole: dict[str, Any], piece: Mapping[str, Any]) -> None:
    for key, value in piece.items():
        known = whole.get(key)
        if isinstance(known, dict) and isinstance(value, Mapping):
            known.update(value)
        else:
            whole[key] = value


def _pack(content: Mapping[str, Any]) -> bytes:
    text = orjson.dumps(content)
    if len(text) < _COMPRESS_FROM_BYTES:
        return _PLAIN + text
    return _DEFLATED + zlib.compress(text, _FAST)


def _unpack(message: bytes) -> Any:
    text = message[1:]
    return orjson.loads(zlib.decompress(text) if message[:1] == _DEFLATED else text)
