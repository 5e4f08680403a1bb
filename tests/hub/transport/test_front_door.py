"""The first moments of a connection: who serves it, and how bad beginnings end."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import struct

import pytest

from hub.transport.peer import TrustedProxies
from tests.support.hub_server import parsed, serving
from tests.support.raw_client import TEXT, RawClient, client_frame, upgrade_request
from tests.support.waiting import eventually

LOCAL = TrustedProxies(["127.0.0.0/8"])
LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"


def version_2(source: str) -> bytes:
    body = ipaddress.ip_address(source).packed + bytes(4) + struct.pack("!HH", 1, 2)
    return b"\r\n\r\n\x00\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x11, len(body)) + body


class TestRouting:
    """WebSocket here, everything else to the application."""

    async def test_http_and_websocket_share_the_port(self) -> None:
        """D3: one port for everything."""
        async with serving() as served:
            async with await RawClient.connect(served.address) as client:
                response = await client.get("/health")
                assert (response.status, response.body) == (200, b"{}")
            async with await RawClient.connect(served.address) as client:
                await client.upgrade()

    async def test_a_query_does_not_hide_the_path(self) -> None:
        """Nor does the absolute form of the target."""
        async with serving() as served:
            async with await RawClient.connect(served.address) as client:
                await client.upgrade("/connection/websocket?cf_protocol=protobuf")
            async with await RawClient.connect(served.address) as client:
                await client.upgrade("http://hub.example.com/connection/websocket?format=protobuf")
            names = [connection.upgrade.codec.name for connection in served.acceptor.connections]
            assert names == ["protobuf", "protobuf"]

    async def test_an_upgrade_of_another_path_is_404(self) -> None:
        """Said by us: the application knows no WebSocket."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            client.send(upgrade_request("/connection/other"))
            assert (await client.read_response()).status == 404
            assert await client.read_to_end() == b""

    async def test_the_path_without_an_upgrade_is_the_applications(self) -> None:
        """Which knows no such route here."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            response = await client.get("/connection/websocket")
            assert (response.status, response.body) == (404, b"Not Found")

    async def test_a_post_with_a_body_in_the_first_read(self) -> None:
        """The body is the application's, also when it is longer than any head may be."""
        body = b"x" * 100_000
        async with serving() as served, await RawClient.connect(served.address) as client:
            client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + body)
            assert (await client.read_response()).body == body

    async def test_a_path_of_ones_own(self) -> None:
        """The default one is then unknown."""
        async with serving(websocket_path="/ws") as served:
            async with await RawClient.connect(served.address) as client:
                await client.upgrade("/ws")
            async with await RawClient.connect(served.address) as client:
                client.send(upgrade_request())
                assert (await client.read_response()).status == 404


class TestBadBeginnings:
    """Nothing of them stays, and each is counted."""

    @pytest.mark.parametrize(
        ("sent", "status"),
        [
            (b"\x16\x03\x01\x02\x00\x01\x00", 400),
            (b"hello\r\n", 400),
            (bytes(range(256)), 400),
            (b"GET / HTTP/2.0\r\n\r\n", 400),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
            (LINE + b"GET /health HTTP/1.1\r\n\r\n", 400),
            (b"GET /" + b"x" * 20_000, 431),
            (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000, 431),
            (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5_000, 431),
            (upgrade_request(headers={"Sec-WebSocket-Key": "bad"}), 400),
            (upgrade_request(headers={"X": "y" * 9000}), 400),
            (upgrade_request(headers={"Origin": "https://evil.example"}), 403),
        ],
    )
    async def test_are_answered_and_ended(self, sent: bytes, status: int) -> None:
        """With a status that the other side can read before the end."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            client.send(sent)
            response = await client.read_response()
            assert (response.status, response.headers["connection"]) == (status, "close")
            assert "date" in response.headers
            assert await client.read_to_end() == b""
            client.half_close()
            await eventually(served.is_empty)
            assert served.metrics.refused == [status]

    async def test_silence_is_ended_by_the_deadline(self) -> None:
        """Without a word, since nobody asked anything."""
        async with (
            serving(handshake_timeout_s=0.1) as served,
            await RawClient.connect(served.address) as client,
        ):
            assert await client.read_to_end() == b""
            await eventually(served.is_empty)
            assert served.metrics.refused == [408]

    @pytest.mark.parametrize(
        "sent", [b"G", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r\n\r\n\x00\r\nQU"]
    )
    async def test_half_a_request_is_ended_by_the_deadline(self, sent: bytes) -> None:
        """Trickling more does not move the deadline."""
        async with (
            serving(handshake_timeout_s=0.2, trusted_proxies=LOCAL) as served,
            await RawClient.connect(served.address) as client,
        ):
            client.send(sent)
            assert (await client.read_response()).status == 408
            assert await client.read_to_end() == b""

    async def test_empty_lines_for_ever_are_ended_by_the_deadline(self) -> None:
        """They may precede a request (RFC 9112, 2.2), so they are no error by themselves."""
        async with (
            serving(handshake_timeout_s=0.2) as served,
            await RawClient.connect(served.address) as client,
        ):
            client.send(b"\r\n" * 100)
            assert await client.read_to_end() == b""

    async def test_empty_lines_before_a_request_are_ignored(self) -> None:
        """RFC 9112, section 2.2."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            client.send(b"\r\n\r\n", upgrade_request())
            assert (await client.read_response()).status == 101

    async def test_reset_before_the_request(self) -> None:
        """Port scanners do that."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            client.send(b"GET / HT")
            await eventually(lambda: served.server.pending == 1)
            client.reset()
            await eventually(served.is_empty)
            assert served.metrics.refused == []

    async def test_one_that_is_turned_away_and_stays_is_cut(self) -> None:
        """Also when it goes on sending."""
        async with serving(close_timeout_s=0.2) as served, await RawClient.connect(served.address) as client:
            client.send(b"\x00")
            assert (await client.read_response()).status == 400
            client.send(b"x" * 100_000)
            await eventually(served.is_empty)

    async def test_strangers_cannot_write_into_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        """Their mistakes are counted instead."""
        caplog.set_level(logging.INFO)
        async with serving() as served:
            caplog.clear()
            for sent in (
                b"\x00",
                b"GET / HTTP/1.1\r\nX y\r\n\r\n",
                upgrade_request(headers={"Upgrade": "h2c"}),
            ):
                async with await RawClient.connect(served.address) as client:
                    client.send(sent)
                    await client.read_response()
            assert caplog.records == []


class TestProxyHeader:
    """PROXY version 1 and 2, from peers that are trusted."""

    @pytest.mark.parametrize("header", [LINE, version_2("192.0.2.7")], ids=["v1", "v2"])
    async def test_names_the_client_of_a_websocket(self, header: bytes) -> None:
        """In one read with the request, or byte by byte."""
        async with serving(trusted_proxies=LOCAL) as served:
            async with await RawClient.connect(served.address) as client:
                client.send(header, upgrade_request(), client_frame(TEXT, b"eager"))
                assert (await client.read_response()).status == 101
                assert await client.read_frame() == (TEXT, b"eager")
            async with await RawClient.connect(served.address) as client:
                await client.send_one_by_one(header + upgrade_request())
                assert (await client.read_response()).status == 101
            clients = [connection.upgrade.client_ip for connection in served.acceptor.connections]
            assert clients == ["192.0.2.7", "192.0.2.7"]

    @pytest.mark.parametrize("header", [LINE, version_2("192.0.2.7")], ids=["v1", "v2"])
    async def test_names_the_client_of_every_request(self, header: bytes) -> None:
        """The application sees it too, also in the second request."""
        async with (
            serving(trusted_proxies=LOCAL) as served,
            await RawClient.connect(served.address) as client,
        ):
            client.send(header)
            for _ in range(2):
                assert parsed((await client.get("/who")).body)["client"] == "192.0.2.7"

    async def test_the_client_it_names_is_not_believed_further(self) -> None:
        """X-Forwarded-For behind it is the client's own invention."""
        async with (
            serving(trusted_proxies=LOCAL) as served,
            await RawClient.connect(served.address) as client,
        ):
            client.send(LINE, upgrade_request(headers={"X-Forwarded-For": "203.0.113.9"}))
            await client.read_response()
            assert served.acceptor.only.upgrade.client_ip == "192.0.2.7"

    async def test_a_trusted_source_is_a_proxy_in_its_turn(self) -> None:
        """Then its X-Forwarded-For counts."""
        trusted = TrustedProxies(["127.0.0.0/8", "192.0.2.0/24"])
        async with (
            serving(trusted_proxies=trusted) as served,
            await RawClient.connect(served.address) as client,
        ):
            client.send(LINE, upgrade_request(headers={"X-Forwarded-For": "203.0.113.9"}))
            await client.read_response()
            assert served.acceptor.only.upgrade.client_ip == "203.0.113.9"

    @pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"])
    async def test_without_a_source_the_peer_remains(self, header: bytes) -> None:
        """UNKNOWN and LOCAL: health checks of the proxy itself."""
        async with (
            serving(trusted_proxies=LOCAL) as served,
            await RawClient.connect(served.address) as client,
        ):
            client.send(header)
            assert parsed((await client.get("/who")).body)["client"] == "127.0.0.1"

    async def test_a_trusted_peer_need_not_send_one(self) -> None:
        """Proxies that speak HTTP send X-Forwarded-For instead."""
        async with (
            serving(trusted_proxies=LOCAL) as served,
            await RawClient.connect(served.address) as client,
        ):
            client.send(upgrade_request(headers={"X-Forwarded-For": "203.0.113.9"}))
            await client.read_response()
            assert served.acceptor.only.upgrade.client_ip == "203.0.113.9"

    async def test_a_malformed_one_ends_the_connection(self) -> None:
        """The specification, section 2.1."""
        async with (
            serving(trusted_proxies=LOCAL) as served,
            await RawClient.connect(served.address) as client,
        ):
            client.send(b"PROXY TCP4 nonsense\r\n", upgrade_request())
            assert (await client.read_response()).status == 400
            assert served.acceptor.connections == []


async def test_many_at_once_leave_nothing_behind() -> None:
    """Good and bad beginnings mixed, all ended from their side."""
    async with serving() as served:
        clients = await asyncio.gather(*(RawClient.connect(served.address) for _ in range(60)))
        for number, client in enumerate(clients):
            client.send([upgrade_request(), b"\x00", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"][number % 3])
        await asyncio.gather(*(client.read_response() for client in clients))
        assert served.server.links == 20
        for client in clients:
            async with client:
                client.reset()
        await eventually(served.is_empty)
        assert served.server.accepted_count == 60
