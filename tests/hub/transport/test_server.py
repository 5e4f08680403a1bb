"""Starting and stopping: addresses, TLS, what is finished and what is cut."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect

from hub.transport.options import ServerOptions, TlsFiles
from hub.transport.server import HubServer
from tests.support.certificates import make_certificate
from tests.support.hub_server import serving, small_app, transport_options
from tests.support.raw_client import CLOSE, TEXT, RawClient, client_frame, close_payload, upgrade_request
from tests.support.waiting import eventually

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_localhost_is_both_loopbacks_on_one_port() -> None:
    """Clients resolve the name to either (pitfall P20)."""
    async with serving(server_options={"host": "localhost"}) as served:
        hosts = [host for host, _ in served.server.addresses]
        ports = {port for _, port in served.server.addresses}
        assert hosts == ["127.0.0.1", "::1"]
        assert len(ports) == 1
        for address in served.server.addresses:
            async with await RawClient.connect(address) as client:
                await client.upgrade()
        clients = [connection.upgrade.client_ip for connection in served.acceptor.connections]
        assert clients == ["127.0.0.1", "::1"]


async def test_a_taken_port_is_named_and_nothing_stays_open() -> None:
    """The text tells an operator what to change."""
    async with serving() as served:
        host, port = served.address
        second = HubServer(small_app(), ServerOptions(transport_options(), host, port), served.acceptor)
        with pytest.raises(OSError, match=f"cannot listen on {host} port {port}"):
            await second.start()


async def test_without_an_acceptor_no_websocket_is_served() -> None:
    """As on the internal port."""
    server = HubServer(small_app(), ServerOptions(transport_options(), "127.0.0.1", 0), None)
    await server.start()
    async with await RawClient.connect(server.addresses[0]) as client:
        assert (await client.get("/health")).status == 200
        client.send(upgrade_request())
        assert (await client.read_response()).status == 404
    await server.stop(1)


async def test_answers_have_a_date_and_no_server() -> None:
    """The date is that of the answer, not of the start (RFC 9110, 6.6.1)."""
    async with serving() as served, await RawClient.connect(served.address) as client:
        response = await client.get("/health")
        assert response.headers["date"].endswith("GMT")
        assert "server" not in response.headers


async def test_the_date_goes_on() -> None:
    """Once a second."""
    async with serving() as served, await RawClient.connect(served.address) as client:
        first = (await client.get("/health")).headers["date"]
        async with asyncio.timeout(5):
            while (await client.get("/health")).headers["date"] == first:  # noqa: ASYNC110 - asking is the test
                await asyncio.sleep(0.05)


class TestTls:
    """TLS ended by the hub itself."""

    async def test_https_and_wss_on_the_same_port(self, tmp_path: Path) -> None:
        """With a client that checks the certificate."""
        certificate = make_certificate(tmp_path)
        tls = TlsFiles(str(certificate.certfile), str(certificate.keyfile))
        context = certificate.client_context()
        async with serving(server_options={"tls": tls}) as served:
            async with await RawClient.connect(served.address, tls=context) as client:
                assert (await client.get("/health")).status == 200
                await client.upgrade()
                client.send(client_frame(TEXT, b"x" * 60_000))
                assert await client.read_frame() == (TEXT, b"x" * 60_000)
            uri = f"wss://localhost:{served.address[1]}/connection/websocket"
            async with connect(uri, ssl=context, host="127.0.0.1", proxy=None) as phone:
                await phone.send("over TLS")
                assert await phone.recv() == "over TLS"

    async def test_closing_and_turning_away(self, tmp_path: Path) -> None:
        """TLS has no half-open connections; both ends are seen all the same."""
        certificate = make_certificate(tmp_path)
        tls = TlsFiles(str(certificate.certfile), str(certificate.keyfile))
        context = certificate.client_context()
        async with serving(server_options={"tls": tls}) as served:
            async with await RawClient.connect(served.address, tls=context) as client:
                client.send(upgrade_request("/other"))
                assert (await client.read_response()).status == 404
                assert await client.read_to_end() == b""
            async with await RawClient.connect(served.address, tls=context) as client:
                await client.upgrade()
                client.send(client_frame(CLOSE, close_payload(1000)))
                assert (await client.read_close())[0] == 1000
                assert await client.read_to_end() == b""
            async with await RawClient.connect(served.address, tls=context) as client:
                await client.upgrade()
                client.send(client_frame(TEXT, b"x", reserved=1))
                assert (await client.read_close())[0] == 1002
            await eventually(served.is_empty)

    async def test_pausing_under_tls_keeps_order(self, tmp_path: Path) -> None:
        """TLS may still hand over what it had decrypted."""
        certificate = make_certificate(tmp_path)
        tls = TlsFiles(str(certificate.certfile), str(certificate.keyfile))
        async with (
            serving(server_options={"tls": tls}) as served,
            await RawClient.connect(served.address, tls=certificate.client_context()) as client,
        ):
            await client.upgrade()
            connection = served.acceptor.only
            connection.on_message = lambda payload: connection.link.pause_reading()
            sent = [str(number).encode() for number in range(50)]
            client.send(*(client_frame(TEXT, payload) for payload in sent))
            async with asyncio.timeout(5):
                while len(connection.frames) < 50:
                    connection.link.resume_reading()
                    await asyncio.sleep(0)
            assert connection.frames == sent

    async def test_plain_bytes_on_a_tls_port(self, tmp_path: Path) -> None:
        """End at once."""
        certificate = make_certificate(tmp_path)
        tls = TlsFiles(str(certificate.certfile), str(certificate.keyfile))
        async with serving(server_options={"tls": tls}) as served:
            async with await RawClient.connect(served.address) as client:
                client.send(GET)
                await client.read_to_end()
            await eventually(served.is_empty)

    async def test_a_missing_file_is_an_error_at_the_start(self, tmp_path: Path) -> None:
        """Nothing listens then."""
        options = ServerOptions(transport_options(), "127.0.0.1", 0, tls=TlsFiles(str(tmp_path / "none.pem")))
        server = HubServer(small_app(), options, None)
        with pytest.raises(OSError, match=r"No such file"):
            await server.start()
        assert server.addresses == ()


class TestStop:
    """The order: no new ones, what is under way is finished, the rest is cut."""

    async def test_links_are_closed_with_shutdown(self) -> None:
        """A code with which clients come back."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            await client.upgrade()
            stopping = asyncio.create_task(served.server.stop(5))
            assert await client.read_close() == (3001, "shutdown")
            client.send(client_frame(CLOSE, close_payload(3001)))
            await stopping
            assert served.is_empty()

    async def test_a_request_under_way_is_finished(self) -> None:
        """Idle connections and half requests end at once."""
        started, gate = asyncio.Event(), asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            started.set()
            await gate.wait()
            headers = [(b"content-length", b"4")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"done"})

        async with (
            serving(slow) as served,
            await RawClient.connect(served.address) as busy,
            await RawClient.connect(served.address) as half,
        ):
            busy.send(GET)
            half.send(b"GET / HT")
            await started.wait()
            await eventually(lambda: served.server.pending == 2)
            stopping = asyncio.create_task(served.server.stop(5))
            assert await half.read_to_end() == b""
            assert not stopping.done()
            gate.set()
            response = await busy.read_response()
            assert (response.body, response.headers["connection"]) == (b"done", "close")
            await stopping

    async def test_what_does_not_end_is_cut_at_the_deadline(self) -> None:
        """A handler that hangs, and a client that does not answer the close."""
        cancelled = asyncio.Event()

        async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        async with (
            serving(hangs, close_timeout_s=60) as served,
            await RawClient.connect(served.address) as client,
            await RawClient.connect(served.address) as deaf,
        ):
            client.send(GET)
            await deaf.upgrade()
            await eventually(lambda: served.server.pending == 1)
            async with asyncio.timeout(5):
                await served.server.stop(0.1)
            assert cancelled.is_set()
            assert served.is_empty()

    async def test_stop_accepting_leaves_the_living_alone(self) -> None:
        """For a drain that disconnects them in its own time."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            await client.upgrade()
            address = served.address
            served.server.stop_accepting()
            with pytest.raises(ConnectionRefusedError):
                await RawClient.connect(address)
            client.send(client_frame(TEXT, b"still here"))
            assert await client.read_frame() == (TEXT, b"still here")
