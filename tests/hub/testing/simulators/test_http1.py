"""HTTP/1.1 as far as the simulators speak it, byte by byte."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from hub.testing.simulators import Fault, FcmSimulator

PATH = "/v1/projects/simulated-project/messages:send"
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {{}}\r\n"
BODY = '{"message":{"token":"t"}}'


@pytest.fixture
async def fcm() -> AsyncIterator[FcmSimulator]:
    """One without TLS."""
    async with FcmSimulator(tls=False) as simulator:
        yield simulator


async def said(fcm: FcmSimulator, *parts: str) -> str:
    """What is answered to these bytes, sent piece by piece, until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", fcm.port)
    for part in parts:
        writer.write(part.encode())
        await writer.drain()
        await asyncio.sleep(0)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    return answer.decode()


def request(fcm: FcmSimulator, *more: str, body: str = BODY) -> str:
    """A whole request; ``more`` are further header lines."""
    lines = "".join(f"{line}\r\n" for line in (f"Content-Length: {len(body)}", *more))
    return HEAD.format(fcm.access_token()) + lines + "\r\n" + body


async def test_requests_of_a_connection_are_answered_in_order(fcm: FcmSimulator) -> None:
    """Also when the second was sent before the first was answered."""
    fcm.script("t", [Fault.slow(0.05)])
    answer = await said(fcm, request(fcm) + request(fcm, "Connection: close", body='{"message":{}}'))
    assert re.findall(r"HTTP/1.1 (\d+)", answer) == ["200", "400"]
    assert fcm.connections_opened == 1


async def test_a_body_may_come_in_chunks_and_in_pieces(fcm: FcmSimulator) -> None:
    """As clients that stream send it."""
    head = HEAD.format(fcm.access_token()) + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    chunks = [f"{len(part):x}\r\n{part}\r\n" for part in (BODY[:7], BODY[7:])]
    answer = await said(fcm, head[:30], head[30:], *chunks, "0\r\n", "\r\n")
    assert answer.startswith("HTTP/1.1 200 OK")
    assert fcm.ledger.last.body == BODY.encode()


@pytest.mark.parametrize(
    "bytes_sent",
    [
        "hello\r\n\r\n",
        "GET / SPDY/3\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_no_request_ends_the_connection(fcm: FcmSimulator, bytes_sent: str) -> None:
    """400, on record, and no more."""
    assert (await said(fcm, bytes_sent)).startswith("HTTP/1.1 400 ")
    assert len(fcm.violations) == 1


async def test_reset_and_cut_are_the_same_here(fcm: FcmSimulator) -> None:
    """Nothing is answered."""
    fcm.script("t", [Fault.reset(), Fault.close(accepted=True)])
    for _ in range(2):
        assert await said(fcm, request(fcm)) == ""
    assert len(fcm.ledger) == 1


async def test_a_goodbye_is_the_last_answer(fcm: FcmSimulator) -> None:
    """It says that the connection closes."""
    fcm.script("t", [Fault.go_away()])
    assert "connection: close" in await said(fcm, request(fcm))
