"""Workers die, freeze and compete around the call of the provider: nothing is lost, little is repeated.

Workers are processes, and they are killed where a simulated provider says that the moment has come.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from hub.testing.simulators import Fault
from hub.testing.simulators.listening import Door
from tests.support.push_world import ACK_WAIT_S, CLAIM_S, Installed, PushWorld, WorkerSlot
from tests.support.waiting import eventually, eventually_true

pytestmark = pytest.mark.asyncio(loop_scope="session")

IN_FLIGHT_S = 1.0
"""What lies at most between a provider's yes and the note of it, here where answers take 50 ms."""


async def claimant(world: PushWorld, app: Installed, id: str) -> WorkerSlot:
    """The worker that holds the claim of a notification, once there is one."""
    found: list[str] = []

    async def claimed() -> bool:
        trace = await world.call("notification_trace", id=id, user=app.user, device=app.device)
        events = [event for device in trace["devices"] for event in device["events"]]
        found[:] = [event["node"] for event in events if event["event"] == "claimed"]
        return bool(found)

    await eventually_true(claimed, every_s=0.01)
    return next(worker for worker in world.workers if worker.node == found[-1])


async def test_a_worker_dies_before_the_provider_call(world: PushWorld) -> None:
    """It held the claim and stood before a door that lets nobody in: another one sends, once."""
    app = await world.install()
    await world.providers.apns.set_door(Door.BLACK_HOLE)
    world.providers.apns.cut()
    id = await world.notify(app.user)
    await (await claimant(world, app, id)).kill()
    await world.providers.apns.set_door(Door.OPEN)
    await world.gets(app, id, timeout_s=CLAIM_S + 8)
    await world.settles(app.user)
    assert [told.id for told in world.pushes(app)] == [id]


async def test_a_worker_dies_while_the_provider_has_not_said_yes(world: PushWorld) -> None:
    """The request was out, and nothing came of it: another worker sends, once."""
    apple, droid = [await world.install(provider=provider) for provider in ("apns", "fcm")]
    world.providers.apns.script(apple.token, [Fault.stall()])
    world.providers.fcm.script(droid.token, [Fault.stall()])
    ids = {app: await world.notify(app.user) for app in (apple, droid)}
    for app, id in ids.items():
        await claimant(world, app, id)
    await asyncio.sleep(0.1)
    await world.replace_workers()
    for app, id in ids.items():
        await world.gets(app, id, timeout_s=CLAIM_S + 5)
        await world.settles(app.user)
        assert [told.id for told in world.pushes(app)] == [id]


async def test_a_worker_dies_after_the_provider_call(world: PushWorld) -> None:
    """The provider took it and nobody noted that: one repeat, which replaces the first on the screen."""
    apple, droid = [await world.install(provider=provider) for provider in ("apns", "fcm")]
    world.providers.apns.script(apple.token, [Fault.slow(10)])
    world.providers.fcm.script(droid.token, [Fault.slow(10)])
    ids = {app: await world.notify(app.user) for app in (apple, droid)}
    for app, id in ids.items():
        await world.gets(app, id)
    await world.replace_workers()
    for app, id in ids.items():
        first, second = await world.gets(app, id, 2, timeout_s=CLAIM_S + 5)
        await world.settles(app.user)
        assert first.place == second.place
        # Not before the claim had run out, and never again.
        assert second.at_s - first.at_s > CLAIM_S / 2
        assert len(world.pushes(app)) == 2
    assert len({told.push.message_id for told in world.pushes(apple)}) == 1


async def test_two_workers_and_one_due_row(world: PushWorld) -> None:
    """Rows that fall due while both look at them: each is taken by one."""
    apps = await asyncio.gather(*(world.install() for _ in range(60)))
    for _ in range(2):
        ids = await asyncio.gather(*(world.notify(app.user) for app in apps))
        for app, id in zip(apps, ids, strict=True):
            await world.gets(app, id)
    await world.settles(*(app.user for app in apps))
    assert {len(world.pushes(app)) for app in apps} == {2}
    holders = {await _sender(world, app, world.pushes(app)[0].id) for app in apps}
    assert len(holders) == 2, "one of the workers got nothing to do"


async def _sender(world: PushWorld, app: Installed, id: str) -> str:
    return (await claimant(world, app, id)).name


async def test_a_claim_outlives_its_expiry(world: PushWorld) -> None:
    """A worker is frozen over its claim, another one does its work; what the first says then is void."""
    app = await world.install()
    world.providers.apns.script(app.token, [Fault.answer(503, "ServiceUnavailable", delay_s=0.4)])
    id = await world.notify(app.user)
    frozen = await claimant(world, app, id)
    frozen.freeze()
    await world.gets(app, id, timeout_s=CLAIM_S + 5)
    await world.settles(app.user)
    # The answer that waits for it says "again later"; nothing is owed any more.
    frozen.thaw()
    await asyncio.sleep(1.0)
    assert await world.owed(app.user) == 0
    assert [told.id for told in world.pushes(app)] == [id]
    later = await world.notify(app.user)
    await world.gets(app, later)
    assert "retry" not in await world.events(app, id)


async def test_workers_that_are_killed_at_any_step_lose_nothing(world: PushWorld) -> None:
    """Every job ends; what a provider took twice was in flight when a worker was killed, and no other."""
    dice = random.Random(7)
    for provider in (world.providers.apns, world.providers.fcm):
        provider.latency(lambda chance: chance.uniform(0, 0.05))
    world.providers.fcm.rate(0.05, Fault.answer(503, "UNAVAILABLE", retry_after_s=1))
    apps = await asyncio.gather(*(world.install(provider=dice.choice(["apns", "fcm"])) for _ in range(60)))
    loop = asyncio.get_running_loop()
    killed_at_s: list[float] = []
    said: list[tuple[Installed, str, float]] = []

    async def kill() -> None:
        for number in range(3):
            world.pushed.clear()
            await asyncio.wait_for(world.pushed.wait(), 10)
            await asyncio.sleep(dice.uniform(0, 0.08))
            victim = world.workers[number % 2]
            killed_at_s.append(loop.time())
            await victim.kill()
            await victim.start()

    killing = asyncio.create_task(kill())
    while not killing.done():
        some = dice.sample(apps, 12)
        at_s = loop.time()
        ids = await asyncio.gather(*(world.notify(app.user, hub=dice.randrange(2)) for app in some))
        said += ((app, id, at_s) for app, id in zip(some, ids, strict=True))
        await asyncio.sleep(0.1)
    await killing
    await world.settles(*(app.user for app in apps), timeout_s=20)
    letters = (await world.call("dead_letters", limit=1000))["letters"]
    dead = {(letter["user"], letter["notification"]) for letter in letters}
    for app, id, at_s in said:
        own = [told for told in world.pushes(app, id) if told.hub["kind"] == "notify"]
        is_told = own or any(told.hub["kind"] == "sync" and told.at_s > at_s for told in world.pushes(app))
        assert is_told or (app.user, id) in dead, await world.events(app, id)
        assert len({told.place for told in own}) <= 1
        for repeated in own[:-1]:
            died_s = min((at_s for at_s in killed_at_s if at_s > repeated.at_s - 0.05), default=0.0)
            assert died_s - repeated.at_s <= IN_FLIGHT_S, await world.events(app, id)


async def test_a_dead_provider_slows_the_other_not_at_all(world: PushWorld) -> None:
    """Every slot of one lane hangs; what the other lane is given goes out as ever."""
    apples = await asyncio.gather(*(world.install(provider="apns") for _ in range(120)))
    droids = await asyncio.gather(*(world.install(provider="fcm") for _ in range(25)))
    well_s = await _times_to_push(world, droids)
    world.providers.apns.freeze()
    await world.providers.apns.set_door(Door.BLACK_HOLE)
    stuck = await asyncio.gather(*(world.notify(app.user) for app in apples))
    await asyncio.sleep(0.2)
    hard_s = await _times_to_push(world, droids)
    assert not any(world.pushes(app) for app in apples)
    # Neither half nor the slowest of them; with room for what this machine does beside.
    half, last = len(droids) // 2, len(droids) - 1
    assert hard_s[half] < 2 * well_s[half] + 0.1
    assert hard_s[last] < 2 * well_s[last] + 0.3
    world.providers.apns.freeze(frozen=False)
    await world.providers.apns.set_door(Door.OPEN)
    world.providers.apns.cut()
    for app, id in zip(apples, stuck, strict=True):
        await world.gets(app, id, timeout_s=20)


async def _times_to_push(world: PushWorld, apps: list[Installed]) -> list[float]:
    """How long each of them took from the call to the provider, in order."""
    loop = asyncio.get_running_loop()
    times: list[float] = []
    for app in apps:
        began_s = loop.time()
        id = await world.notify(app.user)
        (told,) = await world.gets(app, id)
        times.append(told.at_s - began_s)
    return sorted(times)


async def test_a_worker_that_is_stopped_in_order_repeats_nothing(world: PushWorld) -> None:
    """It finishes what it holds, and the other one goes on alone."""
    apps = await asyncio.gather(*(world.install() for _ in range(30)))
    world.providers.apns.latency(0.2)
    ids = await asyncio.gather(*(world.notify(app.user) for app in apps))
    await eventually(lambda: any(world.pushes(app) for app in apps))
    await world.workers[0].stop()
    for app, id in zip(apps, ids, strict=True):
        await world.gets(app, id)
    await world.settles(*(app.user for app in apps))
    await asyncio.sleep(ACK_WAIT_S)
    assert {len(world.pushes(app)) for app in apps} == {1}
