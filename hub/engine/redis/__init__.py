"""The Redis engine: streams, presence and control shared by any number of nodes.

Standalone, behind Sentinels, or as a Cluster. Knows the ports it fulfils, and nobody who uses them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hub.delivery.options import DeliveryOptions
from hub.engine import Engine
from hub.engine.redis.beside import BesideLifecycle
from hub.engine.redis.broker import RedisBroker
from hub.engine.redis.commands import Commands
from hub.engine.redis.control import RedisControl
from hub.engine.redis.devices import RedisDevices
from hub.engine.redis.janitor import Janitor
from hub.engine.redis.jobs import RedisJobs
from hub.engine.redis.keys import Keys
from hub.engine.redis.lanes import RedisLanes
from hub.engine.redis.leases import LeaseOptions, NodeLeases
from hub.engine.redis.ledger import RedisLedger
from hub.engine.redis.lifecycle import RedisLifecycle
from hub.engine.redis.link import Link
from hub.engine.redis.live_nodes import LiveNodes
from hub.engine.redis.options import RedisOptions
from hub.engine.redis.presence import RedisPresence
from hub.engine.redis.revocations import RedisRevocations
from hub.engine.redis.schema import Policy, SchemaMismatch
from hub.model import NodeId


class RedisHealth:
    """Whether Redis answers, as the link's own probes see it all the time."""

    def __init__(self, link: Link, commands: Commands) -> None:
        self._link = link
        self._commands = commands

    @property
    def answers(self) -> bool:
        return self._link.healthy

    @property
    def age_s(self) -> float:
        return self._link.probe_age_s

    def on_latency(self, callback: Callable[[float], None]) -> None:
        self._commands.on_latency = callback

    async def probe(self) -> None:
        await self._link.probe()


def redis_engine(
    options: RedisOptions,
    node_id: NodeId,
    *,
    namespaces: Policy | None,
    description: Mapping[str, Any] | None = None,
    now_ms: Callable[[], int] | None = None,
    delivery: DeliveryOptions | None = None,
) -> Engine:
    """The engine of one node. Opens nothing before its lifecycle is started.

    ``namespaces`` are the options that all nodes on this Redis must agree on; None makes it the
    engine of somebody who is no node: without lease, presence and control. ``description``
    is what operators are told of this node; both JSON-ready. ``now_ms`` replaces the server's
    clock where streams and the ledger ask for it, and is for tests alone.
    ``delivery`` are the delays of the ledger.

    Raises:
        ValueError: for a URL that names no Redis.
    """
    keys = Keys(options.prefix, options.partitions)
    commands = Commands(options, keys)
    link = Link(options, keys, commands, node_id)
    leases = NodeLeases(
        commands, keys, node_id, LeaseOptions(options.lease_s, options.lease_renew_s), description or {}
    )
    presence = RedisPresence(commands, keys, leases)
    delays = delivery or DeliveryOptions()
    nodes = LiveNodes(commands, keys)
    ledger = RedisLedger(commands, link, keys, nodes, delays, now_ms=now_ms)
    return Engine(
        name="redis",
        lifecycle=BesideLifecycle(commands, link, keys, ledger, options.partitions)
        if namespaces is None
        else RedisLifecycle(
            commands,
            link,
            keys,
            leases,
            presence,
            Janitor(commands, keys, leases),
            ledger,
            namespaces,
            replace_policy=options.replace_policy,
        ),
        broker=RedisBroker(commands, link, keys, now_ms=now_ms),
        presence=presence,
        control=RedisControl(commands, link, keys, leases),
        health=RedisHealth(link, commands),
        ledger=ledger,
        devices=RedisDevices(commands, keys, nodes, delays, now_ms=now_ms),
        jobs=RedisJobs(commands, keys, now_ms=now_ms),
        lanes=RedisLanes(commands, keys, now_ms=now_ms),
        revocations=RedisRevocations(commands, keys, options.max_revocations, now_ms=now_ms),
    )


__all__ = ["RedisOptions", "SchemaMismatch", "redis_engine"]
