"""The wire without a socket: messages, the two codecs, deltas, and WebSocket frames.

This is the room's door. The messages themselves are in :mod:`hub.protocol.messages`.
"""

from __future__ import annotations

from hub.protocol.codec import Codec, InvalidJSONPayload, MalformedFrame
from hub.protocol.fossil import apply_delta, create_delta
from hub.protocol.framing import NATIVE_PING_FRAME, deflate_message, server_frame
from hub.protocol.json_codec import JSONCodec, is_json
from hub.protocol.messages import NO_DATA, Command, Reply, Request, request_of
from hub.protocol.protobuf_codec import ProtobufCodec

__all__ = [
    "NATIVE_PING_FRAME",
    "NO_DATA",
    "Codec",
    "Command",
    "InvalidJSONPayload",
    "JSONCodec",
    "MalformedFrame",
    "ProtobufCodec",
    "Reply",
    "Request",
    "apply_delta",
    "create_delta",
    "deflate_message",
    "is_json",
    "request_of",
    "server_frame",
]
