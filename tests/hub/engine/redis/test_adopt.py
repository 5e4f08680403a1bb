"""How a primary is noted: another reign is another term, unless the partition was handed over."""

from __future__ import annotations

from pathlib import Path

from hub.engine.redis.scripts import load_script
from tests.support.redis_server import redis_server

ADOPT = load_script("adopt")


async def test_terms(tmp_path: Path) -> None:
    """The same reign changes nothing; one known to have handed over alive neither; every other is later."""
    async with redis_server(tmp_path) as server:

        async def adopt(reign: str, former: str = "") -> int:
            return int(await server.order("EVAL", ADOPT.text, 1, "term", reign, former))

        first = await adopt("a", "whoever")
        assert await adopt("a") == first
        second = await adopt("b")
        assert second > first
        assert await adopt("c", "b") == second
        assert await adopt("d", "b") > second
        assert await server.order("HGET", "term", "run") == "d"


async def test_a_primary_that_forgot_its_former_id_is_still_the_same(tmp_path: Path) -> None:
    """Redis forgets it after a while without replicas; nothing was lost by that."""
    async with redis_server(tmp_path) as server:

        async def adopt(reign: str) -> int:
            return int(await server.order("EVAL", ADOPT.text, 1, "term", reign, ""))

        first = await adopt("a:former")
        assert await adopt("a") == first
        assert await adopt("a:another") > first


async def test_no_term_is_used_twice_although_its_record_is_rolled_back(tmp_path: Path) -> None:
    """Two crashes from one snapshot: what was written between them must not look like what comes after."""
    async with redis_server(tmp_path) as server:

        async def adopt(reign: str) -> int:
            return int(await server.order("EVAL", ADOPT.text, 1, "term", reign, ""))

        snapshot = await adopt("a")
        between = await adopt("b")
        await server.order("HSET", "term", "run", "a", "term", str(snapshot))
        assert await adopt("c") not in (snapshot, between)
        await server.order("DEL", "term")
        assert await adopt("d") > between
