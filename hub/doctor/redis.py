"""Redis: can it be reached, will it keep what it is given, does it agree with the hubs that use it."""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator, Iterator

from config import Settings, SettingsError
from hub.doctor.clocks import check_clock
from hub.doctor.finding import Area, Finding
from hub.engine.redis import RedisOptions
from hub.engine.redis.checkup import ServerFacts, SharedState, examine_servers, examine_shared_state
from hub.errors import EngineUnavailable
from hub.from_settings import channel_policy, redis_options

AREA = Area("redis")

SLOW_MS = 5.0
VERY_SLOW_MS = 50.0
FULL_SHARE = 0.8
FEW_CLIENTS_LEFT = 100
LEAST_PUBSUB_HARD_BYTES = 64 * 1024 * 1024
LEAST_PUBSUB_SOFT_BYTES = 32 * 1024 * 1024
_RUNBOOK = "docs/operations/redis.md"


async def check_redis(settings: Settings) -> AsyncIterator[Finding]:
    """Each primary, then what the hubs have agreed on there."""
    if settings.chosen_engine != "redis":
        yield AREA.note(
            "not used: streams, inboxes and devices are in the memory of one process and go with it",
            "Set redis.url for more than one hub, and for anything that must survive a restart.",
        )
        return
    try:
        options = redis_options(settings)
    except SettingsError:
        return  # named among the mistakes in the settings
    try:
        servers = await examine_servers(options)
    except EngineUnavailable as error:
        yield _unreachable(error)
        return
    reached = False
    for server in servers:
        if isinstance(server, EngineUnavailable):
            yield _unreachable(server)
            continue
        reached = True
        for finding in _judge(server, settings):
            yield finding
    if reached:
        for finding in await _agreement(settings, options):
            yield finding


def _unreachable(error: EngineUnavailable) -> Finding:
    return AREA.error(
        error.detail,
        "No hub starts without Redis. Check redis.url, the network between, and that the server is a primary "
        f"({_RUNBOOK}).",
    )


def _judge(server: ServerFacts, settings: Settings) -> Iterator[Finding]:
    yield AREA.ok(f"{server.endpoint} is a primary, version {server.version}")
    yield from _persistence(server, settings)
    yield from _eviction(server, settings)
    yield from _room(server)
    yield from _buffers(server)
    yield from _speed(server)
    if not server.hears_itself:
        yield AREA.error(
            f"{server.endpoint}: a published message did not arrive at a subscriber",
            "The user of redis.url needs the channels of the prefix: ACL SETUSER … &hub:*",
        )
    if int(server.config.get("timeout", "0")) > 0:
        yield AREA.warning(
            f"{server.endpoint} ends connections after {server.config['timeout']} s of silence",
            "CONFIG SET timeout 0",
        )
    yield from check_clock(f"Redis at {server.endpoint}", server.clock_ahead_s)


def _persistence(server: ServerFacts, settings: Settings) -> Iterator[Finding]:
    info, at = server.info, server.endpoint
    appends = info.get("aof_enabled") == "1"
    if appends and info.get("aof_last_write_status", "ok") != "ok":
        yield AREA.error(
            f"{at} cannot write its append-only file: it refuses every write",
            "Look for a full or failing disk.",
        )
    elif appends:
        yield AREA.ok(f"{at} writes an append-only file")
    elif settings.inbox.enabled:
        yield AREA.warning(
            f"{at} writes no append-only file: a restart loses inboxes, devices and what is owed to them",
            "CONFIG SET appendonly yes, and the same in redis.conf. Export registrations now and then.",
        )
    else:
        yield AREA.note(f"{at} writes no append-only file: streams and presence begin anew at its restart")
    if appends and server.config.get("appendfsync") == "no":
        yield AREA.warning(
            f"{at} leaves it to the system when its file is written: seconds may be lost",
            "CONFIG SET appendfsync everysec",
        )
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield AREA.error(
            f"{at} could not save its data the last time, and may refuse writes because of that",
            "Look into its log: a full disk, or no memory for the copy (vm.overcommit_memory=1).",
        )


def _eviction(server: ServerFacts, settings: Settings) -> Iterator[Finding]:
    policy, at = server.info.get("maxmemory_policy", ""), server.endpoint
    advice = "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf."
    if policy == "noeviction":
        yield AREA.ok(f"{at} evicts nothing")
    elif policy.startswith("allkeys-") or settings.inbox.enabled:
        loses = (
            "presence, leases and terms"
            if policy.startswith("allkeys-")
            else "devices and what is owed to them"
        )
        yield AREA.error(f"{at} has the policy {policy}: when it is full it drops {loses}", advice)
    else:
        yield AREA.warning(f"{at} has the policy {policy}: when it is full it drops history", advice)
    evicted = int(server.info.get("evicted_keys", "0"))
    if evicted:
        yield AREA.error(
            f"{at} has dropped {evicted} keys since it started, to make room", "Give it more memory."
        )


def _room(server: ServerFacts) -> Iterator[Finding]:
    info, at = server.info, server.endpoint
    most, used = int(info.get("maxmemory", "0")), int(info.get("used_memory", "0"))
    if not most:
        yield AREA.note(
            f"{at} has no maxmemory: it grows until the kernel ends it",
            "Set maxmemory to about three quarters of what the machine has for it.",
        )
    elif used >= most:
        yield AREA.error(f"{at} is full: publishers get 503", "Give it more memory.")
    elif used >= FULL_SHARE * most:
        yield AREA.warning(
            f"{at} is {100 * used // most} % full", "Give it more memory before it refuses writes."
        )
    clients, most_clients = int(info.get("connected_clients", "0")), int(info.get("maxclients", "0"))
    if most_clients and most_clients - clients < FEW_CLIENTS_LEFT:
        yield AREA.warning(
            f"{at} has {clients} of {most_clients} clients",
            "Raise maxclients; a hub or worker takes a few each.",
        )


def _buffers(server: ServerFacts) -> Iterator[Finding]:
    text = server.config.get("client-output-buffer-limit")
    if text is None:
        yield AREA.note(
            f"{server.endpoint} does not show its configuration to this user",
            "See that it holds what the page on Redis lists under Settings of Redis.",
        )
        return
    words = text.split()
    if "pubsub" not in words:
        return
    at = words.index("pubsub")
    hard, soft = int(words[at + 1]), int(words[at + 2])
    if 0 < hard < LEAST_PUBSUB_HARD_BYTES or 0 < soft < LEAST_PUBSUB_SOFT_BYTES:
        yield AREA.warning(
            f"{server.endpoint} cuts hubs off at {hard // 2**20} MiB behind, or {soft // 2**20} for long",
            "CONFIG SET client-output-buffer-limit 'pubsub 64mb 32mb 60', and the same in redis.conf.",
        )
    else:
        yield AREA.ok(f"{server.endpoint} lets a hub fall behind far enough")


def _speed(server: ServerFacts) -> Iterator[Finding]:
    half_ms = statistics.median(server.round_trips_s) * 1000
    worst_ms = max(server.round_trips_s) * 1000
    what = f"{server.endpoint} answers in {half_ms:.2f} ms, at worst {worst_ms:.2f} ms"
    if half_ms > SLOW_MS or worst_ms > VERY_SLOW_MS:
        yield AREA.warning(
            what,
            "Every publication waits for it. Bring it nearer; look for slow commands (SLOWLOG GET).",
        )
    else:
        yield AREA.ok(what)


async def _agreement(settings: Settings, options: RedisOptions) -> list[Finding]:
    try:
        state = await examine_shared_state(options, channel_policy(settings))
    except EngineUnavailable as error:
        return [_unreachable(error)]
    return list(_judge_agreement(state, settings))


def _judge_agreement(state: SharedState, settings: Settings) -> Iterator[Finding]:
    hubs = "1 living hub" if state.living_nodes == 1 else f"{state.living_nodes} living hubs"
    if state.agreement is None:
        yield AREA.ok("no hub has used this prefix yet")
    elif not state.differences:
        yield AREA.ok(f"agrees with {hubs} on partitions and namespaces")
    elif state.living_nodes and not settings.redis.replace_policy:
        yield AREA.error(
            f"{hubs} use this prefix otherwise: {'; '.join(state.differences)}",
            "A hub with these settings does not start beside them. Use the same ones, or change namespaces "
            f"deliberately with redis.replace_policy ({_RUNBOOK}).",
        )
    else:
        yield AREA.note(
            f"differs from what the last hubs agreed on: {'; '.join(state.differences)}",
            "The first hub that starts writes its own; other partitions begin all streams anew.",
        )
