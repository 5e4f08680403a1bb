"""Opens a wire and introduces itself: TLS, password, database, name; and asks whom it met.

Refuses servers the engine cannot work with, in words that say what to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from hub.engine.redis.address import Credentials, Endpoint, Kind, RedisAddress
from hub.engine.redis.wire import ReplyError, Wire, error_code
from hub.errors import EngineUnavailable

_OLDEST = (6, 2)
_OLDEST_CLUSTER = (7, 0)


class NotPrimary(EngineUnavailable):
    """The server answers but is a replica: whoever named it is late or wrong."""


@dataclass(frozen=True, slots=True)
class Server:
    """Whom a wire met. ``reign`` is another one after each restart and each promotion of a primary."""

    version: tuple[int, int]
    is_primary: bool
    in_cluster: bool
    reign: str


async def open_wire(
    address: RedisAddress, endpoint: Endpoint, *, timeout_s: float, name: str = "hub"
) -> Wire:
    """A wire to ``endpoint``, past password and database. The caller closes it with ``abort``.

    Raises:
        EngineUnavailable: when it cannot be had within ``timeout_s``; the text says why.
    """
    async with _opening(endpoint, address.tls, timeout_s) as wire:
        await _introduce(wire, endpoint, address.credentials, address.database, name)
        return wire


async def open_primary(
    address: RedisAddress, endpoint: Endpoint, *, timeout_s: float, name: str = "hub"
) -> tuple[Wire, Server]:
    """A wire to a primary of the kind that ``address`` expects, and whom it met.

    Raises:
        NotPrimary: it is a replica.
        EngineUnavailable: as :func:`open_wire`, and for a server that is too old or of another kind.
    """
    async with _opening(endpoint, address.tls, timeout_s) as wire:
        await _introduce(wire, endpoint, address.credentials, address.database, name)
        server = await _meet(wire, endpoint)
        _check(server, address.kind, endpoint)
        return wire, server


async def open_sentinel(address: RedisAddress, endpoint: Endpoint, *, timeout_s: float) -> Wire:
    """A wire to a Sentinel; else as :func:`open_wire`."""
    async with _opening(endpoint, address.tls, timeout_s) as wire:
        await _introduce(wire, endpoint, address.sentinel_credentials, 0, "")
        return wire


@contextlib.asynccontextmanager
async def _opening(endpoint: Endpoint, tls: ssl.SSLContext | None, timeout_s: float) -> AsyncIterator[Wire]:
    """Connects; closes the wire again, and names the cause, when what follows fails or takes too long."""
    wire = Wire()
    try:
        async with asyncio.timeout(timeout_s):
            await _connect(wire, endpoint, tls)
            yield wire
    except TimeoutError:
        wire.abort()
        raise EngineUnavailable(f"Redis at {endpoint} did not answer within {timeout_s:g} s") from None
    except ssl.SSLCertVerificationError as error:
        wire.abort()
        reason = error.verify_message or "unknown"
        raise EngineUnavailable(f"the certificate of Redis at {endpoint} is refused: {reason}") from None
    except OSError as error:
        wire.abort()
        raise EngineUnavailable(f"cannot reach Redis at {endpoint}: {_cause(error)}") from None
    except ValueError as error:
        # A host name that no resolver takes, for one: nothing that a retry loop may die of.
        wire.abort()
        raise EngineUnavailable(f"cannot reach Redis at {endpoint}: {type(error).__name__}") from None
    except BaseException:
        wire.abort()
        raise


def _cause(error: OSError) -> str:
    """In the words of the system, without the addresses that asyncio adds."""
    if error.errno is not None and error.errno > 0 and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    return error.strerror or str(error) or "the connection was lost"


async def _connect(wire: Wire, endpoint: Endpoint, tls: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    if endpoint.path:
        await loop.create_unix_connection(lambda: wire, endpoint.path)
        return
    transport, _ = await loop.create_connection(lambda: wire, endpoint.host, endpoint.port, ssl=tls)
    if (raw := transport.get_extra_info("socket")) is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


async def _introduce(
    wire: Wire, endpoint: Endpoint, credentials: Credentials, database: int, name: str
) -> None:
    commands: list[tuple[str | bytes | int, ...]] = []
    if credentials.password:
        login = (credentials.username,) if credentials.username else ()
        commands.append(("AUTH", *login, credentials.password))
    if database:
        commands.append(("SELECT", database))
    commands.append(("PING",))
    if name:
        commands.append(("CLIENT", "SETNAME", name))
    replies = await wire.ask(commands)
    if name:
        replies.pop()  # an access list may forbid it, and nothing depends on it
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise EngineUnavailable(_refusal(reply, endpoint))


def _refusal(error: Exception, endpoint: Endpoint) -> str:
    """Why a server does not let us in, without anything of what was sent to it."""
    match error_code(error):
        case "WRONGPASS":
            why = "refuses the user name or password of the URL (WRONGPASS)"
        case "NOAUTH":
            why = "wants a password and the URL gives none for it (NOAUTH)"
        case "LOADING":
            why = "is still loading its data (LOADING)"
        case "DENIED":
            why = "runs in protected mode and takes local connections only (DENIED)"
        case code if "without any password configured" in str(error):
            why = f"has no password set but the URL gives one ({code})"
        case code:
            why = f"refuses the connection ({code})"
    return f"Redis at {endpoint} {why}"


async def _meet(wire: Wire, endpoint: Endpoint) -> Server:
    replies = await wire.ask([("INFO", "server"), ("INFO", "replication")])
    facts: dict[str, str] = {}
    for reply in replies:
        if not isinstance(reply, bytes):
            raise EngineUnavailable(_refusal(reply, endpoint))
        for line in reply.decode(errors="replace").splitlines():
            key, _, value = line.partition(":")
            facts[key] = value
    return Server(
        version=_read_version(facts.get("redis_version", "")),
        is_primary=facts.get("role") == "master",
        in_cluster=facts.get("redis_mode") == "cluster",
        reign=_reign(facts),
    )


def _reign(facts: Mapping[str, str]) -> str:
    """Run id (another with each start) and former replication id (with each promotion).

    The run id alone would not tell a primary that was demoted, lost its tail to the new one, and was
    promoted again without a restart. The current replication id would change too often: whenever a
    first replica is attached.
    """
    former = facts.get("master_replid2", "").strip("0")
    return facts.get("run_id", "") + (f":{former}" if former else "")


def _read_version(text: str) -> tuple[int, int]:
    parts = text.split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) > 1 and (parts[0] + parts[1]).isdecimal() else (0, 0)


def _check(server: Server, kind: Kind, endpoint: Endpoint) -> None:
    version = ".".join(map(str, server.version))
    if kind == "cluster" and not server.in_cluster:
        raise EngineUnavailable(
            f"Redis at {endpoint} runs no Cluster: use redis:// instead of redis+cluster://"
        )
    if kind != "cluster" and server.in_cluster:
        raise EngineUnavailable(f"Redis at {endpoint} belongs to a Cluster: use redis+cluster://")
    if kind == "cluster" and server.version < _OLDEST_CLUSTER:
        raise EngineUnavailable(
            f"Redis at {endpoint} is {version}: a Cluster needs 7.0 or later, for sharded Pub/Sub"
        )
    if server.version < _OLDEST:
        raise EngineUnavailable(f"Redis at {endpoint} is {version}: 6.2 or later is needed")
    if not server.is_primary:
        raise NotPrimary(f"Redis at {endpoint} is a replica, not a primary")
