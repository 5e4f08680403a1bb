"""One call for very many people, interrupted half-way: it goes on where it was, and nobody has it twice."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from redis.asyncio import Redis

from hub.delivery.inbox import inbox_channel, inbox_owner
from hub.engine.redis.keys import Keys
from tests.support.push_world import PushWorld, push_world
from tests.support.waiting import eventually_true

pytestmark = pytest.mark.asyncio(loop_scope="session")

PARTITIONS = 64
_A_PIPELINE = 2_000


async def inbox_lengths(world: PushWorld, users: Sequence[str]) -> dict[int, int]:
    """How many inboxes have how many entries, as Redis itself counts them."""
    keys = Keys("hub:", PARTITIONS)
    lengths: dict[int, int] = {}
    async with Redis.from_url(world.redis.url) as client:
        for start in range(0, len(users), _A_PIPELINE):
            pipeline = client.pipeline(transaction=False)
            for user in users[start : start + _A_PIPELINE]:
                pipeline.execute_command(
                    "XLEN", keys.log(keys.tag_of(inbox_owner(user)), inbox_channel(user))
                )
            for length in await pipeline.execute():
                lengths[length] = lengths.get(length, 0) + 1
    return lengths


async def status(world: PushWorld, id: str) -> dict[str, object]:
    """How far a call is."""
    return await world.call("notify_status", id=id)


async def is_past(world: PushWorld, id: str, done: int) -> bool:
    """Whether so many users are done."""
    return int(str((await status(world, id))["done"])) >= done


async def interrupt(world: PushWorld, count: int, *shares: float) -> None:
    """Call ``count`` users, kill whoever expands it at these shares of the way, and count."""
    users = [f"{uuid.uuid4().hex[:8]}-{number}" for number in range(count)]
    # Some have a phone: they are told once as well.
    apps = [await world.install(user) for user in users[:: count // 20]]
    id = await world.notify(users)
    for share in shares:

        async def is_there(done: int = int(count * share)) -> bool:
            return await is_past(world, id, done)

        await eventually_true(is_there, 120, 0.005)
        await world.workers[0].kill()
        assert (await status(world, id))["state"] == "running"
        await world.workers[0].start()

    async def is_through() -> bool:
        return (await status(world, id))["state"] == "done"

    await eventually_true(is_through, 120)
    assert await status(world, id) == {"state": "done", "users": count, "done": count, "failed": 0}
    assert await inbox_lengths(world, users) == {1: count}
    for app in apps:
        await world.gets(app, id, timeout_s=10)
    # The same call again gives the first answer, and writes nothing.
    body = {"title": "t", "body": id}
    again = await world.call("notify", users=users, id=id, notification=body)
    assert (again["accepted"], again["duplicate"], again["job"]) == (count, True, id)
    await asyncio.sleep(0.3)
    assert await inbox_lengths(world, users) == {1: count}
    await world.settles(*(app.user for app in apps))
    for app in apps:
        # Twice at most, if it was in flight as the worker was killed; the second then replaces the first.
        assert len(world.pushes(app)) <= 2
        assert len({told.place for told in world.pushes(app)}) == 1


async def test_20_000_recipients_in_one_call_interrupted_half_way(tmp_path: Path) -> None:
    """Their worker is killed; the next one goes on with the step that it held."""
    async with push_world(tmp_path) as world:
        await interrupt(world, 20_000, 0.5)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_100_000_recipients_in_one_call_interrupted_half_way(tmp_path: Path) -> None:
    """As many as one call may name, and three workers killed on the way."""
    async with push_world(tmp_path) as world:
        await interrupt(world, 100_000, 0.2, 0.5, 0.8)


async def test_a_redis_that_is_stopped_loses_no_job_and_queues_none_twice(tmp_path: Path) -> None:
    """It is frozen, then restarted with its data, in the middle of large calls that backends repeat."""
    count, calls = 2_000, 6
    async with push_world(tmp_path, worker_count=2, keeps_data=True) as world:
        users = [world.name() for _ in range(count)]
        apps = [await world.install(user) for user in users[:5]]
        ids = [world.name("job") for _ in range(calls)]

        async def insist(id: str) -> None:
            """As a backend does: the same call until it is answered."""
            while True:
                answer = await world.try_call(
                    "notify", users=users, id=id, notification={"title": "t", "body": id}
                )
                if "result" in answer:
                    return
                await asyncio.sleep(0.1)

        async def through(id: str) -> bool:
            answer = await world.try_call("notify_status", id=id)
            return bool(answer.get("result", {}).get("state") == "done")

        async with asyncio.TaskGroup() as backends:
            for number, id in enumerate(ids):
                backends.create_task(insist(id))
                await asyncio.sleep(0.1)
                if number == calls // 3:
                    world.redis.pause()
                    await asyncio.sleep(2)
                    world.redis.resume()
                if number == 2 * calls // 3:
                    await world.redis.kill()
                    await asyncio.sleep(2)
                    await world.redis.start()
        for id in ids:

            async def is_through(id: str = id) -> bool:
                return await through(id)

            await eventually_true(is_through, 30)
        assert await inbox_lengths(world, users) == {calls: count}
        await world.hubs.become_ready()
        for user in users[:5]:
            inbox = await world.inbox(user)
            assert sorted(item["id"] for item in inbox["items"]) == sorted(ids)
        await world.settles(*(app.user for app in apps), timeout_s=20)
        for app in apps:
            own = {id: len(world.shown(app, id)) for id in ids}
            synced = any(told.hub["kind"] == "sync" for told in world.pushes(app))
            # Twice at most, and then by a repeat that replaces the first: Redis was away when it was noted.
            assert all(synced or taken for taken in own.values())
            assert max(own.values()) <= 2
