"""A WebSocket client with nothing between the test and the bytes, so that it can break every rule."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""The key of RFC 6455, section 1.3."""
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""What a server must answer to it."""
_MASK = b"\x01\x02\x03\x04"
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def upgrade_request(
    path: str = "/connection/websocket", headers: Mapping[str, str | None] | None = None, method: str = "GET"
) -> bytes:
    """A valid upgrade request; ``headers`` adds to it, replaces, or with None takes away."""
    wanted: dict[str, str | None] = {
        "Host": "hub.example.com",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
        **(headers or {}),
    }
    lines = [
        f"{method} {path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in wanted.items() if value is not None),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def client_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = True
) -> bytes:
    """One frame as a client sends it (RFC 6455, section 5.2)."""
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    mask_bit = 0x80 if masked else 0
    if len(payload) < 126:
        head = bytes((first, mask_bit | len(payload)))
    elif len(payload) < 1 << 16:
        head = struct.pack("!BBH", first, mask_bit | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, len(payload))
    if not masked:
        return head + payload
    return head + _MASK + bytes(byte ^ _MASK[index % 4] for index, byte in enumerate(payload))


def close_payload(code: int, reason: str = "") -> bytes:
    """The payload of a close frame."""
    return struct.pack("!H", code) + reason.encode()


class RawClient:
    """One TCP connection. ``async with await RawClient.connect(...) as client``; each wait is bounded."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(
        cls,
        address: tuple[str, int],
        *,
        tls: ssl.SSLContext | None = None,
        receive_buffer_bytes: int | None = None,
    ) -> Self:
        """Connect; a small ``receive_buffer_bytes`` makes the peer feel early that nobody reads."""
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        if receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(sock, address)
        except OSError:
            sock.close()
            raise
        limit = 1 << 16 if receive_buffer_bytes is None else receive_buffer_bytes
        hostname = "localhost" if tls is not None else None
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=tls, server_hostname=hostname, limit=limit
        )
        return cls(reader, writer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def send(self, *parts: bytes) -> None:
        """Send bytes as one write."""
        self._writer.write(b"".join(parts))

    async def send_one_by_one(self, data: bytes) -> None:
        """Send each byte by itself, letting the other side read between them."""
        for index in range(len(data)):
            self._writer.write(data[index : index + 1])
            await asyncio.sleep(0)

    def half_close(self) -> None:
        """Send the end of the stream and go on reading."""
        self._writer.write_eof()

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def pause(self) -> None:
        """Read nothing more from the socket."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    def resume(self) -> None:
        """Read again."""
        self._writer.transport.resume_reading()  # type: ignore[attr-defined]

    async def upgrade(
        self, path: str = "/connection/websocket", headers: Mapping[str, str | None] | None = None
    ) -> Response:
        """Send an upgrade request and read the answer's head; fails the test on anything but 101."""
        self.send(upgrade_request(path, headers))
        response = await self.read_response()
        assert response.status == 101, response
        return response

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Response:
        """A plain GET on this connection, which stays open."""
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: hub.example.com",
            *(f"{k}: {v}" for k, v in (headers or {}).items()),
        ]
        self.send("\r\n".join([*lines, "", ""]).encode())
        return await self.read_response()

    async def read_response(self) -> Response:
        """The next HTTP response, with the body that its Content-Length tells."""
        async with asyncio.timeout(_TIMEOUT_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
            return Response(int(first.split(" ")[1]), headers, body)

    async def read_frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        async with asyncio.timeout(_TIMEOUT_S):
            first, second = await self._reader.readexactly(2)
            assert not second & 0x80, "a server must not mask (RFC 6455, 5.1)"
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack("!H", await self._reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", await self._reader.readexactly(8))
            return first & 0x0F, await self._reader.readexactly(length)

    async def read_close(self) -> tuple[int, str]:
        """Code and reason of the close frame that comes next."""
        opcode, payload = await self.read_frame()
        assert opcode == CLOSE, (opcode, payload[:80])
        return struct.unpack("!H", payload[:2])[0], payload[2:].decode()

    async def read_some(self, most_bytes: int = 65_536) -> bytes:
        """What has come, or comes next; nothing at the end of the stream."""
        async with asyncio.timeout(_TIMEOUT_S):
            return await self._reader.read(most_bytes)

    async def read_to_end(self, timeout_s: float = _TIMEOUT_S) -> bytes:
        """Everything until the peer ends the stream, in whatever way."""
        received = bytearray()
        async with asyncio.timeout(timeout_s):
            with contextlib.suppress(ConnectionError):
                while chunk := await self._reader.read(65536):
                    received += chunk
        return bytes(received)
