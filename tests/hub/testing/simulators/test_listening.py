"""What becomes of who connects, by the state of the door."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest

from hub.testing.simulators import ApnsSimulator, Door
from tests.hub.testing.simulators.apns.asking import BODY, headers
from tests.support.http2_client import http2_client


@pytest.fixture
async def apns() -> AsyncIterator[ApnsSimulator]:
    """One that runs."""
    async with ApnsSimulator() as simulator:
        yield simulator


async def test_a_refusing_door_and_an_open_one_share_the_port(apns: ApnsSimulator) -> None:
    """Those who are connected stay so."""
    port = apns.port
    async with http2_client(port, apns.client_context()) as client:
        await apns.set_door(Door.REFUSING)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert (await client.ask(headers(apns), BODY)).status == 200
    await apns.set_door(Door.OPEN)
    assert apns.port == port
    async with http2_client(port, apns.client_context()) as client:
        assert (await client.ask(headers(apns), BODY)).status == 200
    assert apns.connections_opened == 2


async def test_a_door_can_hang_up_at_once(apns: ApnsSimulator) -> None:
    """Before any TLS."""
    await apns.set_door(Door.HANGING_UP)
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await asyncio.open_connection("127.0.0.1", apns.port, ssl=apns.client_context())
    assert apns.connections_opened == 0


async def test_a_black_hole_accepts_and_never_answers(apns: ApnsSimulator) -> None:
    """The handshake waits for the client's patience to end."""
    await apns.set_door(Door.BLACK_HOLE)
    reader, writer = await asyncio.open_connection("127.0.0.1", apns.port)
    writer.write(b"\x16\x03\x01 is anybody there")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    writer.close()
    await writer.wait_closed()


async def test_who_is_connected_can_be_cut(apns: ApnsSimulator) -> None:
    """Without a word, and may come again."""
    async with http2_client(apns.port, apns.client_context()) as client:
        apns.cut()
        await client.until(lambda: client.closed)
        assert client.goaways == []
    async with http2_client(apns.port, apns.client_context()) as client:
        assert (await client.ask(headers(apns), BODY)).status == 200
