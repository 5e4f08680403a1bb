"""A link over a transport in memory: whatever arrives, in whatever pieces, its promises hold."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from hub.metrics import NopMetrics
from hub.transport.peer import TrustedProxies
from hub.transport.state import TransportState
from hub.transport.websocket import WebSocketLink, open_link
from tests.support.echo import EchoAcceptor
from tests.support.hub_server import transport_options
from tests.support.raw_client import BINARY, CONTINUATION, PING, PONG, client_frame, upgrade_request


class MemoryTransport(asyncio.Transport):
    """Remembers what is written; ends like a real one, in the next turn of the loop.

    Unrealistic in that it is always writable and delivers everything at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.reads = asyncio.Event()
        self.reads.set()
        self.protocol: Any = None
        self._closing = False
        self._eof_written = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self._eof_written, "a write behind the end of the stream"
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._eof_written = True

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.reads.clear()

    def resume_reading(self) -> None:
        self.reads.set()

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    close = abort


def open_in_memory(acceptor: EchoAcceptor) -> MemoryTransport:
    transport = MemoryTransport()
    state = TransportState(transport_options(), acceptor, NopMetrics(), ServerState())
    open_link(state, transport, upgrade_request(), b"", TrustedProxies().peer("192.0.2.7", 1))
    assert isinstance(transport.protocol, WebSocketLink)
    return transport


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges) if start < end]


messages = st.lists(
    st.tuples(st.lists(st.binary(max_size=40), min_size=1, max_size=4), st.booleans()), max_size=20
)
cuts = st.lists(st.integers(0, 1 << 20), max_size=20)


@given(messages, cuts, st.integers(1, 5))
@settings(deadline=None)
def test_messages_arrive_whole_once_and_in_order(
    sent: list[tuple[list[bytes], bool]], where: list[int], pause_every: int
) -> None:
    """Fragmented, with control frames between, cut anywhere, and with pauses at any message."""
    data = b""
    for fragments, with_ping in sent:
        for index, fragment in enumerate(fragments):
            last = index == len(fragments) - 1
            data += client_frame(CONTINUATION if index else BINARY, fragment, fin=last)
            data += client_frame(PING, b"p") + client_frame(PONG) if with_ping else b""

    async def scenario() -> None:
        acceptor = EchoAcceptor()
        transport = open_in_memory(acceptor)
        connection = acceptor.only
        loop = asyncio.get_running_loop()

        def pause_sometimes(payload: bytes) -> None:
            if len(connection.frames) % pause_every == 0:
                connection.link.pause_reading()
                loop.call_soon(connection.link.resume_reading)

        connection.on_message = pause_sometimes
        for piece in pieces(data, where):
            await transport.reads.wait()
            transport.protocol.data_received(piece)
        await transport.reads.wait()
        assert connection.frames == [b"".join(fragments) for fragments, _ in sent]
        control_frames = sum(len(fragments) for fragments, with_ping in sent if with_ping)
        assert connection.pong_count == control_frames
        assert transport.written.count(b"\x8a\x01p") == control_frames
        connection.link.abort()
        await asyncio.sleep(0)
        assert connection.lost_count == 1

    asyncio.run(scenario())


@given(st.binary(max_size=400), cuts)
@settings(deadline=None)
def test_garbage_never_raises_and_the_end_is_told_once(garbage: bytes, where: list[int]) -> None:
    """After it, too, the link can be closed, and nothing is written behind the end of the stream."""

    async def scenario() -> None:
        acceptor = EchoAcceptor()
        transport = open_in_memory(acceptor)
        for piece in pieces(garbage, where):
            transport.protocol.data_received(piece)
        link = acceptor.only.link
        link.write(b"late")
        link.close(3000, "enough")
        transport.protocol.eof_received()
        transport.abort()
        await asyncio.sleep(0)
        assert acceptor.only.lost_count == 1
        link.write(b"later")
        link.close(3000, "enough")
        link.pause_reading()
        link.resume_reading()

    asyncio.run(scenario())
