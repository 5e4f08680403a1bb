"""How a publication looks inside Redis, and how nodes tell each other what happened in a channel.

An envelope is what the publisher gave, as MessagePack: it lies in the stream and travels
in the message unchanged. Offset, epoch and time stand beside it in plain text, because a
script writes them. Knows no key, no connection and no stream.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from hub.model import ClientInfo, Position, Publication

PUBLICATION = b"p\n"
JOIN = b"j\n"
LEAVE = b"l\n"
"""First bytes of a message, which say what the rest of it is."""

Message: TypeAlias = "tuple[Publication, Position | None] | ClientInfo"
"""A publication with its position, or somebody who joined or left."""


class MalformedMessage(ValueError):
    """Bytes that no hub wrote. The text says what is wrong and quotes nothing of them."""


class _Info(msgspec.Struct, array_like=True, frozen=True, gc=False):
    user: str
    client: str
    conn_info: bytes | None = None
    chan_info: bytes | None = None


class _Envelope(msgspec.Struct, array_like=True, frozen=True, gc=False):
    # Arrays name no fields: a later schema may only add at the end, with a default.
    data: bytes
    info: _Info | None = None
    tags: dict[str, str] | None = None
    delta: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode_envelope = msgspec.msgpack.Decoder(_Envelope).decode
_decode_info = msgspec.msgpack.Decoder(_Info).decode


def _pack_info(info: ClientInfo) -> _Info:
    return _Info(info.user, info.client, info.conn_info, info.chan_info)


def _unpack_info(info: _Info) -> ClientInfo:
    return ClientInfo(info.user, info.client, info.conn_info, info.chan_info)


def encode_publication(publication: Publication) -> bytes:
    """The envelope: everything but offset and time, which the engine gives."""
    info = None if publication.info is None else _pack_info(publication.info)
    tags = None if publication.tags is None else dict(publication.tags)
    return _encode(_Envelope(publication.data, info, tags, publication.delta))


def decode_publication(envelope: bytes, offset: int, time_ms: int) -> Publication:
    """The publication of an envelope that was stored or sent under ``offset`` at ``time_ms``.

    Raises:
        MalformedMessage: if it is none.
    """
    try:
        packed = _decode_envelope(envelope)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedMessage("the envelope of a publication cannot be read") from error
    info = None if packed.info is None else _unpack_info(packed.info)
    return Publication(packed.data, offset, info, packed.tags, time_ms, packed.delta)


def decode_entry(entry: bytes, offset: int) -> Publication:
    """The publication of an entry of a stream, which begins with its time and its life.

    Raises:
        MalformedMessage: if it is none.
    """
    head, _, packed = entry.partition(b"\n")
    try:
        time_ms = int(head.partition(b" ")[0])
    except ValueError as error:
        raise MalformedMessage("the head of an entry cannot be read") from error
    return decode_publication(packed, offset, time_ms)


def publication_message(envelope: bytes, time_ms: int) -> bytes:
    """The message of a publication without a place in a stream; those with one are written by the script."""
    return b"p\n0\n\n%d\n%b" % (time_ms, envelope)


def join_message(info: ClientInfo) -> bytes:
    """The message that says somebody joined."""
    return JOIN + _encode(_pack_info(info))


def leave_message(info: ClientInfo) -> bytes:
    """The message that says somebody left."""
    return LEAVE + _encode(_pack_info(info))


def parse_publication(message: bytes) -> tuple[Publication, Position | None]:
    """Take a message apart that begins with :data:`PUBLICATION`.

    Raises:
        MalformedMessage: if it cannot be read.
    """
    try:
        _, offset_text, epoch, time_text, envelope = message.split(b"\n", 4)
        offset, time_ms = int(offset_text), int(time_text)
        position = Position(offset, epoch.decode("ascii")) if epoch else None
    except ValueError as error:
        raise MalformedMessage("the head of a publication cannot be read") from error
    return decode_publication(envelope, offset, time_ms), position


def parse_info(message: bytes) -> ClientInfo:
    """Take a message apart that begins with :data:`JOIN` or :data:`LEAVE`.

    Raises:
        MalformedMessage: if it cannot be read.
    """
    try:
        return _unpack_info(_decode_info(message[2:]))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedMessage("who joined or left cannot be read") from error
