"""Frames as the server sends them (RFC 6455, section 5.2; RFC 7692, section 7.2)."""

from __future__ import annotations

import zlib

import pytest

from hub.protocol.framing import deflate_message, server_frame


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, "8100"),
        (125, "817d"),
        (126, "817e007e"),
        (65_535, "817effff"),
        (65_536, "817f0000000000010000"),
    ],
)
def test_headers_by_length(length: int, header: str) -> None:
    """Each of the three forms of the length is used where it is the shortest."""
    payload = b"x" * length
    assert server_frame(payload, 1) == bytes.fromhex(header) + payload


def test_opcode_and_compression_bit() -> None:
    """The first byte says final, the opcode, and RSV1 for a compressed payload."""
    assert server_frame(b"", 2)[0] == 0x82
    assert server_frame(b"", 1, compressed=True)[0] == 0xC1


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"push":{}}' * 1000, bytes(range(256))])
def test_a_deflated_message_inflates_by_itself(payload: bytes) -> None:
    """With the flush marker put back, a fresh window gives the payload."""
    compressed = deflate_message(payload)
    assert not compressed.endswith(b"\x00\x00\xff\xff")
    assert zlib.decompressobj(wbits=-15).decompress(compressed + b"\x00\x00\xff\xff") == payload


def test_the_example_of_the_standard() -> None:
    """RFC 7692, section 7.2.3.1: the text Hello as one compressed frame."""
    assert server_frame(deflate_message(b"Hello"), 1, compressed=True).hex() == "c107f248cdc9c90700"
