"""How a publication looks on the wire for a kind of reader, encoded once and shared by all of that kind.

Knows codecs and frames, no connection and no channel state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from msgspec import Raw

from hub.fanout.patches import PatchCache
from hub.model import ClientInfo, Publication
from hub.protocol.codec import Codec
from hub.protocol.framing import deflate_message, server_frame
from hub.protocol.messages import (
    NO_DATA,
    ClientInfoMessage,
    Join,
    Leave,
    PublicationMessage,
    Push,
    Reply,
)

COMPRESS_FROM_BYTES = 256
"""Below this size deflate costs more CPU than it saves bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """One way to put replies into WebSocket frames. One shared object per kind, compared by identity."""

    codec: Codec
    compressed: bool

    @property
    def ping_frame(self) -> bytes:
        """The whole frame of a server ping."""
        return self.frame(self.codec.ping)

    def frame(self, payload: bytes) -> bytes:
        """The whole frame that carries ``payload``."""
        if self.compressed and len(payload) >= COMPRESS_FROM_BYTES:
            return server_frame(deflate_message(payload), self.codec.opcode, compressed=True)
        return server_frame(payload, self.codec.opcode)

    def frame_of(self, reply: Reply) -> bytes:
        """The whole frame that carries one reply.

        Raises:
            InvalidJSONPayload: when a payload that is not JSON was to go to a JSON client.
        """
        return self.frame(self.codec.encode(reply))


def info_message(info: ClientInfo) -> ClientInfoMessage:
    """``info`` as the wire carries it."""
    return ClientInfoMessage(
        user=info.user,
        client=info.client,
        conn_info=Raw(info.conn_info) if info.conn_info else NO_DATA,
        chan_info=Raw(info.chan_info) if info.chan_info else NO_DATA,
    )


def publication_message(publication: Publication) -> PublicationMessage:
    """``publication`` as the wire carries it, whole."""
    return PublicationMessage(
        data=Raw(publication.data),
        info=info_message(publication.info) if publication.info is not None else None,
        offset=publication.offset,
        tags=dict(publication.tags) if publication.tags else {},
        time=publication.time_ms,
    )


def delta_message(publication: Publication, patch: bytes | None, codec: Codec) -> PublicationMessage:
    """``publication`` for a subscription that agreed on delta: the patch, or whole where there is none.

    For JSON the data becomes a JSON string of the exact text, patch or document, since a
    patch is computed over bytes and a re-parsed document may differ from them.
    """
    message = publication_message(publication)
    if codec.name == "protobuf":
        message.delta = patch is not None
        message.data = Raw(publication.data if patch is None else patch)
        return message
    # A patch may cut a character in two; it is then no text, and the whole document goes out.
    text = None if patch is None else _as_json_string(patch)
    message.delta = text is not None
    if text is None:
        text = _as_json_string(publication.data)
    if text is not None:
        message.data = Raw(text)
    # Otherwise the document is not text, hence not JSON: left as it is, for the codec to refuse.
    return message


def delta_chain(
    channel: str, epoch: str, publications: Sequence[Publication], codec: Codec, patches: PatchCache
) -> list[PublicationMessage]:
    """Recovered publications for a delta subscription: the first whole, the others as patches in a chain."""
    messages: list[PublicationMessage] = []
    base: Publication | None = None
    for publication in publications:
        patch = None if base is None else patches.between(channel, epoch, base, publication)
        messages.append(delta_message(publication, patch, codec))
        base = publication
    return messages


def _as_json_string(data: bytes) -> bytes | None:
    try:
        return orjson.dumps(data.decode())
    except UnicodeDecodeError:
        return None


def push_publication(channel: str, message: PublicationMessage) -> Reply:
    """The push that brings ``message``."""
    return Reply(push=Push(channel=channel, pub=message))


def push_join(channel: str, info: ClientInfo) -> Reply:
    """The push that says somebody came."""
    return Reply(push=Push(channel=channel, join=Join(info=info_message(info))))


def push_leave(channel: str, info: ClientInfo) -> Reply:
    """The push that says somebody left."""
    return Reply(push=Push(channel=channel, leave=Leave(info=info_message(info))))
