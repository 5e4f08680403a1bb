"""HTTP requests on one connection, and an upgrade that comes after some of them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from hub.transport.options import TlsFiles
from hub.transport.peer import TrustedProxies
from tests.support.certificates import make_certificate
from tests.support.hub_server import parsed, serving
from tests.support.raw_client import TEXT, RawClient, client_frame, upgrade_request
from tests.support.waiting import eventually

LOCAL = TrustedProxies(["127.0.0.0/8"])
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


class TestLateUpgrade:
    """An upgrade that is not the first request, as proxies send it (D4)."""

    async def test_becomes_a_websocket(self) -> None:
        """On the same TCP connection, which leaves the HTTP side for good."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            assert (await client.get("/health")).status == 200
            assert (await client.get("/health")).status == 200
            await client.upgrade()
            client.send(client_frame(TEXT, b"hello"))
            assert await client.read_frame() == (TEXT, b"hello")
            assert (served.server.accepted_count, served.server.links, served.server.pending) == (1, 1, 0)

    async def test_frames_in_the_same_read_are_not_lost(self) -> None:
        """The HTTP parser stops at the upgrade; what it did not read is the client's first frames."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            await client.get("/health")
            client.send(upgrade_request(), client_frame(TEXT, b"one"), client_frame(TEXT, b"two"))
            assert (await client.read_response()).status == 101
            assert await client.read_frame() == (TEXT, b"one")
            assert await client.read_frame() == (TEXT, b"two")

    async def test_byte_by_byte(self) -> None:
        """However TCP cuts it."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            await client.get("/health")
            await client.send_one_by_one(upgrade_request() + client_frame(TEXT, b"one"))
            assert (await client.read_response()).status == 101
            assert await client.read_frame() == (TEXT, b"one")

    @pytest.mark.parametrize(
        "connection", ["keep-alive, Upgrade", "Upgrade\r\nConnection: keep-alive", "UPGRADE"]
    )
    async def test_connection_options_in_any_form(self, connection: str) -> None:
        """In one header or in several (RFC 9110, 5.3)."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            await client.get("/health")
            await client.upgrade(headers={"Connection": connection, "Upgrade": "WebSocket"})

    async def test_of_another_path_is_404(self) -> None:
        """And ends the connection."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            await client.get("/health")
            client.send(upgrade_request("/other"))
            assert (await client.read_response()).status == 404
            assert await client.read_to_end() == b""
            client.half_close()
            await eventually(served.is_empty)

    async def test_that_is_refused_is_answered(self) -> None:
        """Like the first request would be."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            await client.get("/health")
            client.send(upgrade_request(headers={"Sec-WebSocket-Key": "bad"}))
            assert (await client.read_response()).status == 400

    async def test_that_overtakes_an_answer_is_not_served(self) -> None:
        """The answer goes out whole, then the connection ends: the client tries again on a new one."""
        gate = asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await gate.wait()
            headers = [(b"content-length", b"4")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"slow"})

        async with serving(slow) as served, await RawClient.connect(served.address) as client:
            client.send(GET)
            await eventually(lambda: served.server.pending == 1)
            client.send(upgrade_request(), client_frame(TEXT, b"x"))
            await eventually(lambda: served.metrics.refused == [503])
            gate.set()
            assert (await client.read_response()).body == b"slow"
            assert await client.read_to_end() == b""
            assert served.acceptor.connections == []

    async def test_an_upgrade_to_something_else_is_an_ordinary_request(self) -> None:
        """A server may ignore it (RFC 9110, 7.8)."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            for _ in range(2):
                response = await client.get("/health", {"Connection": "Upgrade", "Upgrade": "h2c"})
                assert response.status == 200


class TestClientAddress:
    """What the application sees as the client."""

    async def test_forwarded_headers_of_a_trusted_peer(self) -> None:
        """Per request, since one connection of a proxy carries many clients."""
        async with (
            serving(trusted_proxies=LOCAL) as served,
            await RawClient.connect(served.address) as client,
        ):
            first = await client.get("/who", {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"})
            second = await client.get("/who", {"X-Forwarded-For": "203.0.113.10"})
            third = await client.get("/who")
            assert [parsed(response.body) for response in (first, second, third)] == [
                {"client": "203.0.113.9", "scheme": "https"},
                {"client": "203.0.113.10", "scheme": "http"},
                {"client": "127.0.0.1", "scheme": "http"},
            ]

    async def test_forwarded_headers_of_anybody_else(self) -> None:
        """Are nothing."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            claims = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
            response = await client.get("/who", claims)
            assert parsed(response.body) == {"client": "127.0.0.1", "scheme": "http"}

    async def test_each_upgrade_of_a_kept_connection_has_its_own(self) -> None:
        """The upgrade's header counts, not an earlier request's."""
        async with (
            serving(trusted_proxies=LOCAL) as served,
            await RawClient.connect(served.address) as client,
        ):
            await client.get("/who", {"X-Forwarded-For": "203.0.113.9"})
            await client.upgrade(headers={"X-Forwarded-For": "203.0.113.10"})
            assert served.acceptor.only.upgrade.client_ip == "203.0.113.10"


class TestLaterHeads:
    """Slow and oversized heads after the first one."""

    async def test_half_a_head_is_ended_by_the_deadline(self) -> None:
        """As half a first head is."""
        async with (
            serving(handshake_timeout_s=0.2) as served,
            await RawClient.connect(served.address) as client,
        ):
            await client.get("/health")
            client.send(b"GET /health HT")
            assert (await client.read_response()).status == 408
            client.half_close()
            await eventually(served.is_empty)

    async def test_an_oversized_head_is_ended(self) -> None:
        """Once it is longer than a first head may be."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            await client.get("/health")
            client.send(b"GET /health HTTP/1.1\r\n")
            await asyncio.sleep(0.01)
            client.send(b"X: " + b"x" * 20_000)
            assert (await client.read_response()).status == 431

    async def test_a_whole_head_stops_the_deadline(self) -> None:
        """The body may take longer; it is the application's to bound."""
        async with (
            serving(handshake_timeout_s=0.1) as served,
            await RawClient.connect(served.address) as client,
        ):
            await client.get("/health")
            client.send(b"POST /echo HTTP/1.1\r\n")
            await asyncio.sleep(0)
            client.send(b"Host: x\r\nContent-Length: 2\r\n\r\n")
            await asyncio.sleep(0.2)
            client.send(b"ok")
            assert (await client.read_response()).body == b"ok"

    async def test_empty_lines_do_not_stop_the_keep_alive_clock(self) -> None:
        """They begin no request."""
        async with (
            serving(server_options={"http_keep_alive_s": 0.1}) as served,
            await RawClient.connect(served.address) as client,
        ):
            await client.get("/health")
            client.send(b"\r\n")
            assert await client.read_to_end() == b""

    @pytest.mark.parametrize("sent", [b"\r\n", b"x"], ids=["empty lines", "a body after its answer"])
    async def test_trickling_does_not_stop_the_keep_alive_clock(self, sent: bytes) -> None:
        """However much comes in: it begins no request, and holds no connection."""
        length = b"1000000" if sent == b"x" else b"0"
        async with (
            serving(server_options={"http_keep_alive_s": 0.3}) as served,
            await RawClient.connect(served.address) as client,
        ):
            client.send(b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n" % length)
            assert (await client.read_response()).status == 200

            async def trickle() -> None:
                while True:
                    client.send(sent)
                    await asyncio.sleep(0.05)

            trickling = asyncio.create_task(trickle())
            await eventually(served.is_empty)
            trickling.cancel()

    async def test_the_keep_alive_clock_runs_between_requests_only(self) -> None:
        """Also when a head began before the answer to the request in front of it."""
        gates = [asyncio.Event(), asyncio.Event()]
        came: list[asyncio.Event] = []

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            gate = gates[len(came)]
            came.append(gate)
            await gate.wait()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})

        async with (
            serving(slow, server_options={"http_keep_alive_s": 0.2}) as served,
            await RawClient.connect(served.address) as client,
        ):
            client.send(GET)
            await eventually(lambda: len(came) == 1)
            client.send(GET[:10])
            await asyncio.sleep(0.05)
            gates[0].set()
            assert (await client.read_response()).status == 200
            client.send(GET[10:])
            await eventually(lambda: len(came) == 2)
            await asyncio.sleep(0.4)
            gates[1].set()
            assert (await client.read_response()).status == 200

    async def test_a_head_pipelined_behind_a_slow_answer_does_not_cut_it(self) -> None:
        """The answer is finished, then the connection ends."""
        gate = asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await gate.wait()
            headers = [(b"content-length", b"4")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"slow"})

        async with (
            serving(slow, handshake_timeout_s=0.1) as served,
            await RawClient.connect(served.address) as client,
        ):
            client.send(GET + b"GET /hea")
            await asyncio.sleep(0.2)
            gate.set()
            assert (await client.read_response()).body == b"slow"
            assert await client.read_to_end() == b""

    async def test_garbage_after_a_request_is_400(self) -> None:
        """And ends the connection."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            await client.get("/health")
            client.send(b"\x00\x01\x02\r\n\r\n")
            assert (await client.read_response()).status == 400
            assert await client.read_to_end() == b""

    async def test_pipelined_requests_are_answered_in_order(self) -> None:
        """uvicorn's own doing, which the deadline must not disturb."""
        async with serving() as served, await RawClient.connect(served.address) as client:
            client.send(GET * 20)
            statuses = [(await client.read_response()).status for _ in range(20)]
            assert statuses == [200] * 20

    async def test_a_client_that_leaves_during_a_request(self) -> None:
        """The application is told, and nothing stays."""
        left = asyncio.Event()

        async def waits(scope: Scope, receive: Receive, send: Send) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            left.set()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})

        async with serving(waits) as served, await RawClient.connect(served.address) as client:
            client.send(GET)
            await eventually(lambda: served.server.pending == 1)
            client.reset()
            await asyncio.wait_for(left.wait(), 5)
            await eventually(served.is_empty)


async def _much(scope: Scope, receive: Receive, send: Send) -> None:
    """An answer far beyond what the sockets between take."""
    close = [(b"connection", b"close")] if scope["path"] == "/close" else []
    headers = [(b"content-length", b"%d" % _MUCH_BYTES), *close]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    whole = scope["path"] != "/parts"
    part = b"x" * (_MUCH_BYTES if whole else _MUCH_BYTES // 100)
    for number in range(1 if whole else 100):
        await send({"type": "http.response.body", "body": part, "more_body": not whole and number < 99})


_MUCH_BYTES = 20_000_000


class TestSlowReaders:
    """Clients that do not take their answers."""

    @pytest.mark.parametrize("path", [b"/whole", b"/parts", b"/close"])
    async def test_who_takes_nothing_is_cut_off(self, path: bytes) -> None:
        """Whether the application still writes, is done, or even closed the connection."""
        async with (
            serving(_much, write_timeout_s=0.3) as served,
            await RawClient.connect(served.address, receive_buffer_bytes=4_096) as client,
        ):
            client.pause()
            client.send(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            await eventually(lambda: served.server.pending == 1)
            await eventually(served.is_empty)
            assert served.metrics.limits == {"write_timeout": 1}

    @pytest.mark.parametrize("path", [b"/whole", b"/parts", b"/close"])
    async def test_who_takes_nothing_over_tls_is_cut_off(self, path: bytes, tmp_path: Path) -> None:
        """It takes what is written at once off our hands: then the time between requests is the deadline."""
        certificate = make_certificate(tmp_path)
        tls = TlsFiles(str(certificate.certfile), str(certificate.keyfile))
        context = certificate.client_context()
        async with (
            serving(
                _much, server_options={"tls": tls, "http_keep_alive_s": 0.5}, write_timeout_s=0.3
            ) as served,
            await RawClient.connect(served.address, tls=context, receive_buffer_bytes=4_096) as client,
        ):
            client.pause()
            client.send(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            await eventually(lambda: served.server.pending == 1)
            await eventually(served.is_empty)

    async def test_who_asks_and_never_reads_is_cut_off(self) -> None:
        """Answers that are small enough each add up."""

        async def small(scope: Scope, receive: Receive, send: Send) -> None:
            headers = [(b"content-length", b"50000")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"x" * 50_000})

        async with (
            serving(small, write_timeout_s=0.3) as served,
            await RawClient.connect(served.address, receive_buffer_bytes=4_096) as client,
        ):
            client.pause()
            client.send(GET * 1_000)
            await eventually(lambda: served.server.pending == 1)
            await eventually(served.is_empty)

    async def test_who_reads_slowly_gets_everything(self) -> None:
        """As long as something is taken now and then."""
        async with (
            serving(_much, write_timeout_s=1.5) as served,
            await RawClient.connect(served.address) as client,
        ):
            client.send(b"GET /close HTTP/1.1\r\nHost: x\r\n\r\n")
            taken = 0
            while some := await client.read_some(1_000_000):
                taken += len(some)
                await asyncio.sleep(0.03)
            assert taken > _MUCH_BYTES


class TestManyConnections:
    """More connections than there may be, on which it is the client's turn."""

    async def test_the_one_that_is_idle_for_the_longest_makes_room(self) -> None:
        """And the next one is served, however many there are."""
        async with serving(max_http_connections=2) as served, AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(await RawClient.connect(served.address)) for _ in range(5)
            ]
            for client in clients[:3]:
                assert (await client.get("/health")).status == 200
            assert await clients[0].read_to_end() == b""
            # Whoever asks again is idle anew.
            assert (await clients[1].get("/health")).status == 200
            assert (await clients[3].get("/health")).status == 200
            assert await clients[2].read_to_end() == b""
            assert (await clients[1].get("/health")).status == 200
            assert served.metrics.limits == {"http_connections": 2}

    async def test_slow_bodies_make_room(self) -> None:
        """A byte now and then is not service."""
        head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
        async with serving(max_http_connections=2) as served, AsyncExitStack() as stack:
            slow = [
                await stack.enter_async_context(await RawClient.connect(served.address)) for _ in range(6)
            ]
            for client in slow:
                client.send(head)
                await client.send_one_by_one(b"xxx")
            await eventually(lambda: served.metrics.limits["http_connections"] == 4)
            await eventually(lambda: served.server.pending == 2)
            async with await RawClient.connect(served.address) as other:
                assert (await other.get("/health")).status == 200

    async def test_who_is_served_stays(self) -> None:
        """It is our turn, however long it takes."""
        gate = asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/slow":
                await gate.wait()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})

        async with serving(slow, max_http_connections=1) as served, AsyncExitStack() as stack:
            served_ones = [
                await stack.enter_async_context(await RawClient.connect(served.address)) for _ in range(3)
            ]
            for client in served_ones:
                client.send(GET.replace(b"/health", b"/slow"))
            for _ in range(3):
                async with await RawClient.connect(served.address) as other:
                    assert (await other.get("/health")).status == 200
            gate.set()
            for client in served_ones:
                assert (await client.read_response()).status == 200
