"""The parts of several hub nodes in one process, on one real Redis, each with connections of its own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from hub.engine.redis.commands import Commands
from hub.engine.redis.control import RedisControl
from hub.engine.redis.janitor import Janitor
from hub.engine.redis.keys import CONTROL_TAG, Keys
from hub.engine.redis.leases import LeaseOptions, NodeLeases
from hub.engine.redis.link import Link
from hub.engine.redis.options import RedisOptions
from hub.engine.redis.presence import RedisPresence
from hub.model import ClientInfo, NodeId

STILL = LeaseOptions(lease_s=60.0, renew_s=30.0)
"""Leases for tests that renew, end and look by themselves."""


@dataclass(slots=True)
class NodeParts:
    """One node; its leases, audits and janitor move when the test says so, unless it starts them."""

    options: RedisOptions
    keys: Keys
    commands: Commands
    link: Link
    leases: NodeLeases
    presence: RedisPresence
    janitor: Janitor
    control: RedisControl

    async def end_lease(self, lease: str) -> None:
        """Let a lease have run out a while ago."""
        await self.commands.call(CONTROL_TAG, "ZADD", self.keys.nodes, 1, lease)

    async def names(self) -> set[str]:
        """Every key of presence, without prefix and tag."""
        found: set[str] = set()
        for tag in self.keys.partition_tags:
            start = f"{self.options.prefix}{{{tag}}}:"
            for name in await self.commands.call(tag, "KEYS", f"{start}*"):
                found.add(name.decode().removeprefix(start))
        return {name for name in found if not name.startswith(("term", "probe"))}


@contextlib.asynccontextmanager
async def running_node(
    options: RedisOptions, name: str, lease_options: LeaseOptions = STILL
) -> AsyncIterator[NodeParts]:
    """A node that has long held a lease. Presence, janitor and control are not started."""
    keys = Keys(options.prefix, options.partitions)
    node_id = NodeId(name)
    async with contextlib.AsyncExitStack() as undo:
        commands = Commands(options, keys)
        await commands.start()
        undo.push_async_callback(commands.stop)
        link = Link(options, keys, commands, node_id)
        await link.start()
        undo.push_async_callback(link.stop)
        leases = NodeLeases(commands, keys, node_id, lease_options, {"name": name})
        await leases.start()
        undo.push_async_callback(leases.stop)
        # As if this Redis had nodes for long: a first lease of all brings grace.
        await commands.call(CONTROL_TAG, "DEL", keys.grace)
        yield NodeParts(
            options,
            keys,
            commands,
            link,
            leases,
            RedisPresence(commands, keys, leases),
            Janitor(commands, keys, leases),
            RedisControl(commands, link, keys, leases),
        )


def member(client: str, user: str = "ann") -> ClientInfo:
    """Somebody in a channel."""
    return ClientInfo(user, client, b'{"name":"Ann"}', None)
