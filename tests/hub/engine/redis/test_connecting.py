"""Who lets us in, who does not, and in which words."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from hub.engine.redis.address import RedisAddress, parse_address
from hub.engine.redis.connecting import NotPrimary, Server, open_primary, open_wire
from hub.errors import EngineUnavailable
from tests.support.certificates import make_certificate
from tests.support.processes import free_port
from tests.support.redis_server import RedisServer, redis_server, until


async def meet(url: str) -> Server:
    """Connect, look, and leave."""
    address = parse_address(url)
    wire, server = await open_primary(address, address.seeds[0], timeout_s=2.0)
    wire.abort()
    return server


async def refusal(url: str) -> str:
    """Why a server is not used."""
    with pytest.raises(EngineUnavailable) as caught:
        await meet(url)
    return caught.value.detail


async def test_a_primary_tells_who_it_is(tmp_path: Path) -> None:
    """Another start is another reign."""
    async with redis_server(tmp_path, keeps_data=True) as server:
        first = await meet(server.url)
        assert first.is_primary
        assert first.version >= (6, 2)
        assert (await meet(server.url)).reign == first.reign
        await server.restart()
        assert (await meet(server.url)).reign != first.reign


async def test_a_promotion_is_another_reign_without_a_restart(tmp_path: Path) -> None:
    """Demoted, in step with another one, and promoted again."""
    async with redis_server(tmp_path / "a") as server, redis_server(tmp_path / "b") as other:
        first = await meet(server.url)
        await server.order("REPLICAOF", *other.address)
        await until(lambda: _in_step(server))
        with pytest.raises(NotPrimary, match="is a replica"):
            await meet(server.url)
        await server.order("REPLICAOF", "NO", "ONE")
        assert (await meet(server.url)).reign != first.reign


async def test_a_first_replica_does_not_change_the_reign(tmp_path: Path) -> None:
    """Nothing is lost by it."""
    async with redis_server(tmp_path / "a") as server, redis_server(tmp_path / "b") as other:
        first = await meet(server.url)
        await other.order("REPLICAOF", *server.address)
        await until(lambda: _in_step(other))
        assert (await meet(server.url)).reign == first.reign


async def _in_step(server: RedisServer) -> bool:
    return (await server.info("replication"))["master_link_status"] == "up"


async def test_database_and_socket(tmp_path: Path) -> None:
    """The path of a socket, and a number other than 0."""
    async with redis_server(tmp_path, password="secret") as server:
        address = parse_address(f"unix://:secret@{server.socket_path}?db=3")
        wire = await open_wire(address, address.seeds[0], timeout_s=2.0)
        assert await wire.ask([("SET", "here", 1)]) == [b"OK"]
        wire.abort()
        assert "db3" in await server.info("keyspace")


async def test_passwords(tmp_path: Path) -> None:
    """The right one, a wrong one, none, and one too many; none of them is ever said."""
    async with (
        redis_server(tmp_path / "a", password="sec/ret") as locked,
        redis_server(tmp_path / "b") as free,
    ):
        place = f"127.0.0.1:{locked.port}"
        assert (await meet(f"redis://:sec%2Fret@{place}")).is_primary
        assert await refusal(f"redis://:wrong@{place}") == (
            f"Redis at {place} refuses the user name or password of the URL (WRONGPASS)"
        )
        assert "wants a password" in await refusal(f"redis://{place}")
        assert "has no password set" in await refusal(f"redis://:secret@127.0.0.1:{free.port}")


async def test_tls(tmp_path: Path) -> None:
    """A certificate that is trusted lets in; one that is not is named as the cause."""
    certificate = make_certificate(tmp_path)
    async with redis_server(tmp_path / "server", password="secret", certificate=certificate) as server:
        assert (await meet(server.url)).is_primary
        assert "the certificate of Redis" in await refusal(f"rediss://:secret@localhost:{server.port}")
        assert (await meet(f"rediss://:secret@localhost:{server.port}?ssl_cert_reqs=none")).is_primary


async def test_nobody_there() -> None:
    """Said at once."""
    assert re.search(
        "cannot reach Redis at 127.0.0.1:.*refused", await refusal(f"redis://127.0.0.1:{free_port()}")
    )


async def test_a_frozen_server_is_given_up_in_time(tmp_path: Path) -> None:
    """The kernel still accepts for it."""
    async with redis_server(tmp_path) as server:
        server.pause()
        address = parse_address(server.url)
        with pytest.raises(EngineUnavailable, match=r"did not answer within 0\.2 s"):
            await open_primary(address, address.seeds[0], timeout_s=0.2)


@pytest.mark.parametrize(
    ("facts", "kind", "words"),
    [
        ("redis_version:6.0.9\r\nredis_mode:standalone\r\nrole:master", "redis", "6.2 or later is needed"),
        ("redis_version:6.2.9\r\nredis_mode:cluster\r\nrole:master", "redis+cluster", "needs 7.0 or later"),
        ("redis_version:7.2.4\r\nredis_mode:cluster\r\nrole:master", "redis", r"use redis\+cluster://"),
        ("redis_version:7.2.4\r\nredis_mode:standalone\r\nrole:master", "redis+cluster", "runs no Cluster"),
        ("redis_version:unstable\r\nredis_mode:standalone\r\nrole:master", "redis", "6.2 or later is needed"),
    ],
)
async def test_servers_of_the_wrong_kind_are_refused(facts: str, kind: str, words: str) -> None:
    """With what to do about it."""
    assert re.search(words, await _met_as(facts, kind))


async def _met_as(facts: str, kind: str) -> str:
    """The refusal of a server that says these facts of itself."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = facts.encode()
        await reader.readuntil(b"PING\r\n")
        await reader.readuntil(b"hub\r\n")
        writer.write(b"+PONG\r\n+OK\r\n")
        await reader.readuntil(b"replication\r\n")
        writer.write(b"$%d\r\n%s\r\n$0\r\n\r\n" % (len(text), text))
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        return await refusal(f"{kind}://{host}:{port}")
    finally:
        await ended.wait()
        server.close()
        await server.wait_closed()


async def test_a_name_that_nobody_has() -> None:
    """As a failure of the engine, like every other."""
    address: RedisAddress = parse_address("redis://redis.invalid")
    with pytest.raises(EngineUnavailable, match=r"redis\.invalid"):
        await open_primary(address, address.seeds[0], timeout_s=2.0)
