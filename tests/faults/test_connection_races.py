"""A notification races with connections that come, go and move: each device is told, and told once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from hub.delivery.model import Ack, Acked
from hub.errors import REPLACED
from tests.support.hub_process import running_hub
from tests.support.push_phone import wire_phone
from tests.support.push_world import ACK_WAIT_S, GRACE_S, Installed, PushWorld, environment, settings_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

RACERS = 40


async def installs(world: PushWorld, count: int) -> list[Installed]:
    """So many users with a phone each."""
    return list(await asyncio.gather(*(world.install() for _ in range(count))))


async def test_publish_against_disconnect(world: PushWorld) -> None:
    """Whoever proved receipt before it was gone is not pushed to; everybody else is, once."""
    dice = random.Random(4)
    apps = await installs(world, RACERS)

    async def race(number: int, app: Installed) -> str:
        async with wire_phone(world.hubs[number % 2].running, app) as phone:
            id = world.name("n")
            telling = asyncio.create_task(world.notify(app.user, id, hub=dice.randrange(2)))
            if number % 4 == 0:
                await phone.sees(id)
                await world.becomes(app, owed=0)
            else:
                await asyncio.sleep(dice.uniform(0, 0.05) if number % 4 < 3 else 0)
            (phone.vanish if number % 8 < 4 else phone.half_close)()
            await telling
            return id

    ids = await asyncio.gather(*(race(number, app) for number, app in enumerate(apps)))
    await world.settles(*(app.user for app in apps))
    outcomes = set()
    for app, id in zip(apps, ids, strict=True):
        is_proven = "proven" in await world.events(app, id)
        assert len(world.shown(app, id)) == (0 if is_proven else 1), await world.events(app, id)
        outcomes.add(is_proven)
    assert outcomes == {True, False}


async def test_publish_against_connect(world: PushWorld) -> None:
    """A phone that comes back in its grace gets it by its socket, once, whichever of the two was first."""
    dice = random.Random(5)
    apps = await installs(world, RACERS)

    async def race(number: int, app: Installed) -> None:
        running = world.hubs[number % 2].running
        async with wire_phone(running, app) as before:
            before.vanish()
        id = world.name("n")
        telling = asyncio.create_task(world.notify(app.user, id, hub=dice.randrange(2)))
        await asyncio.sleep(dice.uniform(0, 0.05))
        async with wire_phone(world.hubs[dice.randrange(2)].running, app) as phone:
            await telling
            await phone.sees(id)
            await world.becomes(app, owed=0)
            assert phone.given == {id: 1}
        assert world.pushes(app) == [], await world.events(app, id)

    await asyncio.gather(*(race(number, app) for number, app in enumerate(apps)))


async def test_publish_against_the_connect_of_a_phone_that_was_away(world: PushWorld) -> None:
    """It is due at once, so its push may be on its way; the socket brings it once all the same."""
    dice = random.Random(6)
    apps = await installs(world, RACERS)

    async def race(app: Installed) -> None:
        id = world.name("n")
        telling = asyncio.create_task(world.notify(app.user, id, hub=dice.randrange(2)))
        await asyncio.sleep(dice.uniform(0, 0.03))
        async with wire_phone(world.hubs[dice.randrange(2)].running, app) as phone:
            await telling
            await phone.sees(id)
            await world.becomes(app, owed=0)
            assert phone.given == {id: 1}
        assert len(world.shown(app, id)) <= 1

    await asyncio.gather(*(race(app) for app in apps))


async def test_the_late_leave_of_an_old_hub_after_a_new_hello(world: PushWorld) -> None:
    """The old hub notices the end only after the phone is at another: that changes nothing."""
    old, new = world.hubs
    app = await world.install()
    async with wire_phone(old.running, app) as phone:
        old.freeze()
        phone.vanish()
        async with wire_phone(new.running, app) as moved:
            old.thaw()
            await old.becomes_ready()
            await asyncio.sleep(0.3)
            assert (await world.view(app, hub=1))["state"] == "foreground"
            id = await world.notify(app.user, hub=1)
            await moved.sees(id)
            await world.becomes(app, owed=0)
            assert (await world.events(app, id)).count("proven") == 1
            await asyncio.sleep(ACK_WAIT_S)
            assert world.pushes(app) == []


async def test_the_same_device_on_two_hubs(world: PushWorld) -> None:
    """The newest connection is the device: it alone is given things, and its end alone counts."""
    app = await world.install()
    async with wire_phone(world.hubs[0].running, app) as first:
        async with wire_phone(world.hubs[1].running, app) as second:
            await asyncio.wait_for(first.ended.wait(), 5)
            assert first.close_code == REPLACED.code
            id = await world.notify(app.user)
            await second.sees(id)
            await world.becomes(app, owed=0, state="foreground")
            assert (first.given.total(), second.given.total()) == (0, 1)
        last = await world.notify(app.user)
        await world.gets(app, last)
        await world.settles(app.user)
    assert [told.id for told in world.pushes(app)] == [last]


async def test_acks_out_of_order_and_above_the_head(world: PushWorld) -> None:
    """The highest counts, no further than there is something; what comes after is owed as ever."""
    app = await world.install()
    async with wire_phone(world.hubs[0].running, app, answers=False) as phone:
        ids = [await world.notify(app.user) for _ in range(3)]
        acked = [
            (await phone.rpc("inbox.ack", epoch=phone.epoch, offset=offset))["acked"] for offset in (2, 1, 99)
        ]
        assert acked == [2, 2, 3]
        await world.becomes(app, owed=0)
        later = await world.notify(app.user)
        await world.gets(app, later)
        await world.settles(app.user)
    assert [told.id for told in world.pushes(app)] == [later]
    assert all(not world.pushes(app, id) for id in ids)


async def test_an_ack_from_a_stale_generation(world: PushWorld) -> None:
    """The old hub passes a pong on after the phone is at another hub: a proof is a proof."""
    app = await world.install()
    settings = settings_of(environment(world.redis.url, world.providers))
    async with running_hub(settings) as near, wire_phone(near, app, answers=False) as phone:
        assert near.hub is not None
        ledger = near.hub.node.engine.ledger
        ack, held, let_go = ledger.ack, asyncio.Event(), asyncio.Event()

        async def late_ack(acks: Sequence[Ack]) -> list[Acked]:
            held.set()
            await let_go.wait()
            return await ack(acks)

        ledger.ack = late_ack  # type: ignore[method-assign]
        id = await world.notify(app.user)
        await phone.sees(id)
        await eventually(lambda: phone.pings > 0)
        phone.pong()
        await asyncio.wait_for(held.wait(), 5)
        async with wire_phone(world.hubs[1].running, app, answers=False) as moved:
            assert moved.given == {id: 1}
            assert (await world.view(app))["owed"] == 1, await world.events(app, id)
            let_go.set()
            await world.becomes(app, owed=0, state="foreground")
            await asyncio.sleep(ACK_WAIT_S + 0.2)
            assert world.pushes(app) == []


async def test_a_client_that_acks_inside_its_time_is_never_pushed_to(world: PushWorld) -> None:
    """A burst over the socket, proven by pongs alone: not one push."""
    app = await world.install()
    async with wire_phone(world.hubs[0].running, app) as phone:
        ids = [await world.notify(app.user, hub=number % 2) for number in range(20)]
        for id in ids:
            await phone.sees(id)
        await world.becomes(app, owed=0)
        await asyncio.sleep(ACK_WAIT_S + 0.2)
        assert phone.given == dict.fromkeys(ids, 1)
    await asyncio.sleep(GRACE_S + 0.2)
    assert world.pushes(app) == []


@pytest.mark.parametrize("provider", ["apns", "fcm"])
async def test_a_hard_disconnect_gives_one_visible_notification(world: PushWorld, provider: str) -> None:
    """A phone that went silent with its connection open, and one whose connection broke."""
    silent, broken = await world.install(provider=provider), await world.install(provider=provider)
    async with (
        wire_phone(world.hubs[0].running, silent, answers=False),
        wire_phone(world.hubs[1].running, broken) as phone,
    ):
        phone.vanish()
        ids = [await world.notify(app.user) for app in (silent, broken)]
        for app, id in zip((silent, broken), ids, strict=True):
            await world.gets(app, id)
        await world.settles(silent.user, broken.user)
        await asyncio.sleep(GRACE_S)
    for app, id in zip((silent, broken), ids, strict=True):
        assert [told.id for told in world.pushes(app)] == [id]
        assert world.pushes(app)[0].is_shown


async def test_a_read_on_one_device_cancels_what_waits_for_the_others(world: PushWorld) -> None:
    """The tablet lost its connection a moment ago; what the phone has read is not pushed to it."""
    phone_app = await world.install()
    tablet_app = await world.install(phone_app.user, "fcm", 2)
    async with wire_phone(world.hubs[0].running, phone_app) as phone:
        async with wire_phone(world.hubs[1].running, tablet_app) as tablet:
            tablet.vanish()
        await world.becomes(tablet_app, state="offline")
        id = await world.notify(phone_app.user)
        await phone.sees(id)
        read = await phone.rpc("inbox.read", epoch=phone.epoch, offset=1)
        assert read == {"read": 1, "unread": 0}
        assert await world.owed(phone_app.user) == 0
        await asyncio.sleep(GRACE_S + 0.5)
        assert world.pushes(tablet_app) == world.pushes(phone_app) == []


async def test_a_read_on_one_device_clears_what_was_shown_on_the_others(world: PushWorld) -> None:
    """The tablet was away and got a push: a silent one takes the number back, and shows nothing."""
    phone_app = await world.install()
    tablet_app = await world.install(phone_app.user, "apns", 2)
    async with wire_phone(world.hubs[0].running, phone_app) as phone:
        id = await world.notify(phone_app.user)
        await world.gets(tablet_app, id)
        await phone.sees(id)
        await world.settles(phone_app.user)
        await phone.rpc("inbox.read", epoch=phone.epoch, offset=1)
        async with asyncio.timeout(5):
            while len(world.pushes(tablet_app)) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert [told.hub["kind"] for told in world.pushes(tablet_app)] == ["notify", "badge"]
        assert world.pushes(phone_app) == []
