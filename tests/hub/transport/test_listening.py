"""Sockets for every address of a host."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from hub.transport.listening import open_listeners


async def names(host: str, port: int = 0, *, reuse_port: bool = False) -> list[tuple[str, int]]:
    with contextlib.ExitStack() as stack:
        listeners = await open_listeners(host, port, reuse_port=reuse_port)
        for listener in listeners:
            stack.enter_context(listener)
        return [listener.getsockname()[:2] for listener in listeners]


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("::1", ["::1"]),
        ("localhost", ["127.0.0.1", "::1"]),
        ("0.0.0.0", ["0.0.0.0"]),
        ("", ["0.0.0.0", "::"]),
    ],
)
async def test_addresses_share_one_free_port(host: str, addresses: list[str]) -> None:
    """Port 0 is chosen once for all of them."""
    bound = await names(host)
    assert sorted(address for address, _ in bound) == addresses
    assert len({port for _, port in bound}) == 1
    assert bound[0][1] > 0


async def test_a_port_taken_on_one_address_of_two() -> None:
    """Nothing is left bound, and the text says where it failed."""
    with socket.socket(socket.AF_INET6) as taken:
        taken.bind(("::1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on ::1 port {port}"):
            await open_listeners("localhost", port)
        assert await names("127.0.0.1", port) == [("127.0.0.1", port)]


async def test_two_processes_may_share_a_port() -> None:
    """With SO_REUSEPORT on both."""
    (first,) = await open_listeners("127.0.0.1", 0, reuse_port=True)
    with first:
        port = first.getsockname()[1]
        assert await names("127.0.0.1", port, reuse_port=True) == [("127.0.0.1", port)]


async def test_an_unknown_host_is_an_error() -> None:
    """The resolver's own."""
    with pytest.raises(OSError):
        await open_listeners("no-such-host.invalid", 0)


async def test_small_answers_are_not_held_back() -> None:
    """A connection taken on these sockets sends what it is given at once, on either event loop."""
    (listener,) = await open_listeners("127.0.0.1", 0)
    accepted: asyncio.Future[asyncio.BaseTransport] = asyncio.get_running_loop().create_future()

    class Accepting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.set_result(transport)

    server = await asyncio.get_running_loop().create_server(Accepting, sock=listener)
    async with server:
        with socket.create_connection(listener.getsockname()):
            transport = await accepted
            sock = transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            transport.close()
