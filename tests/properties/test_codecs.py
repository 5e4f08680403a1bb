"""What holds for any input: codecs never crash and lose nothing, deltas and frames come back whole."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from centrifuge.fossil import apply_delta as apply_delta_of_the_sdk
from centrifuge.protocol import client_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw, Struct, to_builtins
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from hub.protocol import (
    Command,
    JSONCodec,
    MalformedFrame,
    ProtobufCodec,
    Reply,
    apply_delta,
    create_delta,
    deflate_message,
    server_frame,
)
from hub.protocol import messages as m
from hub.protocol.shapes import Field, Kind, fields_of

json_codec = JSONCodec()
protobuf_codec = ProtobufCodec()
MAX = 16
modest = settings(max_examples=60, deadline=None)
many = settings(max_examples=150, deadline=None)

texts = st.text(st.characters(codec="utf-8"), max_size=8)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
json_payloads = json_values.map(orjson.dumps).filter(lambda text: text != b"null").map(Raw)
binary_payloads = st.binary(max_size=24).map(lambda data: Raw(data) if data else m.NO_DATA)
OUTSIDE_THE_DESCRIPTOR = {
    (m.SubscribeRequest, "type"),
    (m.PublishRequest, "type"),
    (m.SubRefreshRequest, "type"),
}
_SCALARS: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.BOOL: st.booleans(),
    Kind.U32: st.integers(0, 2**32 - 1),
    Kind.U64: st.integers(0, 2**63 - 1),
    Kind.I32: st.integers(-(2**31), 2**31 - 1),
    Kind.I64: st.integers(-(2**63), 2**63 - 1),
    Kind.TEXT: texts,
    Kind.TEXT_LIST: st.lists(texts, max_size=3),
    Kind.TEXT_MAP: st.dictionaries(texts, texts, max_size=3),
}


def messages_of(
    message: type[Struct], payloads: st.SearchStrategy[Raw], depth: int = 0
) -> st.SearchStrategy[Any]:
    """Any message of a type. The filter, which holds itself, stops at a depth."""
    fields = {
        field.name: _values(field, payloads, depth)
        for field in fields_of(message)
        if (message, field.name) not in OUTSIDE_THE_DESCRIPTOR
        and (depth < 4 or field.message is not m.FilterNode)
    }
    required = {field.name: fields.pop(field.name) for field in fields_of(message) if field.required}
    return st.fixed_dictionaries(required, optional=fields).map(lambda values: message(**values))


def _values(field: Field, payloads: st.SearchStrategy[Raw], depth: int) -> st.SearchStrategy[Any]:
    if field.kind is Kind.PAYLOAD:
        return payloads
    if field.message is None:
        return _SCALARS[field.kind]
    inner = messages_of(field.message, payloads, depth + 1)
    if field.kind is Kind.MESSAGE_LIST:
        return st.lists(inner, max_size=2)
    return st.dictionaries(texts, inner, max_size=2) if field.kind is Kind.MESSAGE_MAP else inner


json_commands, json_replies = messages_of(Command, json_payloads), messages_of(Reply, json_payloads)
binary_commands, binary_replies = messages_of(Command, binary_payloads), messages_of(Reply, binary_payloads)


def decoded_or_malformed(codec: JSONCodec | ProtobufCodec, frame: bytes) -> list[Command] | None:
    """The commands, or None for a malformed frame. Any other exception fails the test."""
    try:
        return codec.decode(frame, MAX)
    except MalformedFrame:
        return None


class TestGarbage:
    """No frame raises anything but MalformedFrame."""

    @many
    @given(st.binary(max_size=64))
    def test_arbitrary_bytes(self, frame: bytes) -> None:
        """Bytes without any sense are decoded or refused."""
        decoded_or_malformed(json_codec, frame)
        decoded_or_malformed(protobuf_codec, frame)

    @many
    @given(json_values, st.sampled_from(["connect", "subscribe", "publish", "rpc", "history", "id"]))
    def test_arbitrary_json_in_place_of_a_request(self, value: object, name: str) -> None:
        """Requests of the wrong type are decoded or refused."""
        decoded_or_malformed(json_codec, orjson.dumps({"id": 1, name: value}))
        decoded_or_malformed(
            json_codec, orjson.dumps({"id": None, name: {"data": value, "token": value, "tf": value}})
        )

    @many
    @given(binary_commands, st.data())
    def test_damaged_protobuf(self, command: Command, draw: st.DataObject) -> None:
        """A frame with one changed byte, or cut off, is decoded or refused."""
        frame = bytearray(protobuf_codec.encode_command(command))
        frame[draw.draw(st.integers(0, len(frame) - 1))] = draw.draw(st.integers(0, 255))
        decoded_or_malformed(protobuf_codec, bytes(frame))
        decoded_or_malformed(protobuf_codec, bytes(frame[: draw.draw(st.integers(0, len(frame)))]))

    @many
    @given(json_commands, st.data())
    def test_damaged_json(self, command: Command, draw: st.DataObject) -> None:
        """A line with one changed byte, or cut off, is decoded or refused."""
        frame = bytearray(json_codec.encode_command(command))
        frame[draw.draw(st.integers(0, len(frame) - 1))] = draw.draw(st.integers(0, 255))
        decoded_or_malformed(json_codec, bytes(frame))
        decoded_or_malformed(json_codec, bytes(frame[: draw.draw(st.integers(0, len(frame)))]))


class TestRoundTrip:
    """What one side writes the other reads, whole frames included."""

    @modest
    @given(st.lists(json_commands, min_size=1, max_size=3))
    def test_commands_in_json(self, commands: list[Command]) -> None:
        """Commands survive JSON, payload bytes and all."""
        frame = json_codec.join([json_codec.encode_command(command) for command in commands])
        assert json_codec.decode(frame, MAX) == commands

    @modest
    @given(st.lists(json_replies, min_size=1, max_size=3))
    def test_replies_in_json(self, replies: list[Reply]) -> None:
        """Replies survive JSON, payload bytes and all."""
        assert (
            json_codec.decode_replies(json_codec.join([json_codec.encode(reply) for reply in replies]))
            == replies
        )

    @modest
    @given(st.lists(binary_commands, min_size=1, max_size=3))
    def test_commands_in_protobuf(self, commands: list[Command]) -> None:
        """Commands survive Protobuf."""
        frame = protobuf_codec.join([protobuf_codec.encode_command(command) for command in commands])
        assert protobuf_codec.decode(frame, MAX) == commands

    @modest
    @given(st.lists(binary_replies, min_size=1, max_size=3))
    def test_replies_in_protobuf(self, replies: list[Reply]) -> None:
        """Replies survive Protobuf."""
        frame = protobuf_codec.join([protobuf_codec.encode(reply) for reply in replies])
        assert protobuf_codec.decode_replies(frame) == replies


class TestAgainstTheRuntimeOfTheSDK:
    """The Protobuf runtime, with the descriptor that a published SDK ships, understands us and we it."""

    @modest
    @given(binary_commands)
    def test_commands(self, command: Command) -> None:
        """Both writers and both readers agree on every command."""
        theirs = client_pb2.Command(**as_keywords(command))
        ours = protobuf_codec.encode_command(command)
        assert client_pb2.Command.FromString(without_prefix(ours)) == theirs
        assert protobuf_codec.decode(with_prefix(theirs.SerializeToString()), MAX) == [command]

    @modest
    @given(binary_replies)
    def test_replies(self, reply: Reply) -> None:
        """Both writers and both readers agree on every reply."""
        theirs = client_pb2.Reply(**as_keywords(reply))
        ours = protobuf_codec.encode(reply)
        assert client_pb2.Reply.FromString(without_prefix(ours)) == theirs
        assert protobuf_codec.decode_replies(with_prefix(theirs.SerializeToString())) == [reply]

    @many
    @given(st.binary(max_size=32))
    def test_what_we_take_they_take(self, garbage: bytes) -> None:
        """Nothing passes here that the runtime would refuse, and it then means the same."""
        command = decoded_or_malformed(protobuf_codec, with_prefix(garbage))
        theirs = client_pb2.Command.FromString(garbage) if command else client_pb2.Command()
        theirs.DiscardUnknownFields()
        assert protobuf_codec.decode(with_prefix(theirs.SerializeToString()), MAX) == (command or [Command()])


def as_keywords(message: Struct) -> dict[str, Any]:
    """A message as nested keyword arguments for the runtime's constructors; absent messages left out."""
    values = {
        field.name: _as_argument(field, getattr(message, field.name)) for field in fields_of(type(message))
    }
    return {name: value for name, value in values.items() if value is not None and _is_known(message, name)}


def _is_known(message: Struct, name: str) -> bool:
    return (type(message), name) not in OUTSIDE_THE_DESCRIPTOR


def _as_argument(field: Field, value: Any) -> Any:
    if value is None:
        return None
    if field.kind is Kind.PAYLOAD:
        return bytes(value)
    if field.kind is Kind.MESSAGE:
        return as_keywords(value)
    if field.kind is Kind.MESSAGE_LIST:
        return [as_keywords(item) for item in value]
    if field.kind is Kind.MESSAGE_MAP:
        return {key: _instance(field, item) for key, item in value.items()}
    return to_builtins(value)


def _instance(field: Field, value: Struct) -> Any:
    name = {m.ClientInfoMessage: "ClientInfo"}.get(field.nested, field.nested.__name__)
    return getattr(client_pb2, name)(**as_keywords(value))


def with_prefix(message: bytes) -> bytes:
    """A message as a frame."""
    digits, rest = bytearray(), len(message)
    while rest > 0x7F:
        digits.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes(digits) + bytes((rest,)) + message


def without_prefix(frame: bytes) -> bytes:
    """The one message of a frame."""
    start = 0
    while frame[start] > 0x7F:
        start += 1
    return frame[start + 1 :]


@st.composite
def similar_pairs(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A text and what a few edits, moves and repeats made of it."""
    source = draw(st.binary(max_size=60)) * draw(st.integers(1, 6))
    target = source
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(target)))
        end = draw(st.integers(begin, len(target)))
        target = draw(
            st.sampled_from(
                [
                    target[:begin] + target[end:],
                    target[:begin] + draw(st.binary(max_size=8)) + target[end:],
                    target[end:] + target[begin:end] + target[:begin],
                    target[:end] + target[begin:],
                ]
            )
        )
    return source, target


class TestDelta:
    """A patch always makes its target, with our decoder and the SDK's."""

    @many
    @given(st.binary(max_size=200), st.binary(max_size=200))
    def test_arbitrary_bytes(self, source: bytes, target: bytes) -> None:
        """Source and target need nothing in common."""
        assert apply_delta(source, create_delta(source, target)) == target

    @many
    @given(similar_pairs())
    def test_similar_bytes(self, pair: tuple[bytes, bytes]) -> None:
        """Edits, moves and repetitions come back exactly, and no patch outgrows a plain insert."""
        source, target = pair
        delta = create_delta(source, target)
        assert apply_delta(source, delta) == bytes(apply_delta_of_the_sdk(source, delta)) == target
        assert len(delta) <= len(target) + 20

    @many
    @given(
        st.binary(max_size=40),
        st.binary(max_size=40) | st.from_regex(rb"\A[0-9A-Z]{1,2}\n([0-9]:.{0,9})*", fullmatch=True),
    )
    def test_garbage_raises_value_error_only(self, source: bytes, delta: bytes) -> None:
        """No patch crashes the decoder."""
        try:
            apply_delta(source, delta)
        except ValueError:
            pass


class TestFrames:
    """A WebSocket client reads what the server built."""

    @staticmethod
    def _received(frame: bytes, compressed: bool) -> Frame:
        client = ClientProtocol(parse_uri("ws://localhost/"), state=OPEN, max_size=None)
        if compressed:
            client.extensions = [PerMessageDeflate(True, True, 15, 15)]
        client.receive_data(frame)
        (received,) = client.events_received()
        assert isinstance(received, Frame)
        return received

    @pytest.mark.parametrize("compressed", [False, True])
    @modest
    @given(
        payload=st.binary(max_size=300), repeat=st.sampled_from([1, 3, 300]), opcode=st.sampled_from([1, 2])
    )
    def test_frames_come_back(self, compressed: bool, payload: bytes, repeat: int, opcode: int) -> None:
        """Payload and opcode arrive, at every length, compressed or not."""
        whole = payload * repeat
        body = deflate_message(whole) if compressed else whole
        received = self._received(server_frame(body, opcode, compressed), compressed)
        assert (bytes(received.data), int(received.opcode), received.fin) == (whole, opcode, True)
