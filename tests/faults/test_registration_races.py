"""Tokens change hands while pushes to them are under way: nobody else's notification, and none lost."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import replace

import pytest

from hub.testing.simulators import Fault
from tests.support.push_phone import wire_phone
from tests.support.push_world import Installed, PushWorld
from tests.support.waiting import eventually, eventually_true

pytestmark = pytest.mark.asyncio(loop_scope="session")

IN_FLIGHT_S = 0.7
"""How long a provider takes to answer here: time enough for what happens meanwhile."""


def with_token(app: Installed, text: str) -> Installed:
    """The same app with another token."""
    return replace(app, token=hashlib.sha256(f"{app.device} {text}".encode()).hexdigest())


def slow_410(since_ms: int) -> Fault:
    """Takes nothing, and says late that the token is dead since then."""
    return Fault.answer(410, "Unregistered", timestamp_ms=since_ms, delay_s=IN_FLIGHT_S)


async def claimed(world: PushWorld, app: Installed, id: str) -> None:
    """Return once a worker is at it."""

    async def is_claimed() -> bool:
        return "claimed" in await world.events(app, id)

    await eventually_true(is_claimed, every_s=0.01)
    # The request is on its way then.
    await asyncio.sleep(0.1)


async def test_a_token_is_replaced_while_a_push_to_the_old_one_is_in_flight(world: PushWorld) -> None:
    """The provider calls the old one dead: the new one stays, and gets what was owed."""
    old = await world.install()
    new = with_token(old, "new")
    world.providers.apns.script(old.token, [slow_410(int(time.time() * 1000))], forever=True)
    id = await world.notify(old.user)
    await claimed(world, old, id)
    await world.register(new)
    await world.gets(new, id)
    await world.settles(new.user)
    assert (len(world.pushes(old)), len(world.pushes(new))) == (0, 1)
    later = await world.notify(new.user)
    await world.gets(new, later)


async def test_a_410_older_than_the_registration_keeps_the_token(world: PushWorld) -> None:
    """The app was installed anew with the token that it had: the provider speaks of before."""
    app = await world.install()
    an_hour_ago_ms = int(time.time() * 1000) - 3_600_000
    world.providers.apns.script(app.token, [slow_410(an_hour_ago_ms)])
    id = await world.notify(app.user)
    await claimed(world, app, id)
    await world.register(app)
    await world.gets(app, id)
    await world.settles(app.user)
    assert (await world.view(app))["token_hash"]


async def test_a_410_newer_than_the_registration_drops_the_token(world: PushWorld) -> None:
    """It is tried once; the device stays known, and learns at its next connect that it must register."""
    app = await world.install()
    ahead_ms = int(time.time() * 1000) + 60_000
    world.providers.apns.script(app.token, [slow_410(ahead_ms)], forever=True)
    id = await world.notify(app.user)
    await claimed(world, app, id)
    await world.becomes(app, token_hash="", owed=0)
    assert "dropped" in await world.events(app, id)
    async with wire_phone(world.hubs[0].running, app) as phone:
        assert phone.welcome["data"]["hub"]["device"]["registered"] is False
        assert phone.given == {id: 1}


async def test_logout_and_login_as_another_with_a_late_push_for_the_first(world: PushWorld) -> None:
    """What was on its way comes, and says whose it is; nothing more of the first comes after it."""
    alice = await world.install()
    bob = replace(alice, user=world.name())
    world.providers.apns.script(alice.token, [Fault.slow(IN_FLIGHT_S)])
    late = await world.notify(alice.user)
    await world.gets(alice, late)
    assert (await world.app("DELETE", f"/devices/{alice.device}", alice.user)).status_code == 200
    async with wire_phone(world.hubs[0].running, bob) as phone:
        assert phone.welcome["data"]["hub"]["device"]["registered"] is False
        registered = await phone.rpc("device.register", **world.record_of(bob))
        assert registered["registered"] is True
    for user in (alice.user, bob.user):
        await world.notify(user)
    hers = await world.notify(alice.user)
    last = await world.notify(bob.user)
    await world.gets(bob, last)
    await asyncio.sleep(IN_FLIGHT_S + 0.3)
    told = world.pushes(bob)
    hashes = {push.hub["user"] for push in told[1:]}
    assert told[0].id == late
    assert told[0].hub["user"] == hashlib.sha256(alice.user.encode()).hexdigest()[:8]
    assert hashes == {hashlib.sha256(bob.user.encode()).hexdigest()[:8]}
    assert hers not in {push.id for push in told}
    assert (await world.call("device_list", user=alice.user))["devices"] == []
    assert (await world.view(bob))["token_hash"]


async def test_the_token_alone_moves_a_phone_to_another_user(world: PushWorld) -> None:
    """Without a logout: the former user's row has no token from that moment on, and what it owed is over."""
    alice = await world.install()
    bob = replace(alice, user=world.name(), device=f"{alice.device}-of-bob")
    world.providers.apns.script(alice.token, [Fault.answer(503, "ServiceUnavailable", retry_after_s=1)])
    owed = await world.notify(alice.user)
    await claimed(world, alice, owed)
    answer = await world.app("PUT", f"/devices/{bob.device}", bob.user, body=world.record_of(bob))
    assert answer.status_code == 200
    await world.becomes(alice, token_hash="", owed=0)
    mine = await world.notify(bob.user)
    await world.gets(bob, mine)
    await asyncio.sleep(1.5)
    assert [told.id for told in world.pushes(bob)] == [mine]


async def test_many_users_fight_for_one_token(world: PushWorld) -> None:
    """However their registrations interleave, one of them has it in the end, and is pushed to."""
    first = world.installed(world.name())
    claims = [replace(first, user=world.name(), device=f"{first.device}-{n}") for n in range(12)]
    await asyncio.gather(*(world.register(app, hub=n % 2) for n, app in enumerate(claims)))
    views = [await world.view(app) for app in claims]
    owners = [app for app, view in zip(claims, views, strict=True) if view["token_hash"]]
    assert len(owners) == 1
    ids = {app.user: await world.notify(app.user) for app in claims}
    await eventually(lambda: bool(world.pushes(first)))
    await asyncio.sleep(0.3)
    assert [told.id for told in world.pushes(first)] == [ids[owners[0].user]]
