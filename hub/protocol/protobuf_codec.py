"""The Protobuf encoding: every message behind its own length, payloads as raw bytes.

Frames only; what is inside a message is the reader's and the writer's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from hub.protocol.codec import MalformedFrame, TooManyCommands
from hub.protocol.messages import Command, Reply
from hub.protocol.protobuf_reader import Reader, read_varint, reader_for
from hub.protocol.protobuf_writer import varint, writer_for

_read_command = reader_for(Command)
_read_reply = reader_for(Reply)
_write_command = writer_for(Command)
_write_reply = writer_for(Reply)


class ProtobufCodec:
    """The codec of the native SDKs. See :class:`hub.protocol.codec.Codec` for its promises."""

    name: Literal["json", "protobuf"] = "protobuf"
    subprotocol = "centrifuge-protobuf"
    opcode = 2
    ping = b"\x00"

    def decode(self, frame: bytes, max_commands: int) -> list[Command]:
        return _messages(frame, _read_command, max_commands)

    def encode(self, reply: Reply) -> bytes:
        return _prefixed(_write_reply(reply))

    def join(self, replies: Sequence[bytes]) -> bytes:
        return b"".join(replies)

    def encode_command(self, command: Command) -> bytes:
        """One command as a client sends it, ready for :meth:`join`."""
        return _prefixed(_write_command(command))

    def decode_replies(self, frame: bytes) -> list[Reply]:
        """Every reply of a frame that a hub sent, in order.

        Raises:
            MalformedFrame: for anything that is not whole, valid replies.
        """
        return _messages(frame, _read_reply, max_count=len(frame))


def _prefixed(message: bytearray) -> bytes:
    return varint(len(message)) + message


def _messages(frame: bytes, read: Reader, max_count: int) -> list[Any]:
    if not frame:
        raise MalformedFrame("empty frame")
    messages: list[Any] = []
    at, end = 0, len(frame)
    try:
        while at < end:
            if len(messages) == max_count:
                raise TooManyCommands(f"more than {max_count} messages in one frame")
            length, at = read_varint(frame, at)
            start, at = at, at + length
            if at > end:
                raise MalformedFrame("the frame ends inside a message")
            messages.append(read(frame, start, at, 0, None))
    except (ValueError, IndexError, RecursionError):
        raise MalformedFrame("not a sequence of Protobuf messages") from None
    return messages
