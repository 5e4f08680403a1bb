"""The doctor before real Redis servers, each set up wrongly in its own way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from hub.doctor import redis as doctor_redis
from hub.doctor.finding import Level
from hub.doctor.redis import check_redis
from hub.engine.redis.checkup import examine_servers
from hub.engine.redis.options import RedisOptions
from tests.hub.doctor.findings import all_of, bad, levels, settings_of
from tests.support.hub_process import running_hub
from tests.support.processes import free_port
from tests.support.redis_server import RedisServer, redis_cluster, redis_sentinels, redis_server

GOOD = ["--client-output-buffer-limit", "pubsub 64mb 32mb 60", "--maxmemory", "256mb"]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A server as the page on Redis wants it."""
    async with redis_server(tmp_path / "redis", keeps_data=True, settings=GOOD) as server:
        yield server


async def test_a_server_in_order_has_nothing_against_it(server: RedisServer) -> None:
    """Version, persistence, eviction, buffers, speed and clock are named, none of them as bad."""
    findings = await all_of(check_redis(settings_of(redis__url=server.url)))
    assert bad(findings) == []
    told = " / ".join(finding.what for finding in findings)
    for part in ("is a primary, version", "append-only", "evicts nothing", "answers in", "no hub has used"):
        assert part in told


@pytest.mark.parametrize(
    ("order", "text", "level"),
    [
        (("appendonly", "no"), "no append-only file", Level.WARNING),
        (("appendfsync", "no"), "leaves it to the system", Level.WARNING),
        (("maxmemory-policy", "allkeys-lru"), "presence, leases and terms", Level.ERROR),
        (("maxmemory-policy", "volatile-ttl"), "devices and what is owed", Level.ERROR),
        (("maxmemory", "0"), "no maxmemory", Level.NOTE),
        (("maxmemory", "200kb"), "is full", Level.ERROR),
        (("maxclients", "50"), "of 50 clients", Level.WARNING),
        (("timeout", "300"), "ends connections after 300 s", Level.WARNING),
        (("client-output-buffer-limit", "pubsub 32mb 8mb 60"), "cuts hubs off at 32 MiB", Level.WARNING),
    ],
)
async def test_each_wrong_setting_of_redis_is_found(
    server: RedisServer, order: tuple[str, str], text: str, level: Level
) -> None:
    """And nothing else is."""
    await server.order("CONFIG", "SET", *order)
    findings = await all_of(check_redis(settings_of(redis__url=server.url)))
    assert levels(findings, text) == [level]
    assert all(text in what for what in bad(findings))
    assert all(finding.advice for finding in findings if finding.level in (Level.WARNING, Level.ERROR))


async def test_history_alone_bears_the_milder_policies(server: RedisServer) -> None:
    """Without inboxes, what `volatile-...` drops is told to clients."""
    await server.order("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    findings = await all_of(check_redis(settings_of(redis__url=server.url, inbox__enabled=False)))
    assert levels(findings, "drops history") == [Level.WARNING]


async def test_keys_that_were_dropped_are_counted(server: RedisServer) -> None:
    """Whatever the policy is by now."""
    await server.order("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    for number in range(20):
        await server.order("SET", f"other:{number}", "x" * 1000)
    await server.order("CONFIG", "SET", "maxmemory", "1")
    await server.order("CONFIG", "SET", "maxmemory", "256mb")
    await server.order("CONFIG", "SET", "maxmemory-policy", "noeviction")
    findings = await all_of(check_redis(settings_of(redis__url=server.url)))
    assert levels(findings, "keys since it started") == [Level.ERROR]


async def test_nobody_there(tmp_path: Path) -> None:
    """Named with host and port, and with what to do."""
    port = free_port()
    (finding,) = await all_of(check_redis(settings_of(redis__url=f"redis://:s3cr3t@127.0.0.1:{port}")))
    assert (finding.level, f"127.0.0.1:{port}" in finding.what) == (Level.ERROR, True)
    assert "s3cr3t" not in finding.what + finding.advice


async def test_a_password_that_is_wrong(tmp_path: Path) -> None:
    """Told apart from a server that is not there, and not quoted."""
    async with redis_server(tmp_path / "redis", password="right") as server:
        url = f"redis://:wr0ng-one@127.0.0.1:{server.port}"
        (finding,) = await all_of(check_redis(settings_of(redis__url=url)))
    assert finding.level is Level.ERROR
    assert "password" in finding.what
    assert "wr0ng-one" not in finding.what + finding.advice


async def test_a_replica_in_place_of_the_primary(server: RedisServer, tmp_path: Path) -> None:
    """It answers, and no hub could write there."""
    follow = ["--replicaof", f"127.0.0.1 {server.port}"]
    async with redis_server(tmp_path / "replica", settings=follow) as replica:
        (finding,) = await all_of(check_redis(settings_of(redis__url=replica.url)))
    assert (finding.level, "replica" in finding.what) == (Level.ERROR, True)


async def test_a_user_without_the_dangerous_commands_is_enough(server: RedisServer) -> None:
    """As the page on Redis makes it: what it may not see is said so, and is no mistake."""
    rights = ["on", ">pass", "~hub:*", "&hub:*", "+@all", "-@dangerous", "+info"]
    await server.order("ACL", "SETUSER", "hub", *rights)
    url = f"redis://hub:pass@127.0.0.1:{server.port}"
    findings = await all_of(check_redis(settings_of(redis__url=url)))
    assert bad(findings) == []
    assert levels(findings, "does not show its configuration") == [Level.NOTE]


async def test_a_user_without_the_channels(server: RedisServer) -> None:
    """Publications would reach nobody."""
    await server.order("ACL", "SETUSER", "hub", "on", ">pass", "~hub:*", "resetchannels", "+@all")
    url = f"redis://hub:pass@127.0.0.1:{server.port}"
    findings = await all_of(check_redis(settings_of(redis__url=url)))
    assert levels(findings, "did not arrive at a subscriber") == [Level.ERROR]


async def test_hubs_that_do_otherwise(server: RedisServer) -> None:
    """The difference is told in words, before a hub is started that would refuse."""
    hubs = {"redis.url": server.url, "partitions": 4}
    namespaces = [{"name": "chat", "history_size": 10, "history_ttl": "60s"}]
    async with running_hub(hubs):
        channels = {
            "history_size": 100,
            "history_ttl": "300s",
            "presence": True,
            "join_leave": True,
            "force_push_join_leave": True,
        }
        findings = await all_of(
            check_redis(
                settings_of(redis__url=server.url, partitions=8, channels__without_namespace=channels)
            )
        )
        assert levels(findings, "partitions 8 here, 4 there") == [Level.ERROR]
        same = settings_of(redis__url=server.url, partitions=4, channels__namespaces=namespaces)
        findings = await all_of(check_redis(same))
        assert levels(findings, "1 living hub use this prefix otherwise: ") == [Level.ERROR]
        assert levels(findings, "namespace chat only here") == [Level.ERROR]
    findings = await all_of(check_redis(same))
    assert levels(findings, "differs from what the last hubs agreed on") == [Level.NOTE]


async def test_it_changes_nothing(server: RedisServer) -> None:
    """A look at the wrong Redis leaves no trace there."""
    await all_of(check_redis(settings_of(redis__url=server.url)))
    assert await server.order("DBSIZE") == 0
    assert await server.order("PUBSUB", "CHANNELS") == []


async def test_slowness_and_clocks_are_judged(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured from a real server, with the time it took and its clock moved."""
    (facts,) = await examine_servers(RedisOptions(server.url))
    assert not isinstance(facts, Exception)
    assert 0 < min(facts.round_trips_s) < 1
    assert abs(facts.clock_ahead_s) < 1

    async def later(options: RedisOptions) -> object:
        return [replace(facts, round_trips_s=(0.02,) * 20, clock_ahead_s=-120.0)]

    monkeypatch.setattr(doctor_redis, "examine_servers", later)
    findings = await all_of(check_redis(settings_of(redis__url=server.url)))
    assert levels(findings, "answers in 20.00 ms") == [Level.WARNING]
    assert levels(findings, "120 s behind this machine") == [Level.ERROR]


async def test_every_primary_of_a_cluster_is_looked_at(tmp_path: Path) -> None:
    """Each by itself, over sharded Pub/Sub."""
    async with redis_cluster(tmp_path) as cluster:
        findings = await all_of(check_redis(settings_of(redis__url=cluster.url)))
    assert levels(findings, "is a primary") == [Level.OK] * 3
    assert levels(findings, "did not arrive") == []
    assert levels(findings, "cuts hubs off") == [Level.WARNING] * 3


async def test_the_primary_that_sentinels_name(tmp_path: Path) -> None:
    """Found through them."""
    async with redis_sentinels(tmp_path) as sentinels:
        findings = await all_of(check_redis(settings_of(redis__url=sentinels.url)))
    assert levels(findings, "is a primary") == [Level.OK]


async def test_without_redis() -> None:
    """One note about what that means."""
    (finding,) = await all_of(check_redis(settings_of()))
    assert finding.level is Level.NOTE
