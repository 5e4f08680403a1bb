"""Our field numbers against the descriptor that a published SDK ships."""

from __future__ import annotations

import pytest
from centrifuge.protocol import client_pb2
from google.protobuf.descriptor import FieldDescriptor
from msgspec import Struct

from hub.protocol import messages as m
from hub.protocol.protobuf_schema import FIELD_NUMBERS
from hub.protocol.shapes import Kind, fields_of

NAMES_THERE = {
    "PublicationMessage": "Publication",
    "ClientInfoMessage": "ClientInfo",
    "PublishResultMessage": "PublishResult",
}
NEWER_THAN_THE_DESCRIPTOR = {
    (m.SubscribeRequest, "type"),
    (m.PublishRequest, "type"),
    (m.SubRefreshRequest, "type"),
}
TYPES_THERE = {
    Kind.BOOL: FieldDescriptor.TYPE_BOOL,
    Kind.U32: FieldDescriptor.TYPE_UINT32,
    Kind.U64: FieldDescriptor.TYPE_UINT64,
    Kind.I32: FieldDescriptor.TYPE_INT32,
    Kind.I64: FieldDescriptor.TYPE_INT64,
    Kind.TEXT: FieldDescriptor.TYPE_STRING,
    Kind.TEXT_LIST: FieldDescriptor.TYPE_STRING,
    Kind.PAYLOAD: FieldDescriptor.TYPE_BYTES,
    Kind.MESSAGE: FieldDescriptor.TYPE_MESSAGE,
    Kind.MESSAGE_LIST: FieldDescriptor.TYPE_MESSAGE,
    Kind.TEXT_MAP: FieldDescriptor.TYPE_MESSAGE,
    Kind.MESSAGE_MAP: FieldDescriptor.TYPE_MESSAGE,
}


@pytest.mark.parametrize("message", FIELD_NUMBERS, ids=lambda message: message.__name__)
def test_numbers_and_types_are_those_of_the_sdks(message: type[Struct]) -> None:
    """Every field has the number and the wire type that published SDKs were built with."""
    descriptor = client_pb2.DESCRIPTOR.message_types_by_name[
        NAMES_THERE.get(message.__name__, message.__name__)
    ]
    known = [field for field in fields_of(message) if (message, field.name) not in NEWER_THAN_THE_DESCRIPTOR]
    theirs = {
        field.name: (descriptor.fields_by_name[field.name].number, descriptor.fields_by_name[field.name].type)
        for field in known
    }
    ours = {field.name: (FIELD_NUMBERS[message][field.name], TYPES_THERE[field.kind]) for field in known}
    assert ours == theirs


@pytest.mark.parametrize("message", FIELD_NUMBERS, ids=lambda message: message.__name__)
def test_fields_stand_in_the_order_of_their_numbers(message: type[Struct]) -> None:
    """Writers follow the definition, so its order is the canonical one of Protobuf."""
    numbers = [FIELD_NUMBERS[message][field.name] for field in fields_of(message)]
    assert numbers == sorted(numbers) == sorted(FIELD_NUMBERS[message].values())


@pytest.mark.parametrize(
    ("message", "name", "number"),
    [(m.SubscribeRequest, "type", 15), (m.PublishRequest, "type", 3), (m.SubRefreshRequest, "type", 3)],
)
def test_numbers_newer_than_the_descriptor(message: type[Struct], name: str, number: int) -> None:
    """Fields that the shipped descriptor lacks are pinned by hand."""
    assert FIELD_NUMBERS[message][name] == number
