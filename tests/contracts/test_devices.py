"""What every registry of devices promises: one owner per token, a limit per user, nothing secret shown."""

from __future__ import annotations

import asyncio

import pytest

from hub.delivery.model import DeviceRecord
from tests.contracts.engines import World
from tests.contracts.inboxes import APNS, PHONE, TABLET, Person, record


@pytest.fixture
def ann(ledger_world: World) -> Person:
    """A user of the world."""
    return Person(ledger_world)


@pytest.fixture
def bob(ledger_world: World) -> Person:
    """Another one."""
    return Person(ledger_world, user="bob")


class TestRegistering:
    """A device comes, and comes again."""

    async def test_it_is_shown_without_its_token(self, ann: Person) -> None:
        """Of which a part of the hash is all that anybody sees."""
        await ann.register()
        (view,) = await ann.engine.devices.view("ann")
        assert (view.id, view.platform, view.provider) == (PHONE, "ios", "apns")
        assert (view.app, view.environment, view.state) == ("shop", "production", "offline")
        assert (len(view.token_hash), view.owed, view.acked) == (8, 0, 0)

    async def test_the_old_inbox_is_not_pushed_to_a_new_device(self, ann: Person) -> None:
        """It starts at the top."""
        await ann.notify()
        await ann.register()
        assert (await ann.view()).acked == 1
        assert await ann.due() == []

    async def test_a_new_token_leaves_what_is_owed(self, ann: Person) -> None:
        """Providers replace tokens at any time, also between a notification and its push."""
        await ann.register()
        await ann.notify()
        await ann.register(token="t2")
        claimed = await ann.due_one()
        assert (claimed.record.token, claimed.groups[0].offsets) == ("t2", (1,))

    async def test_registering_again_changes_nothing_owed(self, ann: Person) -> None:
        """Apps do it at every start."""
        await ann.register()
        await ann.hello()
        await ann.notify()
        await ann.register()
        assert (await ann.view()).owed == 1
        assert await ann.due() == []
        await ann.world.advance(5.1)
        assert await ann.due()

    async def test_the_whole_record_is_replaced(self, ann: Person) -> None:
        """Also its lane, which takes along what is due."""
        await ann.register()
        await ann.notify()
        await ann.engine.devices.register(
            "ann", PHONE, DeviceRecord("android", "fcm", "shop", "sandbox", "t1", "de", "UTC", "1.2")
        )
        assert await ann.due(APNS) == []
        claimed = await ann.due_one("fcm:shop:sandbox")
        assert (claimed.record.platform, claimed.record.locale) == ("android", "de")
        assert (claimed.record.timezone, claimed.record.app_version) == ("UTC", "1.2")

    async def test_the_least_recently_seen_one_leaves_at_the_limit(self, ann: Person) -> None:
        """Its debts go with it; the one that comes never leaves itself."""
        devices = [f"device-{number:09}" for number in range(21)]
        for number, device in enumerate(devices[:20]):
            await ann.register(device, f"t{number}")
            await ann.world.advance(1)
        await ann.hello(devices[0])
        await ann.register(devices[20], "t20")
        left = {view.id for view in await ann.engine.devices.view("ann")}
        assert left == set(devices) - {devices[1]}
        await ann.notify()
        assert devices[1] not in {row.device for row in await ann.due(limit=30)}

    async def test_the_most_recently_seen_comes_first(self, ann: Person) -> None:
        """As people look for them."""
        await ann.register(PHONE, "t1")
        await ann.world.advance(1)
        await ann.register(TABLET, "t2")
        assert [view.id for view in await ann.engine.devices.view("ann")] == [TABLET, PHONE]
        await ann.world.advance(1)
        await ann.hello(PHONE)
        first, second = await ann.engine.devices.view("ann")
        assert (first.id, first.state, second.state) == (PHONE, "foreground", "offline")
        assert first.last_seen_ms == second.last_seen_ms + 1_000


class TestMoving:
    """Possession of the token moves a phone (delivery 2)."""

    async def test_a_phone_moves_to_another_user(self, ann: Person, bob: Person) -> None:
        """What was owed to the first is not pushed to it any more."""
        await ann.register()
        await ann.notify()
        await bob.register()
        assert (await ann.view()).token_hash == ""
        assert await ann.due() == []
        await ann.notify("n2")
        await bob.notify("n3")
        claimed = await ann.due_one()
        assert (claimed.user, claimed.groups[0].ids) == ("bob", ("n3",))

    async def test_a_late_push_for_the_first_says_nothing_of_the_second(
        self, ann: Person, bob: Person
    ) -> None:
        """It ends nothing, and drops no token."""
        await ann.register()
        await ann.notify()
        claimed = await ann.due_one()
        await bob.register()
        assert not await ann.finish(claimed, gone=claimed.token_hash)
        assert (await bob.hello()).registered

    async def test_the_device_id_alone_moves_nothing(self, ann: Person, bob: Person) -> None:
        """Whoever guesses it gets a device of their own."""
        await ann.register(PHONE, "t1")
        await bob.register(PHONE, "t2")
        assert (await ann.hello()).registered
        assert (await bob.hello()).registered

    async def test_it_moves_between_devices_of_one_user(self, ann: Person) -> None:
        """An app that was installed anew has a new id and the old token."""
        await ann.register(PHONE, "t1")
        await ann.register(TABLET, "t1")
        await ann.notify()
        assert [row.device for row in await ann.due()] == [TABLET]

    async def test_it_moves_back(self, ann: Person, bob: Person) -> None:
        """What came meanwhile is not pushed."""
        await ann.register()
        await bob.register()
        await ann.notify("n1")
        await ann.register()
        assert await ann.due() == []
        await ann.notify("n2")
        (group,) = (await ann.due_one()).groups
        assert group.ids == ("n2",)
        assert not (await bob.hello()).registered

    async def test_many_at_once_leave_one_owner(self, ledger_world: World) -> None:
        """Whoever wins, nobody shares it."""
        people = [Person(ledger_world, user=f"user{number}") for number in range(8)]
        await asyncio.gather(*(person.register() for person in people))
        registered = [(await person.hello()).registered for person in people]
        assert sum(registered) == 1


class TestRemoving:
    """A logout is a removal."""

    async def test_nothing_is_owed_to_it_any_more(self, ann: Person) -> None:
        """And it is unknown."""
        await ann.register()
        await ann.notify()
        assert await ann.engine.devices.remove("ann", PHONE)
        assert await ann.due() == []
        assert not (await ann.hello()).known
        assert not await ann.engine.devices.remove("ann", PHONE)

    async def test_another_user_logs_in(self, ann: Person, bob: Person) -> None:
        """A push for the first that comes late ends without harm."""
        await ann.register()
        await ann.notify()
        claimed = await ann.due_one()
        await ann.engine.devices.remove("ann", PHONE)
        await bob.register()
        assert not await ann.push(claimed)
        assert (await bob.view()).owed == 0
        assert (await bob.hello()).registered


class TestExporting:
    """All registrations, for another Redis."""

    async def test_it_has_every_token_that_can_be_used(self, ann: Person, bob: Person) -> None:
        """And no device without one."""
        await ann.register(PHONE, "t1")
        await ann.register(TABLET, "t2")
        await bob.register(PHONE, "t1")
        exported = {(each.user, each.device): each async for each in ann.engine.devices.export()}
        assert set(exported) == {("ann", TABLET), ("bob", PHONE)}
        assert exported["bob", PHONE].record == record("t1")
        assert exported["bob", PHONE].token_updated_ms > 0
