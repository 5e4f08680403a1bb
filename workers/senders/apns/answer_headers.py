"""HPACK for answers that are alike: text that was unpacked before is not unpacked again.

Unpacking Huffman codes in Python is the dearest single thing about an answer, and all of it but its id is
what the answer before it said. What is overridden here is not public in ``hpack``: the versions are pinned.
"""

from __future__ import annotations

from typing import Any, Final

from hpack.exceptions import HPACKDecodingError
from hpack.hpack import Decoder, decode_integer
from hpack.huffman_table import decode_huffman
from hpack.struct import HeaderTuple, NeverIndexedHeaderTuple

_MOST_KNOWN: Final = 512
_LONGEST_KNOWN: Final = 64


class AnswerDecoder(Decoder):
    """Decodes as its base does, and remembers what short texts were."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[bytes, bytes] = {}

    def _decode_literal(self, data: bytes | memoryview, should_index: bool) -> tuple[HeaderTuple, int]:
        """One field that is not in the table (RFC 7541, 6.2), and how many bytes it took."""
        block = bytes(data)
        bits = 6 if should_index else 4
        if block[0] & ((1 << bits) - 1):
            index, at = decode_integer(block, bits)
            name: bytes = self.header_table.get_by_index(index)[0]
        else:
            name, at = self._text(block, 1)
        value, at = self._text(block, at)
        if should_index:
            self.header_table.add(name, value)
        elif block[0] & 0x10:
            return NeverIndexedHeaderTuple(name, value), at
        return HeaderTuple(name, value), at

    def _text(self, block: bytes, at: int) -> tuple[bytes, int]:
        """A text (RFC 7541, 5.2) and where it ends."""
        try:
            length = block[at] & 0x7F
            start = at + 1
            if length == 0x7F:
                length, consumed = decode_integer(block[at:], 7)
                start = at + consumed
        except IndexError:
            raise HPACKDecodingError("a header block ends too early") from None
        end = start + length
        text = block[start:end]
        if len(text) != length:
            raise HPACKDecodingError("a header block ends too early")
        return (self._unpacked(text) if block[at] & 0x80 else text), end

    def _unpacked(self, text: bytes) -> bytes:
        known = self._known.get(text)
        if known is not None:
            return known
        unpacked: Any = decode_huffman(text)
        if len(text) <= _LONGEST_KNOWN:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[text] = unpacked
        return bytes(unpacked)
