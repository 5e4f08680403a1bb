"""HTTP/2 as this sender needs it: the ``h2`` library with three of its habits changed.

It goes on after GOAWAY, because what was accepted before is still answered. It compresses headers as the
provider advises, without Huffman coding and without looking at every header twice, which is a third of what a
push costs. And it does not walk over all open streams to open one more. Knows no push.

What is overridden here is not public in ``h2``: the versions are pinned, and a test says what moved.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings
from hpack.hpack import Encoder, encode_integer

from workers.senders.apns.answer_headers import AnswerDecoder

HeaderPairs = list[tuple[bytes, bytes]]

MAX_HEADER_LIST_BYTES: Final = 16_384


def _literal(name: bytes) -> bytes:
    """A field with its name spelled out, not to be remembered by the peer (RFC 7541, 6.2.2)."""
    return b"\x00" + bytes(encode_integer(len(name), 7)) + name


_NOT_INDEXED: Final[dict[bytes, bytes]] = {
    # Never indexed (RFC 7541, 6.2.3): both are secrets. 4 and 23 are their names in the static table.
    b":path": bytes([0x14]),
    b"authorization": bytes([0x1F, 23 - 15]),
    b"apns-id": _literal(b"apns-id"),
    b"apns-collapse-id": _literal(b"apns-collapse-id"),
    b"apns-expiration": _literal(b"apns-expiration"),
}
"""Fields that differ from push to push, or that nobody should keep; all others are indexed."""

_SHORT_LENGTHS: Final = [bytes(encode_integer(length, 7)) for length in range(256)]


class RequestEncoder(Encoder):
    """HPACK for requests that are alike: what repeats is one byte, what does not is copied as it is."""

    def __init__(self) -> None:
        super().__init__()
        self._one_byte: dict[tuple[bytes, bytes], bytes] = {}

    def encode(self, headers: Iterable[Any], huffman: bool = False) -> bytes:
        """The header block. Names are lower case and values are bytes that may stand in a header."""
        parts: list[bytes] = []
        if self.header_table.resized:
            parts.append(self._encode_table_size_change())
            self.header_table.resized = False
            self._one_byte.clear()
        for header in headers:
            name, value = header
            start = _NOT_INDEXED.get(name)
            if start is not None:
                size = len(value)
                length = _SHORT_LENGTHS[size] if size < 256 else bytes(encode_integer(size, 7))
                parts += (start, length, value)
                continue
            known = self._one_byte.get(header)
            parts.append(known if known is not None else self._indexed(name, value))
        return b"".join(parts)

    def _indexed(self, name: bytes, value: bytes) -> bytes:
        match = self.header_table.search(name, value)
        encoded = self.add((name, value), sensitive=False, huffman=False)
        if match is not None and match[2] is not None:
            self._one_byte[name, value] = encoded
        else:
            # One more entry in front: all others have another index now.
            self._one_byte.clear()
        return encoded


class Wire(H2Connection):
    """One HTTP/2 connection from the client's side. The owner calls :meth:`forget` for each ended stream."""

    def __init__(self) -> None:
        super().__init__(
            H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
            )
        )
        self.encoder = RequestEncoder()
        self.decoder = AnswerDecoder()
        self.decoder.max_header_list_size = MAX_HEADER_LIST_BYTES
        # As a whole, because assigning single values only queues a change for a second SETTINGS frame.
        self.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST_BYTES,
            },
        )

    @property
    def open_outbound_streams(self) -> int:
        """Streams that are under way, counted and not searched for."""
        return len(self.streams)

    def forget(self, stream_id: int) -> None:
        """The stream is over. Frames that still come for it are put down to how it ended."""
        stream = self.streams.pop(stream_id, None)
        if stream is not None:
            self._closed_streams[stream_id] = stream.closed_by

    def _receive_goaway_frame(self, frame: Any) -> Any:
        """Note the peer's GOAWAY without closing.

        ``h2`` would refuse every further frame and throw away what waits to be sent; but streams up to
        the announced one are served to their end (RFC 9113, 6.8).
        """
        state, waiting = self.state_machine.state, self._data_to_send
        answer = super()._receive_goaway_frame(frame)
        self.state_machine.state, self._data_to_send = state, waiting
        return answer
