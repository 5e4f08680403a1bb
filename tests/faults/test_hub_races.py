"""Hubs die and freeze under their connections: whoever they held is told some other way, and once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tests.support.push_phone import CrowdPhone, wire_phone
from tests.support.push_world import ACK_WAIT_S, LEASE_S, TENTH, Installed, PushWorld, push_world
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

SOCKETS = 2_000
_AT_ONCE = 100
PATIENT = {
    **TENTH,
    "delivery__ack_wait_s": 2.0,
    "delivery__grace_s": 3.0,
    "delivery__max_defer_s": 8.0,
    "delivery__claim_s": 10.0,
    "redis__lease_s": 2.0,
}
"""Thousands come back in the time that the machine takes, which is not a tenth."""


@contextlib.asynccontextmanager
async def crowd(apps: Sequence[Installed], url: str) -> AsyncIterator[list[CrowdPhone]]:
    """A phone for each app, all of them connected to one hub; gone without a word at the end."""
    phones = [CrowdPhone(app, url) for app in apps]
    try:
        for start in range(0, len(phones), _AT_ONCE):
            some = phones[start : start + _AT_ONCE]
            for phone in some:
                phone.phone.connect()
            await eventually(lambda: all(phone.is_connected for phone in some), 20)  # noqa: B023
        yield phones
    finally:
        for phone in phones:
            phone.phone.close()


async def install_many(world: PushWorld, count: int) -> list[Installed]:
    """So many users with a phone each."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> Installed:
        async with limit:
            return await world.install(provider="apns" if number % 2 else "fcm")

    return list(await asyncio.gather(*(one(number) for number in range(count))))


async def test_a_hub_is_killed_with_thousands_of_sockets(tmp_path: Path) -> None:
    """Most phones find the other hub, some are never seen again: each is told, one way or the other."""
    async with push_world(tmp_path, hub_count=2, worker_count=2, settings=PATIENT) as world:
        dying, other = world.hubs
        apps = await install_many(world, SOCKETS)
        async with crowd(apps, dying.running.ws_url) as phones:
            some = phones[:100]
            before = await world.notify([phone.app.user for phone in some])
            await eventually(lambda: all(before in phone.given for phone in some), 10)
            await world.settles(*(phone.app.user for phone in some))
            gone, back = phones[::5], [phone for number, phone in enumerate(phones) if number % 5]
            for phone in back:
                phone.phone.move(other.running.ws_url)
            for phone in gone:
                phone.phone.close()
            await dying.kill()
            id = await world.notify([app.user for app in apps], hub=1)
            await eventually(lambda: all(_told(world, phone, id) for phone in phones), 40)
            await world.settles(*(app.user for app in apps[:50]), hub=1, timeout_s=20)
            for phone in gone:
                assert len(world.shown(phone.app, id)) == 1
            for phone in back:
                assert len(phone.given.get(id, ())) <= 1
                assert len(world.shown(phone.app, id)) <= 1
            assert sum(_was_pushed_after_seen(world, phone, id) for phone in back) <= len(back) // 100
            # What was proven before the crash is never pushed.
            assert not any(world.pushes(phone.app, before) for phone in some)
            status = await world.call("notify_status", hub=1, id=id)
            assert status == {"state": "done", "users": SOCKETS, "done": SOCKETS, "failed": 0}


def _told(world: PushWorld, phone: CrowdPhone, id: str) -> bool:
    return id in phone.given or bool(world.shown(phone.app, id))


def _was_pushed_after_seen(world: PushWorld, phone: CrowdPhone, id: str) -> bool:
    seen_s = min(phone.given.get(id, [float("inf")]))
    return any(told.at_s > seen_s for told in world.shown(phone.app, id))


async def freeze_a_hub(world: PushWorld, for_s: float, notice_within_s: float) -> None:
    """Phones on it, phones that leave it, and phones that never were on it."""
    frozen, other = world.hubs
    stays, moves, silent = [await world.install() for _ in range(3)]
    async with (
        wire_phone(frozen.running, stays) as staying,
        wire_phone(frozen.running, moves) as moving,
        wire_phone(frozen.running, silent, answers=False),
    ):
        loop = asyncio.get_running_loop()
        frozen.freeze()
        frozen_at_s = loop.time()
        try:
            # Past its lease: it counts as dead, and so do its connections.
            await asyncio.sleep(for_s / 2)
            ids = {app: await world.notify(app.user, hub=1) for app in (stays, moves, silent)}
            moving.vanish()
            async with wire_phone(other.running, moves) as moved:
                await moved.sees(ids[moves], notice_within_s)
                for app in (stays, silent):
                    await world.gets(app, ids[app], timeout_s=notice_within_s)
                await asyncio.sleep(max(0.0, frozen_at_s + for_s - loop.time()))
                frozen.thaw()
                await frozen.becomes_ready()
                # The phone that stayed gets it late by its socket too; nobody is pushed to again.
                await staying.sees(ids[stays], 10)
                await world.becomes(stays, state="foreground", owed=0)
                await world.becomes(moves, state="foreground", owed=0)
                later = {app: await world.notify(app.user) for app in (stays, moves)}
                await staying.sees(later[stays])
                await moved.sees(later[moves])
                await world.settles(stays.user, moves.user, silent.user)
                await asyncio.sleep(ACK_WAIT_S + 0.2)
                assert staying.given == {ids[stays]: 1, later[stays]: 1}
                assert moved.given == {ids[moves]: 1, later[moves]: 1}
        finally:
            frozen.thaw()
    for app in (stays, silent):
        assert [told.id for told in world.pushes(app)] == [ids[app]]
    assert len(world.pushes(moves)) <= 1


async def test_a_hub_is_frozen_and_resumed(world: PushWorld) -> None:
    """For three times its lease: its phones are pushed to meanwhile, and all is as before afterwards."""
    await freeze_a_hub(world, 3 * LEASE_S, 5.0)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_hub_is_frozen_for_30_s_and_resumed(tmp_path: Path) -> None:
    """With the settings of production."""
    async with push_world(tmp_path, hub_count=2, settings={}) as world:
        await freeze_a_hub(world, 30, 30)
