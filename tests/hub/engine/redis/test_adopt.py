"""How a primary is noted: another reign is another term, unless the partition was handed over."""

from __future__ import annotations

from pathlib import Path

from hub.engine.redis.scripts import load_script
from tests.support.redis_server import redis_server

ADOPT = load_script("adopt")


async def test_terms(tmp_path: Path) -> None:
    """The first is 1; the same reign changes nothing; a reign known to have handed over alive neither."""
    async with redis_server(tmp_path) as server:

        async def adopt(reign: str, former: str = "") -> int:
            return int(await server.order("EVAL", ADOPT.text, 1, "term", reign, former))

        assert await adopt("a", "whoever") == 1
        assert await adopt("a") == 1
        assert await adopt("b") == 2
        assert await adopt("c", "b") == 2
        assert await adopt("d", "b") == 3
        assert await server.order("HGET", "term", "run") == "d"
