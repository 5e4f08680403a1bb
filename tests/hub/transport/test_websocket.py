"""A live WebSocket, seen from a raw socket: frames in and out, closing, bad input, back-pressure."""

from __future__ import annotations

import asyncio
import struct
import zlib

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from hub.connection.link import Refused
from hub.protocol import NATIVE_PING_FRAME, server_frame
from tests.support.echo import EchoConnection
from tests.support.hub_server import Served, serving
from tests.support.raw_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RawClient,
    client_frame,
    close_payload,
    upgrade_request,
)
from tests.support.waiting import eventually


async def upgraded(served: Served, **connect_arguments: int) -> RawClient:
    client = await RawClient.connect(served.address, **connect_arguments)
    await client.upgrade()
    return client


class TestMessages:
    """Frames that keep the rules."""

    async def test_text_and_binary_are_both_given_as_bytes(self) -> None:
        """The codec decides what a message is, not the opcode."""
        async with serving() as served, await upgraded(served) as client:
            client.send(client_frame(TEXT, b"one"), client_frame(BINARY, b"\xfftwo"))
            assert await client.read_frame() == (TEXT, b"one")
            assert await client.read_frame() == (TEXT, b"\xfftwo")
            assert served.acceptor.only.frames == [b"one", b"\xfftwo"]

    async def test_one_byte_at_a_time(self) -> None:
        """TCP may cut anywhere, the handshake and the frames."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            await client.send_one_by_one(upgrade_request())
            assert (await client.read_response()).status == 101
            await client.send_one_by_one(client_frame(TEXT, b"slowly"))
            assert await client.read_frame() == (TEXT, b"slowly")

    async def test_fragments_are_joined_with_control_frames_between(self) -> None:
        """RFC 6455, section 5.4."""
        async with serving() as served, await upgraded(served) as client:
            client.send(
                client_frame(TEXT, b"a", fin=False),
                client_frame(PING, b"now"),
                client_frame(CONTINUATION, b"", fin=False),
                client_frame(CONTINUATION, b"b"),
            )
            frames = [await client.read_frame(), await client.read_frame()]
            assert sorted(frames) == [(TEXT, b"ab"), (PONG, b"now")]

    async def test_a_long_message_in_one_byte_fragments(self) -> None:
        """As long as the limit allows, however it is cut."""
        async with serving(max_message_bytes=3000) as served, await upgraded(served) as client:
            client.send(
                client_frame(TEXT, b"x", fin=False),
                client_frame(CONTINUATION, b"x", fin=False) * 2998,
                client_frame(CONTINUATION, b"x"),
            )
            assert await client.read_frame() == (TEXT, b"x" * 3000)

    async def test_first_frames_sent_with_the_request_are_not_lost(self) -> None:
        """Some clients and proxies do not wait for the 101."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            client.send(upgrade_request(), client_frame(TEXT, b"eager"))
            assert (await client.read_response()).status == 101
            assert await client.read_frame() == (TEXT, b"eager")

    async def test_a_ping_flood_is_answered(self) -> None:
        """RFC 6455, section 5.5.2, for a peer that reads."""
        async with serving() as served, await upgraded(served) as client:
            client.send(*(client_frame(PING, str(number).encode()) for number in range(5000)))
            answers = [await client.read_frame() for _ in range(5000)]
            assert answers[0] == (PONG, b"0")
            assert answers[-1] == (PONG, b"4999")

    async def test_pongs_and_pings_of_the_link(self) -> None:
        """A ping frame reaches the client, and its pong reaches ``on_pong``."""
        async with serving() as served, await upgraded(served) as client:
            served.acceptor.only.link.write(NATIVE_PING_FRAME)
            assert await client.read_frame() == (PING, b"")
            client.send(client_frame(PONG))
            await eventually(lambda: served.acceptor.only.pong_count == 1)

    async def test_a_message_of_the_limit_passes(self) -> None:
        """65536 bytes by default."""
        async with serving() as served, await upgraded(served) as client:
            client.send(client_frame(TEXT, b"x" * 65536))
            assert await client.read_frame() == (TEXT, b"x" * 65536)


BAD_INPUT = {
    "unmasked": (client_frame(TEXT, b"x", masked=False), 1002),
    "reserved bits": (client_frame(TEXT, b"x", reserved=1), 1002),
    "first reserved bit without compression": (client_frame(TEXT, b"x", reserved=4), 1002),
    "unknown opcode": (client_frame(0x3, b"x"), 1002),
    "unknown control opcode": (client_frame(0xB, b"x"), 1002),
    "continuation of nothing": (client_frame(CONTINUATION, b"x"), 1002),
    "message within a message": (client_frame(TEXT, b"x", fin=False) + client_frame(TEXT, b"x"), 1002),
    "fragmented ping": (client_frame(PING, b"x", fin=False), 1002),
    "long ping": (client_frame(PING, b"x" * 126), 1002),
    "close with one byte": (client_frame(CLOSE, b"x"), 1002),
    "close with a bad code": (client_frame(CLOSE, close_payload(1005)), 1002),
    "close with a bad reason": (client_frame(CLOSE, close_payload(1000) + b"\xff"), 1007),
    "oversize": (client_frame(TEXT, b"x" * 65537), 1009),
    "oversize announced only": (b"\x81\xff" + struct.pack("!Q", 1 << 62), 1009),
    "oversize in fragments": (
        client_frame(TEXT, b"x" * 65536, fin=False) + client_frame(CONTINUATION, b"x"),
        1009,
    ),
}


class TestBadInput:
    """Frames that break the rules end their own connection, with the code of the RFC."""

    @pytest.mark.parametrize(("sent", "code"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
    async def test_ends_with_its_code(self, sent: bytes, code: int) -> None:
        """RFC 6455, section 7.4.1; the frames before it were served."""
        async with serving() as served, await upgraded(served) as client:
            client.send(client_frame(TEXT, b"fine"), sent)
            assert await client.read_frame() == (TEXT, b"fine")
            assert (await client.read_close())[0] == code
            assert await client.read_to_end() == b""
            client.half_close()
            await eventually(served.is_empty)

    async def test_nothing_is_taken_after_a_violation(self) -> None:
        """RFC 6455, section 7.1.7; the rest is thrown away."""
        async with serving() as served, await upgraded(served) as client:
            client.send(client_frame(0x3), client_frame(TEXT, b"late"))
            assert (await client.read_close())[0] == 1002
            client.send(client_frame(TEXT, b"later"))
            assert await client.read_to_end() == b""
            assert served.acceptor.only.frames == []

    async def test_a_peer_that_stays_after_a_violation_is_cut(self) -> None:
        """It has the close timeout to leave, no more."""
        async with serving(close_timeout_s=0.2) as served, await upgraded(served) as client:
            client.send(client_frame(0x3))
            await eventually(served.is_empty)

    async def test_reset_in_the_middle_of_a_frame(self) -> None:
        """The connection is told, and gone."""
        async with serving() as served, await upgraded(served) as client:
            client.send(client_frame(TEXT, b"half")[:5])
            await asyncio.sleep(0)
            client.reset()
            await eventually(served.is_empty)
            assert served.acceptor.only.frames == []

    async def test_end_of_stream_without_a_close(self) -> None:
        """Phones that lose their network do that."""
        async with serving() as served, await upgraded(served) as client:
            client.half_close()
            assert await client.read_to_end() == b""
            await eventually(served.is_empty)


class TestClosing:
    """Both directions of the closing handshake (RFC 6455, section 7)."""

    async def test_by_the_hub(self) -> None:
        """Code and reason arrive, the echo ends it."""
        async with serving() as served, await upgraded(served) as client:
            served.acceptor.only.link.close(3012, "no pong")
            assert await client.read_close() == (3012, "no pong")
            client.send(client_frame(CLOSE, close_payload(3012, "no pong")))
            assert await client.read_to_end() == b""
            await eventually(served.is_empty)

    async def test_by_the_client(self) -> None:
        """The echo has the same code, and TCP ends."""
        async with serving() as served, await upgraded(served) as client:
            client.send(client_frame(CLOSE, close_payload(1001, "bye")))
            assert await client.read_close() == (1001, "bye")
            assert await client.read_to_end() == b""
            await eventually(served.is_empty)

    async def test_by_the_client_without_a_code(self) -> None:
        """An empty close frame is echoed as it is."""
        async with serving() as served, await upgraded(served) as client:
            client.send(client_frame(CLOSE))
            assert await client.read_frame() == (CLOSE, b"")
            assert await client.read_to_end() == b""

    async def test_messages_before_a_close_are_served_and_answered(self) -> None:
        """Also when all came in one read."""
        async with serving() as served, await upgraded(served) as client:
            client.send(client_frame(TEXT, b"last"), client_frame(CLOSE, close_payload(1000)))
            assert await client.read_frame() == (TEXT, b"last")
            assert (await client.read_close())[0] == 1000

    async def test_a_client_that_never_answers_is_cut(self) -> None:
        """Within the close timeout."""
        async with serving(close_timeout_s=0.2) as served, await upgraded(served) as client:
            served.acceptor.only.link.close(3001, "shutdown")
            assert (await client.read_close())[0] == 3001
            assert await client.read_to_end() == b""
            await eventually(served.is_empty)

    async def test_a_long_reason_is_cut_between_characters(self) -> None:
        """123 bytes is what a close frame can carry."""
        async with serving() as served, await upgraded(served) as client:
            served.acceptor.only.link.close(3000, "é" * 100)
            assert await client.read_close() == (3000, "é" * 61)

    @pytest.mark.parametrize("goodbye", [True, False])
    async def test_a_peer_that_leaves_on_purpose_says_so(self, goodbye: bool) -> None:
        """With a close frame, where one whose network is gone says nothing."""
        async with serving() as served, await upgraded(served) as client:
            connection = served.acceptor.only
            if goodbye:
                client.send(client_frame(CLOSE, close_payload(1000)))
            else:
                client.reset()
            await eventually(lambda: connection.lost_count == 1)
            assert connection.link.said_goodbye is goodbye

    async def test_close_is_idempotent_and_nothing_is_written_after_it(self) -> None:
        """The first close counts."""
        async with serving() as served, await upgraded(served) as client:
            link = served.acceptor.only.link
            link.close(3001, "first")
            link.close(3002, "second")
            link.write(server_frame(b"late", TEXT))
            assert await client.read_close() == (3001, "first")
            client.half_close()
            assert await client.read_to_end() == b""

    async def test_close_from_within_a_message_drops_the_rest(self) -> None:
        """Frames of the same read are not delivered after it."""
        async with serving() as served, await upgraded(served) as client:
            connection = served.acceptor.only
            connection.on_message = lambda payload: connection.link.close(3501, "bad request")
            client.send(*(client_frame(TEXT, b"x") for _ in range(10)))
            assert await client.read_close() == (3501, "bad request")
            assert connection.frames == [b"x"]

    async def test_abort_drops_the_connection_at_once(self) -> None:
        """No close frame, and the connection is told."""
        async with serving() as served, await upgraded(served) as client:
            served.acceptor.only.link.abort()
            assert await client.read_to_end() == b""
            await eventually(served.is_empty)


class TestCallbacks:
    """What the connection above may do, and what its mistakes cost."""

    async def test_a_failing_callback_ends_only_its_own_connection(self) -> None:
        """With 3004, so that the client comes back."""
        async with serving() as served, await upgraded(served) as broken, await upgraded(served) as healthy:
            first, _ = served.acceptor.connections

            def fail(payload: bytes) -> None:
                raise RuntimeError("broken")

            first.on_message = fail
            broken.send(client_frame(TEXT, b"x"), client_frame(TEXT, b"y"))
            assert (await broken.read_close())[0] == 3004
            assert first.frames == [b"x"]
            healthy.send(client_frame(TEXT, b"still here"))
            assert await healthy.read_frame() == (TEXT, b"still here")

    async def test_pause_holds_what_was_already_read(self) -> None:
        """Nothing is delivered while paused; afterwards everything, in order."""
        async with serving() as served, await upgraded(served) as client:
            connection = served.acceptor.only

            def pause_at_the_third(payload: bytes) -> None:
                if payload == b"3":
                    connection.link.pause_reading()

            connection.on_message = pause_at_the_third
            client.send(*(client_frame(TEXT, str(number).encode()) for number in range(1, 6)))
            await eventually(lambda: len(connection.frames) == 3)
            client.send(client_frame(TEXT, b"6"), client_frame(CLOSE, close_payload(1000)))
            await asyncio.sleep(0.05)
            assert len(connection.frames) == 3
            connection.link.resume_reading()
            assert len(connection.frames) == 3, "never from within the call"
            assert (await client.read_close())[0] == 1000
            assert connection.frames == [b"1", b"2", b"3", b"4", b"5", b"6"]

    async def test_pause_holds_a_close_behind_the_frames_before_it(self) -> None:
        """The echo of a close waits for the frames that came before it."""
        async with serving() as served, await upgraded(served) as client:
            connection = served.acceptor.only
            connection.on_message = lambda payload: connection.link.pause_reading()
            client.send(
                client_frame(TEXT, b"1"), client_frame(TEXT, b"2"), client_frame(CLOSE, close_payload(1000))
            )
            await eventually(lambda: connection.frames == [b"1"])
            connection.link.resume_reading()
            await eventually(lambda: connection.frames == [b"1", b"2"])
            connection.link.resume_reading()
            assert (await client.read_close())[0] == 1000

    async def test_pausing_and_resuming_at_every_message_keeps_order(self) -> None:
        """As a connection does whose commands need awaiting."""
        async with serving() as served, await upgraded(served) as client:
            connection = served.acceptor.only
            loop = asyncio.get_running_loop()

            def one_at_a_time(payload: bytes) -> None:
                connection.link.pause_reading()
                loop.call_soon(connection.link.resume_reading)

            connection.on_message = one_at_a_time
            sent = [str(number).encode() for number in range(3000)]
            client.send(*(client_frame(TEXT, payload) for payload in sent))
            await eventually(lambda: len(connection.frames) == 3000)
            assert connection.frames == sent

    async def test_close_while_paused_still_sees_the_clients_half(self) -> None:
        """Reading goes on, so that the closing handshake can end."""
        async with serving(close_timeout_s=30) as served, await upgraded(served) as client:
            connection = served.acceptor.only
            connection.on_message = lambda payload: connection.link.pause_reading()
            client.send(client_frame(TEXT, b"1"), client_frame(TEXT, b"2"))
            await eventually(lambda: connection.frames == [b"1"])
            connection.link.close(3000, "enough")
            assert (await client.read_close())[0] == 3000
            client.send(client_frame(CLOSE, close_payload(3000)))
            assert await client.read_to_end() == b""
            assert connection.frames == [b"1"]

    async def test_an_acceptor_may_already_write(self) -> None:
        """It goes out behind the handshake response."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            served.acceptor.before = lambda connection: connection.echo(b"welcome")
            await client.upgrade()
            assert await client.read_frame() == (TEXT, b"welcome")

    async def test_an_acceptor_may_already_close(self) -> None:
        """The client gets its 101 and then the code, which it could not read from an HTTP status."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            served.acceptor.before = lambda connection: connection.link.close(3504, "connection limit")
            await client.upgrade()
            assert await client.read_close() == (3504, "connection limit")

    async def test_an_acceptor_may_already_pause(self) -> None:
        """Even the frames that came with the request wait."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            served.acceptor.before = lambda connection: connection.link.pause_reading()
            client.send(upgrade_request(), client_frame(TEXT, b"eager"))
            assert (await client.read_response()).status == 101
            assert served.acceptor.only.frames == []
            served.acceptor.only.link.resume_reading()
            assert await client.read_frame() == (TEXT, b"eager")

    async def test_a_refusal_is_an_http_status(self) -> None:
        """With Retry-After, and counted."""

        def refuse(connection: EchoConnection) -> None:
            raise Refused(503, "draining", retry_after_s=7)

        async with serving() as served, await RawClient.connect(served.address) as client:
            served.acceptor.before = refuse
            client.send(upgrade_request())
            response = await client.read_response()
            assert (response.status, response.headers["retry-after"], response.body) == (
                503,
                "7",
                b"draining\n",
            )
            assert await client.read_to_end() == b""
            client.half_close()
            await eventually(served.is_empty)
            assert served.metrics.refused == [503]

    async def test_a_failing_acceptor_is_a_500(self) -> None:
        """The cause stays in the log."""

        def fail(connection: EchoConnection) -> None:
            raise RuntimeError("secret detail")

        async with serving() as served, await RawClient.connect(served.address) as client:
            served.acceptor.before = fail
            client.send(upgrade_request())
            response = await client.read_response()
            assert (response.status, response.body) == (500, b"internal server error\n")


class TestBackPressure:
    """A client that does not read."""

    async def test_is_told_and_told_again(self) -> None:
        """Not writable while the socket is full, writable once it is read."""
        async with serving() as served, await upgraded(served, receive_buffer_bytes=4096) as client:
            connection = served.acceptor.only
            client.pause()
            frame = server_frame(b"x" * 65000, BINARY)
            await fill(connection, frame)
            assert connection.writable == [False]
            client.resume()
            reading = asyncio.create_task(client.read_to_end())
            await eventually(lambda: connection.writable == [False, True])
            connection.link.abort()
            await reading

    async def test_close_still_ends_within_the_timeout(self) -> None:
        """The close frame cannot leave, so the connection is cut."""
        async with (
            serving(close_timeout_s=0.2) as served,
            await upgraded(served, receive_buffer_bytes=4096) as client,
        ):
            client.pause()
            await fill(served.acceptor.only, server_frame(b"x" * 65000, BINARY))
            served.acceptor.only.link.close(3008, "slow")
            await eventually(served.is_empty)

    async def test_end_of_stream_with_a_full_buffer_ends_within_the_timeout(self) -> None:
        """The transport alone would wait for ever."""
        async with (
            serving(close_timeout_s=0.2) as served,
            await upgraded(served, receive_buffer_bytes=4096) as client,
        ):
            client.pause()
            await fill(served.acceptor.only, server_frame(b"x" * 65000, BINARY))
            client.half_close()
            await eventually(served.is_empty)

    async def test_a_flood_of_pings_without_reading_keeps_one_pong(self) -> None:
        """RFC 6455, section 5.5.3: the newest is answer enough, and memory stays bounded."""
        async with serving() as served, await upgraded(served, receive_buffer_bytes=4096) as client:
            connection = served.acceptor.only
            client.pause()
            await fill(connection, server_frame(b"x" * 65000, BINARY))
            client.send(*(client_frame(PING, b"%d" % number) for number in range(2000)))
            client.send(client_frame(TEXT, b"done"))
            connection.on_message = lambda payload: None
            await eventually(lambda: connection.frames == [b"done"])
            client.resume()
            opcode, payload = await client.read_frame()
            while opcode != PONG:
                opcode, payload = await client.read_frame()
            assert payload == b"1999"


async def fill(connection: EchoConnection, frame: bytes) -> None:
    """Write until the link says that it is full."""
    for _ in range(1000):
        if connection.writable == [False]:
            return
        connection.link.write(frame)
        await asyncio.sleep(0)
    raise AssertionError("the socket never filled")


class TestCompression:
    """permessage-deflate without context takeover (RFC 7692)."""

    async def test_is_off_by_default(self) -> None:
        """Nothing is agreed, whatever is offered."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            response = await client.upgrade(headers={"Sec-WebSocket-Extensions": "permessage-deflate"})
            assert "sec-websocket-extensions" not in response.headers
            assert served.acceptor.only.upgrade.compressed is False

    async def test_inflates_what_comes_in(self) -> None:
        """With a published client on the other side."""
        async with serving(compression=True) as served:
            async with connect(uri_of(served), compression="deflate", proxy=None) as client:
                await client.send("hello " * 1000)
                assert await client.recv() == "hello " * 1000
            assert served.acceptor.only.upgrade.compressed is True

    async def test_frames_compressed_once_reach_the_client(self) -> None:
        """A shared frame is readable without any window."""
        deflate = zlib.compressobj(wbits=-15)
        payload = (deflate.compress(b"shared") + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
        async with serving(compression=True) as served:
            async with connect(uri_of(served), compression="deflate", proxy=None) as client:
                served.acceptor.only.link.write(server_frame(payload, TEXT, compressed=True) * 2)
                assert [await client.recv(), await client.recv()] == ["shared", "shared"]

    async def test_a_decompression_bomb_ends_with_1009(self) -> None:
        """The limit counts inflated bytes."""
        async with serving(compression=True) as served:
            async with connect(uri_of(served), compression="deflate", proxy=None) as client:
                await client.send("0" * 50_000_000)
                with pytest.raises(ConnectionClosedError) as closed:
                    await client.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
            assert served.acceptor.only.frames == []


def uri_of(served: Served) -> str:
    host, port = served.address
    return f"ws://{host}:{port}/connection/websocket"
