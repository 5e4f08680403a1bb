"""Jobs over Redis, where they differ from a dictionary: partitions, deaths between two steps, size."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from hub.engine.jobs import NewNotice, NoticeStatus
from hub.engine.redis.commands import Commands
from hub.engine.redis.jobs import RedisJobs
from hub.engine.redis.keys import Keys
from hub.engine.redis.options import RedisOptions
from hub.engine.redis.posts import pack_post, unpack_post
from hub.engine.redis.stream_writer import StreamWriter
from hub.model import NO_HISTORY, Publication

CLAIM_S = 30.0


@dataclass(slots=True)
class Clock:
    """Milliseconds that a test moves."""

    now_ms: int = 4_000_000_000_000


@dataclass(frozen=True, slots=True)
class Parts:
    """Jobs and what they stand on."""

    jobs: RedisJobs
    commands: Commands
    keys: Keys
    writer: StreamWriter
    clock: Clock

    async def names(self) -> list[str]:
        """What of calls is kept in any partition."""
        found: list[str] = []
        for tag in self.keys.partition_tags:
            names = await self.commands.call(tag, "KEYS", f"{self.keys.prefix}{{{tag}}}:*")
            found += (name.decode() for name in names)
        return sorted({name for name in found if ":jobs" in name or ":notice" in name or ":post" in name})


@pytest.fixture
async def parts(redis_options: RedisOptions) -> AsyncIterator[Parts]:
    """Of an empty Redis."""
    keys, clock = Keys(redis_options.prefix, redis_options.partitions), Clock()
    commands = Commands(redis_options, keys)
    async with contextlib.AsyncExitStack() as undo:
        await commands.start()
        undo.push_async_callback(commands.stop)
        jobs = RedisJobs(commands, keys, now_ms=lambda: clock.now_ms)
        writer = StreamWriter(commands, keys, now_ms=lambda: clock.now_ms)
        yield Parts(jobs, commands, keys, writer, clock)


def notice(name: str, users: int = 2) -> NewNotice:
    """A call for so many users."""
    return NewNotice(name, "hash", b"body\n\x00", [f"é{number}" for number in range(users)], as_job=True)


async def expand(jobs: RedisJobs) -> list[str]:
    """Work until nothing waits; whom it was for."""
    users: list[str] = []
    while (step := await jobs.claim_step(CLAIM_S)) is not None:
        users += step.users
        await jobs.finish_step(step, 0)
    return users


async def test_a_call_is_the_same_after_its_way() -> None:
    """Also with users whose ids are no proper text."""
    call = NewNotice("n1", "hash", b"\xff\n", ["a\n", "\ud800", *map(str, range(1200))], as_job=True)
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in pack_post(call)]
    assert unpack_post(parts) == call


async def test_calls_of_all_partitions_are_expanded(parts: Parts) -> None:
    """And of a call that is through nothing waits any more."""
    await asyncio.gather(*(parts.jobs.open(notice(f"n{number}")) for number in range(40)))
    assert len(await expand(parts.jobs)) == 80
    assert not any(":jobs" in name for name in await parts.names())


async def test_a_worker_that_dies_after_noting_a_post_doubles_nothing(parts: Parts) -> None:
    """Whoever finds the post again learns that it was noted."""
    await parts.writer.publish("news", Publication(b"{}"), NO_HISTORY, job=notice("n1"))
    await parts.jobs.open(notice("n1"))
    assert await expand(parts.jobs) == ["é0", "é1"]
    assert not any(":post" in name or ":jobs" in name for name in await parts.names())
    assert await parts.jobs.status("n1") == NoticeStatus(running=False, users=2, done=2, failed=0)


async def test_a_worker_that_dies_before_noting_a_post_loses_nothing(parts: Parts) -> None:
    """The next one finds it when the claim of the first is over."""
    await parts.writer.publish("news", Publication(b"{}"), NO_HISTORY, job=notice("n1"))
    tag = parts.keys.tag_of("news")
    (member,) = await parts.commands.call(tag, "ZRANGE", parts.keys.jobs(tag), 0, -1)
    held_until = parts.clock.now_ms + 1_000
    await parts.commands.call(tag, "ZADD", parts.keys.jobs(tag), held_until, member)
    assert await expand(parts.jobs) == []
    parts.clock.now_ms = held_until
    assert await expand(parts.jobs) == ["é0", "é1"]


async def test_a_post_under_an_id_of_another_call_is_dropped(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    """It can be told to nobody any more, so it is logged, without what it says."""
    other = NewNotice("n1", "other", b"", ["bob"], as_job=False)
    await parts.jobs.open(other)
    await parts.writer.publish("news", Publication(b"{}"), NO_HISTORY, job=notice("n1"))
    assert await expand(parts.jobs) == []
    assert "another one has" in caplog.text
    assert await parts.jobs.users("n1") == ["bob"]


async def test_what_names_a_call_that_is_gone_is_passed_over(parts: Parts) -> None:
    """A queue outlives what it names; what waits behind it is served."""
    await parts.jobs.open(notice("gone"))
    tag = parts.keys.tag_of("gone")
    await parts.commands.call(
        tag, "DEL", parts.keys.notice(tag, "gone"), parts.keys.notice_users(tag, "gone")
    )
    await parts.commands.call(tag, "ZADD", parts.keys.jobs(tag), 1, "pgone")
    assert await expand(parts.jobs) == []
    assert await parts.names() == []


async def test_the_largest_call_is_expanded_whole(parts: Parts) -> None:
    """100 000 users, each once."""
    assert await parts.jobs.open(notice("n1", 100_000)) == "first"
    assert await expand(parts.jobs) == [f"é{number}" for number in range(100_000)]


async def test_everything_expires(parts: Parts) -> None:
    """But for the queue, which goes with its last job."""
    await parts.jobs.open(notice("n1"))
    await parts.writer.publish("news", Publication(b"{}"), NO_HISTORY, job=notice("n2"))
    for name in await parts.names():
        tag = name[name.index("{") + 1 : name.index("}")]
        expires = await parts.commands.call(tag, "PTTL", name)
        assert (expires == -1) == name.endswith(":jobs"), name
