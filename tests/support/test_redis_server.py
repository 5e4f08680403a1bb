"""The real servers that other tests lean on: whole when they are handed out."""

from __future__ import annotations

from pathlib import Path

from tests.support.certificates import make_certificate
from tests.support.redis_server import redis_cluster, redis_sentinels, redis_server


async def test_a_server_keeps_its_data_over_a_crash_only_when_told_to(tmp_path: Path) -> None:
    """One is empty after kill -9, the other is not."""
    async with (
        redis_server(tmp_path / "forgets") as forgets,
        redis_server(tmp_path / "keeps", keeps_data=True) as keeps,
    ):
        await forgets.order("SET", "a", 1)
        await keeps.order("SET", "a", 1)
        await forgets.restart(crash=True)
        await keeps.restart(crash=True)
        assert (await forgets.order("GET", "a"), await keeps.order("GET", "a")) == (None, "1")


async def test_a_server_asks_for_its_password_over_tls(tmp_path: Path) -> None:
    """Both variants at once."""
    certificate = make_certificate(tmp_path)
    async with redis_server(tmp_path / "server", password="s p", certificate=certificate) as server:
        assert await server.order("PING") == "PONG"


async def test_a_frozen_server_ends_with_its_block(tmp_path: Path) -> None:
    """Nothing is left behind by a test that forgot to resume."""
    async with redis_server(tmp_path) as server:
        server.pause()


async def test_sentinels_promote_a_replica(tmp_path: Path) -> None:
    """By order."""
    async with redis_sentinels(tmp_path) as sentinels:
        first = await sentinels.primary()
        await sentinels.fail_over()
        assert await sentinels.primary() is not first


async def test_a_cluster_replaces_a_dead_primary_and_moves_a_slot(tmp_path: Path) -> None:
    """With the keys in it."""
    async with redis_cluster(tmp_path, replicas_per_primary=1) as cluster:
        first = await cluster.primary_of(0)
        last = await cluster.primary_of(16383)
        slot = int(await first.order("CLUSTER", "KEYSLOT", "a"))
        owner = await cluster.primary_of(slot)
        await owner.order("SET", "a", 1)
        target = first if owner is not first else last
        await cluster.move_slot(slot, target)
        assert await target.order("GET", "a") == "1"
        assert await cluster.fail_over(first) is not first
