"""Redis comes back empty, or another server takes over without the last writes: everybody is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.push_phone import WirePhone, wire_phone
from tests.support.push_world import ACK_WAIT_S, GRACE_S, Installed, PushWorld, push_processes, push_world
from tests.support.redis_server import RedisServer, redis_sentinels, until
from tests.support.waiting import eventually_true

LOST_POSITION = 3010


@pytest.fixture
async def own_world(tmp_path: Path) -> AsyncIterator[PushWorld]:
    """One whose Redis may be lost."""
    async with push_world(tmp_path) as started:
        yield started


async def comes_back(world: PushWorld, app: Installed) -> None:
    """Return once hubs found the new server, and can be given work."""

    async def is_answered() -> bool:
        return "result" in await world.try_call("device_list", user=app.user)

    await eventually_true(is_answered, 15)
    await world.hubs.become_ready()


async def is_told(phone: WirePhone) -> None:
    """The hub sends the phone away because its position means nothing any more."""
    await asyncio.wait_for(phone.ended.wait(), 10)
    assert phone.close_code == LOST_POSITION


async def test_redis_restarted_empty(own_world: PushWorld) -> None:
    """The epoch is another, debts of the old one end, clients are told, and all goes on from nothing."""
    world = own_world
    live, away = await world.install(), await world.install()
    async with wire_phone(world.hubs[0].running, live) as phone:
        ids = [await world.notify(live.user) for _ in range(3)]
        await phone.sees(ids[-1])
        await world.becomes(live, owed=0)
        async with wire_phone(world.hubs[0].running, away) as leaving:
            # Owed, and waiting for its grace to end, as Redis loses everything.
            leaving.vanish()
        old = await world.notify(away.user)
        await world.redis.kill()
        await world.redis.start()
        await comes_back(world, live)
        await is_told(phone)
        old_epoch, old_offset = phone.epoch, 3
        cursor = {phone.channel: {"recover": True, "epoch": old_epoch, "offset": old_offset}}
    async with wire_phone(world.hubs[0].running, live, subs=cursor) as phone:
        assert phone.epoch != old_epoch
        assert phone.inbox.get("recovered", False) is False
        assert phone.inbox["was_recovering"] is True
        assert phone.welcome["data"]["hub"]["device"]["registered"] is False
        assert phone.welcome["data"]["hub"]["inbox"]["head"] == 0
        assert phone.given.total() == 0
        # An ack that was on its way proves nothing about the new inbox.
        refused = await phone.ask(
            rpc={"method": "inbox.ack", "data": {"epoch": old_epoch, "offset": 3, "device": live.device}}
        )
        assert refused["error"]["code"] in (112, 1001)
        await phone.rpc("device.register", **world.record_of(live))
        id = await world.notify(live.user)
        await phone.sees(id)
        await world.becomes(live, owed=0)
        # The first entry of the new inbox has an offset that the old one had as well.
        assert (await world.inbox(live.user))["head"] <= old_offset
        assert phone.given == {id: 1}
    await world.register(away)
    assert (await world.view(away))["owed"] == 0
    last = await world.notify(away.user)
    await world.gets(away, last)
    await asyncio.sleep(GRACE_S + ACK_WAIT_S)
    assert [told.id for told in world.pushes(away)] == [last]
    assert not world.pushes(away, old)
    assert world.pushes(live) == []


async def test_a_failover_that_loses_the_last_writes(tmp_path: Path) -> None:
    """No offset is used twice, clients are told, and what was lost can be said again under its id."""
    async with (
        redis_sentinels(tmp_path / "redis") as sentinels,
        push_processes(sentinels.url, tmp_path) as world,
    ):
        app, away = await world.install(), await world.install()
        primary = await sentinels.primary()
        (replica,) = (server for server in sentinels.servers if server is not primary)
        async with wire_phone(world.hubs[0].running, app) as phone:
            kept = await world.notify(app.user)
            await phone.sees(kept)
            await world.becomes(app, owed=0)
            await world.settles(app.user)
            await until(lambda: _in_step(primary, replica))
            # From here on nothing reaches the replica.
            await primary.order("ACL", "SETUSER", "default", "-psync", "-sync")
            await primary.order("CLIENT", "KILL", "TYPE", "replica")
            lost = [await world.notify(app.user) for _ in range(2)]
            await phone.sees(lost[-1])
            before = (await world.inbox(app.user))["head"]
            lost_away = await world.notify(away.user)
            await world.gets(away, lost_away)
            await primary.kill()
            await sentinels.wait_for_primary_after(primary)
            await comes_back(world, app)
            after = await world.notify(app.user)
            await is_told(phone)
            cursor = {phone.channel: {"recover": True, "epoch": phone.epoch, "offset": before}}
        async with wire_phone(world.hubs[0].running, app, subs=cursor) as back:
            assert back.epoch != phone.epoch
            assert back.inbox.get("recovered", False) is False
            # It is registered as before, and its inbox is read anew: what is missing there is really lost.
            assert back.welcome["data"]["hub"]["device"]["registered"] is True
            inbox = await world.inbox(app.user)
            assert [item["id"] for item in inbox["items"]] == [after, kept]
            assert inbox["items"][0]["offset"] > before
            # Its backend may say it again, under the same id.
            again = await world.notify(app.user, lost[0])
            await back.sees(again)
            await back.rpc("inbox.ack", epoch=inbox["epoch"], offset=inbox["head"] + 1)
            await world.becomes(app, owed=0)
        # The phone that was away was told by a push; the row does not know, but the entry is lost with it.
        await world.settles(away.user)
        assert [told.id for told in world.pushes(away)] == [lost_away]
        last = await world.notify(away.user)
        await world.gets(away, last)


async def _in_step(primary: RedisServer, replica: RedisServer) -> bool:
    offsets = [(await server.info("replication"))["master_repl_offset"] for server in (primary, replica)]
    return offsets[0] == offsets[1]
