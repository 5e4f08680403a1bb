"""The JSON encoding: one message a line, payloads embedded and passed on byte for byte.

Checks everything that it embeds, so that no publisher can break or forge the line of
somebody else. Knows nothing of what the messages mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
import orjson
from msgspec import Raw, Struct

from hub.protocol.codec import InvalidJSONPayload, MalformedFrame, TooManyCommands
from hub.protocol.messages import NO_DATA, Command, Reply
from hub.protocol.shapes import Kind, fields_of

_NULL = Raw(b"null")
_MAX_NULL_DEPTH = 32
"""How deep messages may nest where nulls have to be dropped: each level is parsed again."""

_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
"""Any escape of a JSON string: a whole surrogate pair, half of one, or another."""

_encoder = msgspec.json.Encoder()
_command_decoder = msgspec.json.Decoder(Command)
_reply_decoder = msgspec.json.Decoder(Reply)
_object_decoder = msgspec.json.Decoder(dict[str, Raw])
_array_decoder = msgspec.json.Decoder(list[Raw])

PayloadCheck = Callable[[Any], None]


class JSONCodec:
    """The default codec of WebSocket clients. See :class:`hub.protocol.codec.Codec` for its promises."""

    name: Literal["json", "protobuf"] = "json"
    subprotocol = "centrifuge-json"
    opcode = 1
    ping = b"{}"

    def decode(self, frame: bytes, max_commands: int) -> list[Command]:
        lines = frame.removesuffix(b"\n").split(b"\n", max_commands)
        if len(lines) > max_commands:
            raise TooManyCommands(f"more than {max_commands} commands in one frame")
        try:
            return [_command(line) for line in lines]
        except (ValueError, msgspec.MsgspecError, RecursionError):
            raise MalformedFrame("not a sequence of JSON commands, one a line") from None

    def encode(self, reply: Reply) -> bytes:
        _check_reply(reply)
        return _finished(_encoder.encode(reply))

    def join(self, replies: Sequence[bytes]) -> bytes:
        return b"\n".join(replies)

    def encode_command(self, command: Command) -> bytes:
        """One command as a client sends it, ready for :meth:`join`.

        Raises:
            InvalidJSONPayload: when an embedded payload is not valid JSON.
        """
        _check_command(command)
        return _finished(_encoder.encode(command))

    def decode_replies(self, frame: bytes) -> list[Reply]:
        """Every reply of a frame that a hub sent, in order.

        Raises:
            MalformedFrame: for anything that is not whole, valid replies.
        """
        try:
            return [_reply_decoder.decode(line) for line in frame.removesuffix(b"\n").split(b"\n")]
        except (ValueError, msgspec.MsgspecError, RecursionError):
            raise MalformedFrame("not a sequence of JSON replies, one a line") from None


def _command(line: bytes) -> Command:
    # msgspec skips what it need not read, bad UTF-8 and infinite numbers included. The parser that
    # judges payloads on their way out judges the whole line here: what one client may send,
    # every other can be sent.
    try:
        orjson.loads(line)
    except ValueError:
        line = _whole_characters(line)
        orjson.loads(line)
    try:
        command = _command_decoder.decode(line)
    except msgspec.ValidationError:
        return _command_decoder.decode(_without_nulls(line, Command, depth=0))
    if b"null" in line:
        _drop_null_payloads(command)
    return command


def _whole_characters(text: bytes) -> bytes:
    r"""``text`` with U+FFFD for every ``\uD8xx`` that lacks its other half.

    Phones write such halves when an app cuts a text inside an emoji. JSON leaves open what they
    mean (RFC 8259, section 8.2); ending a connection over one, or all its listeners', is no answer.
    """
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape["half"] else escape[0], text)


def _drop_null_payloads(command: Command) -> None:
    for request in (command.connect, command.subscribe, command.publish, command.rpc, command.send):
        if request is not None and request.data == _NULL:
            request.data = NO_DATA
    if command.connect is not None:
        for subscription in command.connect.subs.values():
            if subscription.data == _NULL:
                subscription.data = NO_DATA


def _without_nulls(text: bytes | Raw, message: type[Struct], depth: int) -> bytes:
    """The message again without its null fields and map entries. Payloads stay as they are."""
    if depth > _MAX_NULL_DEPTH:
        raise msgspec.ValidationError("nested too deep")
    kept = {name: value for name, value in _object_decoder.decode(text).items() if value != _NULL}
    for field in fields_of(message):
        value = kept.get(field.name)
        if value is None:
            continue
        match field.kind:
            case Kind.MESSAGE:
                kept[field.name] = Raw(_without_nulls(value, field.nested, depth + 1))
            case Kind.MESSAGE_LIST:
                items = [
                    Raw(_without_nulls(item, field.nested, depth + 1))
                    for item in _array_decoder.decode(value)
                ]
                kept[field.name] = Raw(_encoder.encode(items))
            case Kind.MESSAGE_MAP:
                entries = {
                    key: Raw(_without_nulls(entry, field.nested, depth + 1))
                    for key, entry in _object_decoder.decode(value).items()
                    if entry != _NULL
                }
                kept[field.name] = Raw(_encoder.encode(entries))
            case Kind.TEXT_MAP:
                texts = {key: text for key, text in _object_decoder.decode(value).items() if text != _NULL}
                kept[field.name] = Raw(_encoder.encode(texts))
            case _:
                pass
    return _encoder.encode(kept)


def _finished(encoded: bytes) -> bytes:
    # Strings escape their line breaks, so a raw one stands between tokens of an embedded payload.
    if b"\n" in encoded:
        encoded = encoded.replace(b"\n", b"")
    if b"\r" in encoded:
        encoded = encoded.replace(b"\r", b"")
    if b"\\" in encoded and (b"\\ud" in encoded or b"\\uD" in encoded):
        encoded = _whole_characters(encoded)
    return encoded


def is_json(payload: Raw) -> bool:
    """Whether ``payload`` may stand in a JSON message; none at all may."""
    if payload is NO_DATA:
        return True
    try:
        _check_payload(payload)
    except InvalidJSONPayload:
        return False
    return True


def _check_payload(payload: Raw) -> None:
    # Each by itself, never the whole line: `1,"offset":9` would fit into a line and lie there.
    text = bytes(payload)
    try:
        orjson.loads(text)
    except ValueError:
        _check_mended(text)


def _check_mended(text: bytes) -> None:
    try:
        orjson.loads(_whole_characters(text))
    except ValueError:
        raise InvalidJSONPayload("a payload is not valid JSON") from None


def _compile_check(
    message: type[Struct], known: dict[type[Struct], PayloadCheck | None]
) -> PayloadCheck | None:
    """A function that checks every payload inside a message; None when it can hold none."""
    if message in known:
        return known[message]
    known[message] = None  # a message that holds itself: the filter's nodes, free of payloads
    payloads = tuple(field.name for field in fields_of(message) if field.kind is Kind.PAYLOAD)
    nested: list[tuple[str, PayloadCheck]] = []
    for field in fields_of(message):
        inner = None if field.message is None else _compile_check(field.message, known)
        if inner is not None:
            nested.append((field.name, _over_values(inner, field.kind)))

    def check(value: Any) -> None:
        for name in payloads:
            payload = getattr(value, name)
            if payload:
                _check_payload(payload)
            elif payload is not NO_DATA:
                setattr(value, name, NO_DATA)  # the encoder leaves out only the default itself
        for name, check_nested in nested:
            inner_value = getattr(value, name)
            if inner_value:
                check_nested(inner_value)

    known[message] = check if payloads or nested else None
    return known[message]


def _over_values(check: PayloadCheck, kind: Kind) -> PayloadCheck:
    def check_list(values: list[Any]) -> None:
        for value in values:
            check(value)

    def check_map(values: dict[str, Any]) -> None:
        for value in values.values():
            check(value)

    if kind is Kind.MESSAGE_LIST:
        return check_list
    return check_map if kind is Kind.MESSAGE_MAP else check


def _check_for(message: type[Struct]) -> PayloadCheck:
    check = _compile_check(message, {})
    assert check is not None, f"{message.__name__} carries payloads"
    return check


_check_reply = _check_for(Reply)
_check_command = _check_for(Command)
