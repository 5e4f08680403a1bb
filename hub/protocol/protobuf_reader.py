"""Protobuf bytes to messages: one reader per message, built once from the schema.

Follows the wire rules of proto3: unknown fields are skipped, the last scalar wins, a message
that comes twice is merged, integers are cut to their width. Groups, which proto3 does not
have, are refused. Readers raise ``ValueError`` or ``IndexError`` on bad input; the codec
turns both into its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Raw, Struct

from hub.protocol.messages import NO_DATA
from hub.protocol.protobuf_schema import FIELD_NUMBERS
from hub.protocol.shapes import Field, Kind, fields_of

_MAX_DEPTH = 100
"""How deep messages may nest, as in the common runtimes; stops frames made to exhaust the stack."""
_MAX_VARINT_SHIFT = 63
_MAX_U32_BYTES = 5
_MASK_32 = 2**32 - 1
_MASK_64 = 2**64 - 1

_VARINT, _FIXED_64, _LENGTH, _FIXED_32 = 0, 1, 2, 5  # wire types: the low three bits of a tag

FromVarint = Callable[[int], Any]


class Reader(Protocol):
    """Reads ``frame[start:end]``; ``previous`` is what the same field held before, if anything."""

    def __call__(self, frame: bytes, start: int, end: int, depth: int, previous: Any, /) -> Any: ...


def read_varint(frame: bytes, at: int) -> tuple[int, int]:
    """The unsigned integer at ``at``, cut to 64 bits, and the place behind it.

    Raises:
        ValueError: when it takes more than ten bytes.
        IndexError: when the frame ends inside it.
    """
    byte = frame[at]
    at += 1
    value = byte & 0x7F
    shift = 7
    while byte & 0x80:
        if shift > _MAX_VARINT_SHIFT:
            raise ValueError("varint longer than ten bytes")
        byte = frame[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    return value & _MASK_64, at


def _read_u32(frame: bytes, at: int) -> tuple[int, int]:
    """A tag or a length: the common runtimes take no more than five bytes for one."""
    value, end = read_varint(frame, at)
    if value > _MASK_32 or end - at > _MAX_U32_BYTES:
        raise ValueError("tag or length out of range")
    return value, end


def reader_for(message: type[Struct]) -> Reader:
    """The reader of a message. Built once for each, nested ones included."""
    if message not in _readers:
        numbers: dict[int, tuple[str, FromVarint]] = {}
        lengths: dict[int, tuple[str, Reader]] = {}
        _readers[message] = _message_reader(message, numbers, lengths)
        # A nested message may hold this one, so the tables are filled after its reader is known.
        for field in fields_of(message):
            number = FIELD_NUMBERS[message][field.name]
            if field.kind in _FROM_VARINT:
                numbers[number << 3 | _VARINT] = (field.name, _FROM_VARINT[field.kind])
            else:
                lengths[number << 3 | _LENGTH] = (field.name, _length_reader(field))
    return _readers[message]


_readers: dict[type[Struct], Reader] = {}


def _message_reader(
    message: type[Struct],
    numbers: Mapping[int, tuple[str, FromVarint]],
    lengths: Mapping[int, tuple[str, Reader]],
) -> Reader:
    names = tuple(field.name for field in fields_of(message))
    zeros = tuple((field.name, _zero_of(field)) for field in fields_of(message) if field.required)

    def read(frame: bytes, start: int, end: int, depth: int, previous: Any, /) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deep")
        values = {} if previous is None else {name: getattr(previous, name) for name in names}
        at = start
        while at < end:
            tag, at = _read_u32(frame, at) if frame[at] > 0x7F else (frame[at], at + 1)
            if (field := lengths.get(tag)) is not None:
                name, read_value = field
                length, at = _read_u32(frame, at) if frame[at] > 0x7F else (frame[at], at + 1)
                start, at = at, at + length
                if at > end:
                    break
                values[name] = read_value(frame, start, at, depth + 1, values.get(name))
            elif (scalar := numbers.get(tag)) is not None:
                name, from_varint = scalar
                number, at = read_varint(frame, at) if frame[at] > 0x7F else (frame[at], at + 1)
                values[name] = from_varint(number)
            else:
                at = _behind_unknown(frame, at, tag)
        if at != end:
            raise ValueError("a field reaches past the end of its message")
        for name, zero in zeros:
            if name not in values:
                values[name] = zero()
        return message(**values)

    return read


def _behind_unknown(frame: bytes, at: int, tag: int) -> int:
    if tag < 1 << 3:
        raise ValueError("field number zero")
    wire_type = tag & 7
    if wire_type == _VARINT:
        return read_varint(frame, at)[1]
    if wire_type == _LENGTH:
        length, at = _read_u32(frame, at)
        return at + length
    if wire_type == _FIXED_64:
        return at + 8
    if wire_type == _FIXED_32:
        return at + 4
    raise ValueError("not a wire type of proto3")


_FROM_VARINT: dict[Kind, Callable[[int], Any]] = {
    Kind.BOOL: lambda number: number != 0,
    Kind.U32: lambda number: number & _MASK_32,
    Kind.U64: lambda number: number,
    Kind.I32: lambda number: ((number + 2**31) & _MASK_32) - 2**31,
    Kind.I64: lambda number: ((number + 2**63) & _MASK_64) - 2**63,
}


def _length_reader(field: Field) -> Reader:
    match field.kind:
        case Kind.TEXT:
            return _read_text
        case Kind.PAYLOAD:
            return _read_payload
        case Kind.MESSAGE:
            return reader_for(field.nested)
        case Kind.TEXT_LIST:
            return _list_reader(_read_text)
        case Kind.MESSAGE_LIST:
            return _list_reader(reader_for(field.nested))
        case Kind.TEXT_MAP:
            return _map_reader(_read_text, str)
        case Kind.MESSAGE_MAP:
            read_message = reader_for(field.nested)
            return _map_reader(read_message, lambda: read_message(b"", 0, 0, 0, None))
        case _:
            raise TypeError(f"field {field.name} is not length-delimited")


def _read_text(frame: bytes, start: int, end: int, depth: int, previous: Any, /) -> str:
    return frame[start:end].decode()


def _read_payload(frame: bytes, start: int, end: int, depth: int, previous: Any, /) -> Raw:
    return Raw(frame[start:end]) if start < end else NO_DATA


def _list_reader(read_item: Reader) -> Reader:
    def read(frame: bytes, start: int, end: int, depth: int, previous: Any, /) -> list[Any]:
        items: list[Any] = [] if previous is None else previous
        items.append(read_item(frame, start, end, depth, None))
        return items

    return read


def _map_reader(read_value: Reader, zero: Callable[[], Any]) -> Reader:
    key_tag, value_tag = 1 << 3 | _LENGTH, 2 << 3 | _LENGTH

    def read(frame: bytes, start: int, end: int, depth: int, previous: Any, /) -> dict[str, Any]:
        key, value, at = "", None, start
        while at < end:
            tag, at = _read_u32(frame, at)
            if tag != key_tag and tag != value_tag:
                at = _behind_unknown(frame, at, tag)
                continue
            length, start = _read_u32(frame, at)
            at = start + length
            if at > end:
                break
            if tag == key_tag:
                key = frame[start:at].decode()
            else:
                value = read_value(frame, start, at, depth + 1, value)
        if at != end:
            raise ValueError("a field reaches past the end of its map entry")
        entries: dict[str, Any] = {} if previous is None else previous
        entries[key] = zero() if value is None else value
        return entries

    return read


def _zero_of(field: Field) -> Callable[[], Any]:
    match field.kind:
        case Kind.MESSAGE:
            message = field.nested
            return lambda: reader_for(message)(b"", 0, 0, 0, None)
        case Kind.TEXT_LIST | Kind.MESSAGE_LIST:
            return list
        case Kind.TEXT_MAP | Kind.MESSAGE_MAP:
            return dict
        case Kind.TEXT:
            return str
        case Kind.PAYLOAD:
            return lambda: NO_DATA
        case Kind.BOOL:
            return bool
        case Kind.U32 | Kind.U64 | Kind.I32 | Kind.I64:
            return int
