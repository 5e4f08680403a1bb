"""Messages to Protobuf bytes: one writer per message, built once from the schema.

Fields go out in the order of their numbers, zero values not at all, messages that are
present always, be they empty (the empty result of a reply must be seen).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple

from hub.protocol.protobuf_schema import FIELD_NUMBERS
from hub.protocol.shapes import Field, Kind, fields_of

Writer = Callable[[Any], bytearray]
"""A message to its bytes, without length prefix."""
FieldWriter = Callable[[bytearray, Any], None]
"""Appends one field that is not zero, tag included."""

_VARINT, _LENGTH = 0, 2
_MASK_64 = 2**64 - 1
_ONE_BYTE = tuple(bytes((number,)) for number in range(0x80))


def varint(number: int) -> bytes:
    """``number`` in base 128, lowest digits first; a negative one as its 64-bit two's complement."""
    if 0 <= number < 0x80:
        return _ONE_BYTE[number]
    number &= _MASK_64
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def writer_for(message: type[Struct]) -> Writer:
    """The writer of a message. Built once for each, nested ones included."""
    if message not in _writers:
        field_writers: list[FieldWriter] = []
        _writers[message] = _message_writer(field_writers)
        # A nested message may hold this one, so the list is filled after its writer is known.
        for field in fields_of(message):
            field_writers.append(_field_writer(field, FIELD_NUMBERS[message][field.name]))
    return _writers[message]


_writers: dict[type[Struct], Writer] = {}


def _message_writer(field_writers: list[FieldWriter]) -> Writer:
    def write(message: Any) -> bytearray:
        out = bytearray()
        for value, write_field in zip(astuple(message), field_writers, strict=True):
            if value:  # zero, empty and absent are falsy; a message never is
                write_field(out, value)
        return out

    return write


def _field_writer(field: Field, number: int) -> FieldWriter:
    length_tag = varint(number << 3 | _LENGTH)
    match field.kind:
        case Kind.BOOL | Kind.U32 | Kind.U64 | Kind.I32 | Kind.I64:
            return _number_writer(varint(number << 3 | _VARINT))
        case Kind.TEXT:
            return _bytes_writer(length_tag, str.encode)
        case Kind.PAYLOAD:
            return _bytes_writer(length_tag, bytes)
        case Kind.MESSAGE:
            return _bytes_writer(length_tag, writer_for(field.nested))
        case Kind.TEXT_LIST:
            return _list_writer(_bytes_writer(length_tag, str.encode))
        case Kind.MESSAGE_LIST:
            return _list_writer(_bytes_writer(length_tag, writer_for(field.nested)))
        case Kind.TEXT_MAP:
            return _map_writer(length_tag, str.encode)
        case Kind.MESSAGE_MAP:
            return _map_writer(length_tag, writer_for(field.nested))


def _number_writer(tag: bytes) -> FieldWriter:
    def write_field(out: bytearray, number: int) -> None:
        out += tag
        out += varint(number)

    return write_field


def _bytes_writer(tag: bytes, to_bytes: Callable[[Any], bytes | bytearray]) -> FieldWriter:
    def write_field(out: bytearray, value: Any) -> None:
        encoded = to_bytes(value)
        out += tag
        out += varint(len(encoded))
        out += encoded

    return write_field


def _list_writer(write_item: FieldWriter) -> FieldWriter:
    def write_field(out: bytearray, items: list[Any]) -> None:
        for item in items:
            write_item(out, item)

    return write_field


def _map_writer(tag: bytes, to_bytes: Callable[[Any], bytes | bytearray]) -> FieldWriter:
    write_key = _bytes_writer(varint(1 << 3 | _LENGTH), str.encode)
    write_value = _bytes_writer(varint(2 << 3 | _LENGTH), to_bytes)

    def write_field(out: bytearray, entries: dict[str, Any]) -> None:
        for key, value in entries.items():
            entry = bytearray()
            write_key(entry, key)
            write_value(entry, value)
            out += tag
            out += varint(len(entry))
            out += entry

    return write_field
