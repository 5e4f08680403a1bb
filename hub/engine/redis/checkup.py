"""A look at the servers an engine would use, before anything runs on them. Changes nothing there.

Tells facts and judges none of them; knows neither settings nor what a hub needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from hub.engine.redis.address import Endpoint, RedisAddress, parse_address
from hub.engine.redis.connecting import open_primary, open_wire
from hub.engine.redis.keys import CONTROL_TAG, Keys
from hub.engine.redis.options import RedisOptions
from hub.engine.redis.schema import Agreement, Policy, agreement_of, differences_between
from hub.engine.redis.topology import Topology, make_topology
from hub.engine.redis.wire import ReplyError, Wire
from hub.errors import EngineUnavailable

_SECTIONS = ("server", "clients", "memory", "persistence", "replication", "stats")
_CONFIG = ("client-output-buffer-limit", "timeout", "appendfsync", "min-replicas-to-write")
_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One primary as it is now.

    ``info`` is what INFO says. ``config`` is empty where an access list keeps CONFIG to itself.
    ``round_trips_s`` are single commands, ``clock_ahead_s`` is its clock against ours, ``hears_itself``
    whether a message that was published there arrived at whoever listens there.
    """

    endpoint: str
    info: Mapping[str, str]
    config: Mapping[str, str]
    round_trips_s: tuple[float, ...]
    clock_ahead_s: float
    hears_itself: bool

    @property
    def version(self) -> str:
        """As the server says it."""
        return self.info.get("redis_version", "unknown")


@dataclass(frozen=True, slots=True)
class SharedState:
    """What the hubs on these keys agreed on, None before the first one; how many live; what would differ."""

    agreement: Agreement | None
    living_nodes: int
    differences: tuple[str, ...]


async def examine_servers(options: RedisOptions) -> list[ServerFacts | EngineUnavailable]:
    """Every primary, and for those that cannot be used the reason.

    Raises:
        EngineUnavailable: it cannot be learned where the primaries are.
        ValueError: the URL is none.
    """
    async with _primaries(options) as (address, topology):
        found: list[ServerFacts | EngineUnavailable] = []
        for endpoint in sorted(topology.endpoints, key=str):
            try:
                found.append(await _examine(options, address, endpoint, sharded=topology.sharded))
            except EngineUnavailable as error:
                found.append(error)
        return found


async def examine_shared_state(options: RedisOptions, namespaces: Policy) -> SharedState:
    """Whether hubs that use these keys would let one with ``namespaces`` join them.

    Raises:
        EngineUnavailable: Redis did not answer.
        ValueError: the URL is none.
    """
    keys = Keys(options.prefix, options.partitions)
    async with _primaries(options) as (address, topology):
        endpoint = topology.endpoint_of(CONTROL_TAG)
        if endpoint is None:
            raise EngineUnavailable("nobody serves the control keys")
        wire, _ = await open_primary(address, endpoint, timeout_s=options.connect_timeout_s)
        try:
            fields, (seconds, _) = await _ask(
                wire,
                options.command_timeout_s,
                ("HMGET", keys.schema, "schema", "partitions", "policy", "options", "most_partitions"),
                ("TIME",),
            )
            (living,) = await _ask(
                wire, options.command_timeout_s, ("ZCOUNT", keys.nodes, int(seconds) * 1000, "+inf")
            )
        finally:
            wire.abort()
    held = agreement_of(fields)
    differences = () if held is None else differences_between(options.partitions, namespaces, held)
    return SharedState(held, int(living), tuple(differences))


@contextlib.asynccontextmanager
async def _primaries(options: RedisOptions) -> AsyncIterator[tuple[RedisAddress, Topology]]:
    address = parse_address(options.url)
    topology = make_topology(options, address)
    try:
        await topology.refresh()
        yield address, topology
    finally:
        await topology.stop()


async def _examine(
    options: RedisOptions, address: RedisAddress, endpoint: Endpoint, *, sharded: bool
) -> ServerFacts:
    wire, _ = await open_primary(address, endpoint, timeout_s=options.connect_timeout_s)
    try:
        timeout_s = options.command_timeout_s
        info: dict[str, str] = {}
        for section in await _ask(wire, timeout_s, *(("INFO", name) for name in _SECTIONS)):
            lines = section.decode(errors="replace").splitlines()
            info.update(line.split(":", 1) for line in lines if ":" in line)
        return ServerFacts(
            endpoint=str(endpoint),
            info=info,
            config=await _config(wire, timeout_s),
            round_trips_s=await _round_trips(wire, timeout_s),
            clock_ahead_s=await _clock_ahead(wire, timeout_s),
            hears_itself=await _hears_itself(wire, options, address, endpoint, sharded=sharded),
        )
    except ConnectionError as error:
        raise EngineUnavailable(f"Redis at {endpoint}: {error}") from None
    finally:
        wire.abort()


async def _config(wire: Wire, timeout_s: float) -> dict[str, str]:
    found: dict[str, str] = {}
    with contextlib.suppress(EngineUnavailable):
        for pair in await _ask(wire, timeout_s, *(("CONFIG", "GET", name) for name in _CONFIG)):
            if len(pair) == 2:
                found[pair[0].decode()] = pair[1].decode()
    return found


async def _round_trips(wire: Wire, timeout_s: float) -> tuple[float, ...]:
    taken_s: list[float] = []
    for _ in range(_ROUNDS):
        began_s = time.perf_counter()
        await _ask(wire, timeout_s, ("PING",))
        taken_s.append(time.perf_counter() - began_s)
    return tuple(taken_s)


async def _clock_ahead(wire: Wire, timeout_s: float) -> float:
    before_s = time.time()
    ((seconds, microseconds),) = await _ask(wire, timeout_s, ("TIME",))
    # Its answer was made somewhere between our two looks at the clock.
    return float(int(seconds) + int(microseconds) / 1e6 - (before_s + time.time()) / 2)


async def _hears_itself(
    wire: Wire, options: RedisOptions, address: RedisAddress, endpoint: Endpoint, *, sharded: bool
) -> bool:
    channel = Keys(options.prefix, options.partitions).probe(CONTROL_TAG, f"doctor-{secrets.token_hex(8)}")
    listening = await open_wire(address, endpoint, timeout_s=options.connect_timeout_s)
    subscribe, publish = ("SSUBSCRIBE", "SPUBLISH") if sharded else ("SUBSCRIBE", "PUBLISH")
    try:
        await _ask(listening, options.command_timeout_s, (subscribe, channel))
        (heard,) = await _ask(wire, options.command_timeout_s, (publish, channel, "heard"))
    except EngineUnavailable as error:
        # In a Cluster one primary serves the control keys, the others refer to it.
        return "MOVED" in error.detail
    finally:
        listening.abort()
    return int(heard) > 0


async def _ask(wire: Wire, timeout_s: float, *commands: tuple[str | bytes | int, ...]) -> list[Any]:
    try:
        async with asyncio.timeout(timeout_s):
            replies = await wire.ask(commands)
    except TimeoutError:
        raise EngineUnavailable(f"no answer within {timeout_s:g} s") from None
    except ConnectionError as error:
        raise EngineUnavailable(str(error)) from None
    for command, reply in zip(commands, replies, strict=True):
        if isinstance(reply, ReplyError):
            raise EngineUnavailable(f"{command[0]!r} is refused ({str(reply).partition(' ')[0]})")
    return replies
