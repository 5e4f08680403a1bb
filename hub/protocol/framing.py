"""WebSocket frames as the server sends them, built once and shared by every receiver.

Complete, unmasked, never fragmented (RFC 6455, section 5). Knows no connection; whether a
peer agreed to compression is its caller's to know.
"""

from __future__ import annotations

import zlib

_FIN = 0x80
_RSV1 = 0x40
_LENGTH_IN_16_BITS = 126
_LENGTH_IN_64_BITS = 127
_FLUSH_TAIL = b"\x00\x00\xff\xff"

NATIVE_PING_FRAME = b"\x89\x00"
"""A WebSocket ping, for clients that asked for these instead of the protocol's own."""


def server_frame(payload: bytes, opcode: int, compressed: bool = False) -> bytes:
    """One final frame with ``payload``; ``compressed`` when :func:`deflate_message` made it (RFC 7692)."""
    first = _FIN | opcode | (_RSV1 if compressed else 0)
    length = len(payload)
    if length < _LENGTH_IN_16_BITS:
        return bytes((first, length)) + payload
    if length < 1 << 16:
        return bytes((first, _LENGTH_IN_16_BITS)) + length.to_bytes(2, "big") + payload
    return bytes((first, _LENGTH_IN_64_BITS)) + length.to_bytes(8, "big") + payload


def deflate_message(payload: bytes) -> bytes:
    """``payload`` compressed by itself, for any peer without context takeover (RFC 7692, section 7.2.1).

    The window is the full 32 KiB, so a peer that asked for a smaller one must be refused it.
    """
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_FLUSH_TAIL)
