"""Real Redis servers for tests: alone, behind Sentinels, as a Cluster; broken on purpose, always stopped.

Orders go by redis-py, so that our own client never vouches for itself. Nothing here is bound to a
loop: a fixture of a whole module may share one.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tests.support.certificates import LocalCertificate
from tests.support.processes import RunningProcess, free_port, running

_LOOK_EVERY_S = 0.02
_START_TIMEOUT_S = 20.0
_SLOTS = 16384


class RedisServer:
    """One server process. Port and folder stay the same over restarts."""

    def __init__(
        self,
        folder: Path,
        *,
        password: str = "",
        certificate: LocalCertificate | None = None,
        keeps_data: bool = False,
        settings: Sequence[str] = (),
        sentinel_config: Path | None = None,
        bus_port: int = 0,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.bus_port = bus_port
        self.password = password
        self.certificate = certificate
        self.socket_path = folder / "redis.sock"
        self._keeps_data = keeps_data
        self._settings = list(settings)
        self._sentinel_config = sentinel_config
        self._stack = contextlib.AsyncExitStack()
        self._process: RunningProcess | None = None
        self._paused = False

    @property
    def url(self) -> str:
        """Its URL, with the password if it has one."""
        login = f":{self.password}@" if self.password else ""
        if self.certificate is not None:
            return f"rediss://{login}localhost:{self.port}?ssl_ca_certs={self.certificate.certfile}"
        return f"redis://{login}127.0.0.1:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    async def start(self) -> None:
        """Run it; returns once it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = await self._stack.enter_async_context(
            running(self._command(), log_path=self.folder / "server.log", port=self.port)
        )
        await until(self._answers)

    async def stop(self) -> None:
        """End it in order. Idempotent."""
        if self._paused:
            self.resume()
        stack, self._stack = self._stack, contextlib.AsyncExitStack()
        self._process = None
        await stack.aclose()

    async def kill(self) -> None:
        """End it at once, as a crash does."""
        assert self._process is not None, "it does not run"
        self._process.send(signal.SIGKILL)
        self._paused = False
        await self._process.wait()
        await self.stop()

    async def restart(self, *, crash: bool = False) -> None:
        """End it and run it again: empty, unless it was made to keep its data."""
        await (self.kill() if crash else self.stop())
        await self.start()

    def pause(self) -> None:
        """Freeze it: its connections stay open and nothing is answered."""
        assert self._process is not None, "it does not run"
        self._process.send(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """End a freeze."""
        assert self._process is not None, "it does not run"
        self._process.send(signal.SIGCONT)
        self._paused = False

    async def order(self, *command: str | int | bytes) -> Any:
        """Run one command on it over a connection of its own. Text comes back as str.

        Raises:
            RedisError: as redis-py tells it.
        """
        client = Redis(
            host="localhost" if self.certificate is not None else "127.0.0.1",
            port=self.port,
            password=self.password or None,
            ssl=self.certificate is not None,
            ssl_ca_certs=str(self.certificate.certfile) if self.certificate is not None else None,
            ssl_min_version=ssl.TLSVersion.TLSv1_2,
            decode_responses=True,
            protocol=2,
            single_connection_client=True,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=5,
        )
        try:
            # Raw: a reply as the server gave it, whatever redis-py would make of it.
            client.response_callbacks.clear()
            return await client.execute_command(*command)
        finally:
            await client.aclose()

    async def info(self, section: str) -> dict[str, str]:
        """One section of INFO."""
        lines = (await self.order("INFO", section)).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    async def calls_of(self, command: str) -> int:
        """How often a command was run since the server started or ``CONFIG RESETSTAT``."""
        row = (await self.info("commandstats")).get(f"cmdstat_{command.lower()}", "calls=0,")
        return int(row.split(",")[0].removeprefix("calls="))

    async def kill_clients(self, kind: str) -> int:
        """Close all connections of a kind: ``normal`` or ``pubsub``. Returns how many there were."""
        return int(await self.order("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"))

    def _command(self) -> list[str]:
        if self._sentinel_config is not None:
            return ["redis-server", str(self._sentinel_config), "--sentinel"]
        command = ["redis-server", "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        command += ["--unixsocket", str(self.socket_path), "--repl-diskless-sync-delay", "0"]
        if self.certificate is None:
            command += ["--port", str(self.port)]
        else:
            command += ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            command += ["--tls-cert-file", str(self.certificate.certfile)]
            command += ["--tls-key-file", str(self.certificate.keyfile)]
        if self.password:
            command += ["--requirepass", self.password, "--masterauth", self.password]
        if self.bus_port:
            command += ["--cluster-port", str(self.bus_port)]
        if self._keeps_data:
            command += ["--appendonly", "yes", "--appendfsync", "always"]
        return [*command, *self._settings]

    async def _answers(self) -> bool:
        return bool(await self.order("PING") == "PONG")


@contextlib.asynccontextmanager
async def redis_server(
    folder: Path,
    *,
    password: str = "",
    certificate: LocalCertificate | None = None,
    keeps_data: bool = False,
    settings: Sequence[str] = (),
) -> AsyncIterator[RedisServer]:
    """A server for the length of the block. ``settings`` are added to its command line."""
    server = RedisServer(
        folder, password=password, certificate=certificate, keeps_data=keeps_data, settings=settings
    )
    async with _all_running([server]):
        yield server


class RedisSentinels:
    """One primary, its replicas, three Sentinels that agree on who is the primary."""

    name = "mymaster"

    def __init__(self, servers: Sequence[RedisServer], sentinels: Sequence[RedisServer]) -> None:
        self.servers = servers
        self.sentinels = sentinels

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{self.name}"

    async def primary(self) -> RedisServer:
        """The primary that the first Sentinel names."""
        _, port = await self.sentinels[0].order("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
        return next(server for server in self.servers if server.port == int(port))

    async def fail_over(self) -> None:
        """Let the Sentinels put a replica in the place of a primary that works."""
        former = await self.primary()
        await self.sentinels[0].order("SENTINEL", "FAILOVER", self.name)
        await self.wait_for_primary_after(former)

    async def wait_for_primary_after(self, former: RedisServer) -> None:
        """Return once the Sentinels name another primary, and it takes writes."""

        async def promoted() -> bool:
            primary = await self.primary()
            return primary is not former and (await primary.info("replication"))["role"] == "master"

        await until(promoted)


@contextlib.asynccontextmanager
async def redis_sentinels(folder: Path, *, replica_count: int = 1) -> AsyncIterator[RedisSentinels]:
    """Sentinels and what they watch, for the length of the block. They notice a dead primary in 0.5 s."""
    primary = RedisServer(folder / "server0")
    follow = ["--replicaof", f"127.0.0.1 {primary.port}"]
    replicas = [RedisServer(folder / f"server{n}", settings=follow) for n in range(1, replica_count + 1)]
    servers = [primary, *replicas]
    async with _all_running(servers):
        for replica in replicas:
            await until(lambda replica=replica: _is_in_step(replica))  # type: ignore[misc]
        sentinels = [_sentinel(folder / f"sentinel{n}", primary.port) for n in range(3)]
        async with _all_running(sentinels):
            for sentinel in sentinels:
                await until(lambda sentinel=sentinel: _sees_all(sentinel, replica_count))  # type: ignore[misc]
            yield RedisSentinels(servers, sentinels)


class RedisCluster:
    """Primaries that share the slots, each with its replicas. All on loopback."""

    def __init__(self, primaries: Sequence[RedisServer], replicas: Sequence[RedisServer]) -> None:
        self.servers = [*primaries, *replicas]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers[:3])
        return f"redis+cluster://{hosts}"

    async def id_of(self, server: RedisServer) -> str:
        return str(await server.order("CLUSTER", "MYID"))

    async def primary_of(self, slot: int, asked: RedisServer | None = None) -> RedisServer:
        """Who serves a slot, as ``asked`` (or the first that answers) sees it."""
        for server in [asked] if asked is not None else self.servers:
            with contextlib.suppress(RedisError, OSError):
                for first, last, primary, *_ in await server.order("CLUSTER", "SLOTS"):
                    if first <= slot <= last:
                        return next(known for known in self.servers if known.port == primary[1])
        raise LookupError(f"nobody serves slot {slot}")

    async def replicas_of(self, primary: RedisServer) -> list[RedisServer]:
        rows = await primary.order("CLUSTER", "REPLICAS", await self.id_of(primary))
        ports = {int(row.split()[1].split("@")[0].split(":")[1]) for row in rows}
        return [server for server in self.servers if server.port in ports]

    async def begin_move(self, slot: int, target: RedisServer) -> RedisServer:
        """Mark the slot as on its way to ``target``. Returns whose it is."""
        source = await self.primary_of(slot)
        await target.order("CLUSTER", "SETSLOT", slot, "IMPORTING", await self.id_of(source))
        await source.order("CLUSTER", "SETSLOT", slot, "MIGRATING", await self.id_of(target))
        return source

    async def move_keys(self, slot: int, source: RedisServer, target: RedisServer) -> int:
        """Carry all keys of the slot over. Returns how many there were."""
        keys = await source.order("CLUSTER", "GETKEYSINSLOT", slot, 10_000)
        if keys:
            await source.order("MIGRATE", *target.address, "", 0, 5000, "KEYS", *keys)
        return len(keys)

    async def finish_move(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        """Hand the slot over."""
        for server in (target, source):
            await server.order("CLUSTER", "SETSLOT", slot, "NODE", await self.id_of(target))

    async def move_slot(self, slot: int, target: RedisServer) -> None:
        """Move a slot with all its keys, as a resharding does."""
        source = await self.begin_move(slot, target)
        while await self.move_keys(slot, source, target):
            pass
        await self.finish_move(slot, source, target)

    async def fail_over(self, primary: RedisServer) -> RedisServer:
        """Kill a primary; returns the replica once it has taken its place."""
        (replica, *_) = await self.replicas_of(primary)
        await primary.kill()

        async def promoted() -> bool:
            whole = "cluster_state:ok" in await replica.order("CLUSTER", "INFO")
            return whole and (await replica.info("replication"))["role"] == "master"

        await until(promoted)
        return replica


@contextlib.asynccontextmanager
async def redis_cluster(
    folder: Path, *, replicas_per_primary: int = 0, node_timeout_ms: int = 1000
) -> AsyncIterator[RedisCluster]:
    """Three primaries and their replicas for the length of the block."""
    servers = []
    for number in range(3 * (1 + replicas_per_primary)):
        settings = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]
        settings += ["--cluster-node-timeout", str(node_timeout_ms)]
        settings += ["--cluster-replica-validity-factor", "0"]
        servers.append(RedisServer(folder / f"node{number}", settings=settings, bus_port=free_port()))
    primaries, replicas = servers[:3], servers[3:]
    async with _all_running(servers):
        for number, primary in enumerate(primaries):
            first, last = _SLOTS * number // 3, _SLOTS * (number + 1) // 3 - 1
            await primary.order("CLUSTER", "ADDSLOTSRANGE", first, last)
            await primary.order("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server in servers[1:]:
            await primaries[0].order("CLUSTER", "MEET", *server.address, server.bus_port)
        for server in servers:
            await until(lambda server=server: _knows(server, len(servers)))  # type: ignore[misc]
        for number, replica in enumerate(replicas):
            primary_id = await primaries[number % 3].order("CLUSTER", "MYID")
            await replica.order("CLUSTER", "REPLICATE", primary_id)
        for server in servers:
            await until(lambda server=server: _is_whole(server))  # type: ignore[misc]
        for replica in replicas:
            await until(lambda replica=replica: _is_in_step(replica))  # type: ignore[misc]
        yield RedisCluster(primaries, replicas)


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = _START_TIMEOUT_S) -> None:
    """Return once ``await condition()`` is true; a server that does not answer counts as not yet.

    Raises:
        TimeoutError: when it does not become so in time.
    """
    async with asyncio.timeout(timeout_s):
        while True:
            with contextlib.suppress(RedisError, OSError):
                if await condition():
                    return
            await asyncio.sleep(_LOOK_EVERY_S)


@contextlib.asynccontextmanager
async def _all_running(servers: Sequence[RedisServer]) -> AsyncIterator[None]:
    try:
        await asyncio.gather(*(server.start() for server in servers))
        yield
    finally:
        await asyncio.gather(*(server.stop() for server in servers), return_exceptions=True)


def _sentinel(folder: Path, primary_port: int) -> RedisServer:
    folder.mkdir(parents=True)
    config = folder / "sentinel.conf"
    sentinel = RedisServer(folder, sentinel_config=config)
    config.write_text(
        f"port {sentinel.port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor {RedisSentinels.name} 127.0.0.1 {primary_port} 2\n"
        f"sentinel down-after-milliseconds {RedisSentinels.name} 500\n"
        f"sentinel failover-timeout {RedisSentinels.name} 3000\n"
    )
    return sentinel


async def _is_in_step(replica: RedisServer) -> bool:
    return (await replica.info("replication")).get("master_link_status") == "up"


async def _sees_all(sentinel: RedisServer, replica_count: int) -> bool:
    row = await sentinel.order("SENTINEL", "MASTER", RedisSentinels.name)
    seen = dict(zip(row[::2], row[1::2], strict=True))
    return int(seen["num-slaves"]) == replica_count and int(seen["num-other-sentinels"]) == 2


async def _knows(server: RedisServer, count: int) -> bool:
    rows = (await server.order("CLUSTER", "NODES")).splitlines()
    return len(rows) == count and not any("handshake" in row for row in rows)


async def _is_whole(server: RedisServer) -> bool:
    return "cluster_state:ok" in await server.order("CLUSTER", "INFO")
