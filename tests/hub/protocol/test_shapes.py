"""Fields as the codecs see them."""

from __future__ import annotations

import pytest
from msgspec import Struct

from hub.protocol import messages as m
from hub.protocol.shapes import Field, Kind, fields_of


def test_fields_tell_kind_and_nested_message() -> None:
    """Scalars, payloads, maps of messages and texts are told apart."""
    by_name = {field.name: field for field in fields_of(m.ConnectRequest)}
    assert by_name["token"] == Field("token", Kind.TEXT, required=False)
    assert by_name["data"] == Field("data", Kind.PAYLOAD, required=False)
    assert by_name["subs"] == Field("subs", Kind.MESSAGE_MAP, False, m.SubscribeRequest)
    assert by_name["headers"] == Field("headers", Kind.TEXT_MAP, required=False)
    assert by_name["flag"] == Field("flag", Kind.I64, required=False)


def test_an_optional_message_is_seen_through() -> None:
    """A message that may be absent is a message all the same, even inside itself."""
    assert Field("tf", Kind.MESSAGE, False, m.FilterNode) in fields_of(m.SubscribeRequest)
    assert Field("nodes", Kind.MESSAGE_LIST, False, m.FilterNode) in fields_of(m.FilterNode)


def test_fields_without_default_are_required() -> None:
    """What JSON may never leave out is marked."""
    assert [field.name for field in fields_of(m.ClientInfoMessage) if field.required] == ["user", "client"]


def test_a_scalar_holds_no_message() -> None:
    """Asking a scalar for its message is a mistake in the caller."""
    with pytest.raises(TypeError, match="limit"):
        Field("limit", Kind.I32, required=False).nested


class _Unknown(Struct):
    ratio: float = 0.0


def test_a_type_that_the_protocol_lacks_is_refused() -> None:
    """A message with such a field fails when the codec is built, not on the wire."""
    with pytest.raises(TypeError, match="ratio"):
        fields_of(_Unknown)
