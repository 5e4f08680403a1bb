"""Registering in steps: whoever dies between two of them, and whoever races, never are two pushed to."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any

import pytest

from hub.engine.redis.commands import Argument, Commands
from hub.engine.redis.devices import RedisDevices
from hub.engine.redis.keys import Keys
from hub.engine.redis.options import RedisOptions
from hub.engine.redis.scripts import Script
from hub.errors import EngineUnavailable
from hub.model import Position
from tests.hub.engine.redis.ledgers import (
    DAY_MS,
    LANE,
    PHONE,
    TABLET,
    LedgerParts,
    offsets_of,
    record,
    running_ledger,
)
from tests.support.redis_server import RedisServer

TOKEN = "one-and-the-same"


@pytest.fixture
async def parts(redis_options: RedisOptions) -> AsyncIterator[LedgerParts]:
    """A registry on an empty Redis of either kind."""
    async with running_ledger(redis_options) as made:
        yield made


def empty_options(server: RedisServer) -> RedisOptions:
    """The shared server, for tests whose many cases bring names of their own."""
    return RedisOptions(server.url, prefix="race:", partitions=4)


class Stepped:
    """Commands that wait, before each script, until the test lets them go on."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._may_go = asyncio.Semaphore(0)
        self.waits = asyncio.Event()
        self.count = 0

    @property
    def publish_verb(self) -> str:
        return self._commands.publish_verb

    async def run(
        self,
        tag: str,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Argument],
        *,
        repeatable: bool = False,
    ) -> Any:
        await self._stop_here()
        return await self._commands.run(tag, script, keys, args, repeatable=repeatable)

    async def call(self, tag: str, *command: Argument, repeatable: bool = False) -> Any:
        await self._stop_here()
        return await self._commands.call(tag, *command, repeatable=repeatable)

    async def _stop_here(self) -> None:
        self.count += 1
        self.waits.set()
        await self._may_go.acquire()
        self.waits.clear()

    async def step(self, work: asyncio.Task[None]) -> bool:
        """Let the work do one step; False when it has none left."""
        if work.done():
            return False
        self._may_go.release()
        await asyncio.sleep(0)
        waiting = asyncio.create_task(self.waits.wait())
        await asyncio.wait({waiting, work}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        return True


class Racer:
    """Somebody who registers one token in steps."""

    def __init__(self, parts: LedgerParts, user: str, device: str = PHONE) -> None:
        self.user, self.device = user, device
        self.stepped = Stepped(parts.commands)
        commands: Any = self.stepped
        self._devices = RedisDevices(
            commands, parts.keys, parts.nodes, parts.options, now_ms=parts.clock.now_ms
        )
        self.work: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Come as far as the first step."""
        work: Coroutine[Any, Any, None] = self._devices.register(self.user, self.device, record(TOKEN))
        self.work = asyncio.create_task(work)
        await self.stepped.waits.wait()

    async def step(self) -> bool:
        assert self.work is not None
        return await self.stepped.step(self.work)

    async def finish(self) -> None:
        while await self.step():
            pass
        assert self.work is not None
        await self.work

    async def die(self) -> None:
        assert self.work is not None
        self.work.cancel()
        await asyncio.gather(self.work, return_exceptions=True)


async def holders(parts: LedgerParts) -> list[str]:
    """The users with a row that is pushed to at the token."""
    return sorted([each.user async for each in parts.devices.export() if each.record.token == TOKEN])


def orders(first_count: int, second_count: int) -> Iterator[tuple[int, ...]]:
    """Every way in which two can take turns."""
    turns = first_count + second_count
    for places in itertools.combinations(range(turns), first_count):
        yield tuple(0 if turn in places else 1 for turn in range(turns))


async def steps_alone(parts: LedgerParts, user: str) -> int:
    """How many steps a registration has that nobody else takes part in."""
    racer = Racer(parts, user)
    await racer.begin()
    await racer.finish()
    return racer.stepped.count


async def in_use(parts: LedgerParts, users: Sequence[str]) -> list[str]:
    """Those of the users whose phone is pushed to at the token; quicker than :func:`holders`."""
    found = []
    for user in users:
        key = parts.keys.device(parts.tag(user), user, PHONE)
        token, pending = await parts.order(user, "HMGET", key, "token", "pending")
        if token and not pending:
            found.append(user)
    return found


async def race(parts: LedgerParts, users: Sequence[str], order: Sequence[int]) -> list[str]:
    """Let one registration for each of ``users`` take turns; who is pushed to in the end."""
    racers = [Racer(parts, user) for user in users]
    for racer in racers:
        await racer.begin()
    for turn in order:
        if await racers[turn].step():
            assert len(await in_use(parts, sorted(set(users)))) <= 1, order
    for racer in racers:
        await racer.finish()
    return await in_use(parts, sorted(set(users)))


async def test_two_users_who_race_leave_one_holder_in_every_order(shared_server: RedisServer) -> None:
    """And at no moment are there two."""
    async with running_ledger(empty_options(shared_server)) as parts:
        # Whoever comes second has to clear the first, and to note that.
        steps = await steps_alone(parts, "nobody") + 2
        for number, order in enumerate(orders(steps, steps)):
            assert len(await race(parts, [f"ann-{number}", f"bob-{number}"], order)) == 1, order


async def test_who_registers_twice_in_a_race_makes_no_second_holder(
    shared_server: RedisServer,
) -> None:
    """Three registrations of two users: never two holders, and where there is none, the next is one."""
    async with running_ledger(empty_options(shared_server)) as parts:
        steps = await steps_alone(parts, "nobody") + 2
        chance = random.Random(4)
        for number in range(150):
            order = [0, 1, 2] * steps
            chance.shuffle(order)
            ann, bob = f"ann-{number}", f"bob-{number}"
            assert len(await race(parts, [ann, bob, ann], order)) <= 1, order
            await parts.devices.register(bob, PHONE, record(TOKEN))
            assert await in_use(parts, [ann, bob]) == [bob]


@pytest.mark.parametrize("survives", [0, 1])
async def test_who_dies_between_two_steps_leaves_no_second_holder(
    redis_options: RedisOptions, survives: int
) -> None:
    """And can register again, as can everybody else."""
    async with running_ledger(redis_options) as parts:
        alone = await steps_alone(parts, "nobody")
        for steps in range(alone + 1):
            former, later = Racer(parts, f"ann-{steps}"), Racer(parts, f"bob-{steps}")
            await former.begin()
            await former.finish()
            await later.begin()
            for _ in range(steps):
                await later.step()
            await later.die()
            assert len(await holders(parts)) <= 1, steps
            again = (former, later)[survives]
            await parts.devices.register(again.user, PHONE, record(TOKEN))
            assert await holders(parts) == [again.user], steps


async def test_a_pending_row_is_owed_nothing_and_is_not_registered(parts: LedgerParts) -> None:
    """Its token may be another user's still."""
    racer = Racer(parts, "ann")
    await racer.begin()
    await racer.step()
    await racer.die()
    await parts.notify()
    welcome = await parts.hello()
    assert (welcome.known, welcome.registered) == (True, False)
    assert await parts.due() == []
    assert [view.owed for view in await parts.devices.view("ann")] == [0]


async def test_a_new_token_that_waits_keeps_what_is_owed(parts: LedgerParts) -> None:
    """A worker that meets the row meanwhile takes it from its lane; activation puts it back."""
    await parts.register(token="former")
    await parts.notify()
    racer = Racer(parts, "ann")
    await racer.begin()
    await racer.step()
    assert await parts.due() == []
    assert await parts.ledger.oldest_due_ms(LANE) is None
    await racer.finish()
    (claimed,) = await parts.due()
    assert (claimed.record.token, offsets_of(claimed)) == (TOKEN, [1])


async def test_an_interrupted_new_token_keeps_what_is_owed_too(parts: LedgerParts) -> None:
    """The next registration goes on where it stopped."""
    await parts.register(token="former")
    await parts.notify()
    racer = Racer(parts, "ann")
    await racer.begin()
    await racer.step()
    await racer.die()
    await parts.register(token=TOKEN)
    (claimed,) = await parts.due()
    assert offsets_of(claimed) == [1]


async def test_registering_the_same_again_is_one_step_and_a_sign_of_life(parts: LedgerParts) -> None:
    """Apps do it at every start; the token is confirmed, nobody is asked who else holds it."""
    await parts.register(token=TOKEN)
    parts.clock.advance(60)
    racer = Racer(parts, "ann")
    await racer.begin()
    await racer.finish()
    assert racer.stepped.count == 2
    (exported,) = [each async for each in parts.devices.export()]
    assert exported.token_updated_ms == parts.clock.ms


async def test_a_lost_record_of_a_token_is_written_again(parts: LedgerParts) -> None:
    """Else the next user of the phone would not clear this one."""
    await parts.register(token=TOKEN)
    for name in await parts.names():
        if ":token:" in name:
            await parts.commands.call(name.partition("{")[2].partition("}")[0], "DEL", name)
    await parts.register(token=TOKEN)
    await parts.register("bob", token=TOKEN)
    assert await holders(parts) == ["bob"]


@pytest.mark.parametrize("used_by", ["registering", "connecting", "proving"])
async def test_the_record_of_a_token_outlives_its_row(parts: LedgerParts, used_by: str) -> None:
    """However long it was not registered again: the next user of the phone must find out whose it was."""
    await parts.register(token=TOKEN)
    epoch = (await parts.notify()).position.epoch
    (name,) = (each for each in await parts.names() if ":token:" in each)
    tag = name.partition("{")[2].partition("}")[0]
    if used_by != "registering":
        parts.clock.advance(300 * 86_400)
        await parts.commands.call(tag, "PEXPIRE", name, 100 * DAY_MS)
        await (parts.hello() if used_by == "connecting" else parts.ack(1, epoch))
    row = parts.keys.device(parts.tag("ann"), "ann", PHONE)
    until_ms = int(await parts.order("ann", "HGET", row, "until"))
    assert until_ms >= parts.clock.ms + 400 * DAY_MS
    assert await parts.commands.call(tag, "PTTL", name) >= until_ms - parts.clock.ms


async def test_a_device_that_moves_to_another_lane_is_due_there(parts: LedgerParts) -> None:
    """With the time it had."""
    await parts.register(token=TOKEN)
    await parts.hello()
    await parts.notify()
    await parts.devices.register("ann", PHONE, record(TOKEN, app="other"))
    parts.clock.advance(6)
    assert await parts.due() == []
    (claimed,) = await parts.due(lane="apns:other:production")
    assert claimed.record.app == "other"


async def test_only_its_current_holder_is_noted_for_a_token(parts: LedgerParts) -> None:
    """Whatever came before; a record does not grow with every change of hands."""
    for number in range(5):
        await parts.register(f"user-{number}", token=TOKEN)
    await parts.register("user-4", token="next")
    await parts.register("user-3", device=TABLET, token=TOKEN)
    noted: list[str] = []
    for name in await parts.names():
        if ":token:" in name:
            tag = name.partition("{")[2].partition("}")[0]
            members = await parts.commands.call(tag, "SMEMBERS", name)
            noted += [member.decode().rpartition(":")[0] for member in members]
    assert sorted(noted) == [f"user-3:{TABLET}", f"user-4:{PHONE}"]


async def test_an_evicted_device_gives_its_token_back(redis_options: RedisOptions) -> None:
    """Rows that left at the limit are noted nowhere."""
    async with running_ledger(redis_options) as parts:
        for number in range(parts.options.devices_per_user + 3):
            await parts.register(device=f"device-{number:010}", token=f"token-{number}")
            parts.clock.advance(1)
        assert len(await parts.devices.view("ann")) == parts.options.devices_per_user
        tokens = [name for name in await parts.names() if ":token:" in name]
        assert len(tokens) == parts.options.devices_per_user


async def test_an_export_sees_every_partition(parts: LedgerParts) -> None:
    """And users whose ids no key can carry as they are."""
    users = [f"user-{number}" for number in range(20)] + ["no key\ncan carry é {this}"]
    for user in users:
        await parts.register(user, token=f"token of {user}")
    exported = [each async for each in parts.devices.export()]
    assert sorted(each.user for each in exported) == sorted(users)
    assert all(each.record == record(f"token of {each.user}") for each in exported)


async def test_an_export_of_a_prefix_with_signs_of_patterns_finds_its_own(
    redis_options: RedisOptions,
) -> None:
    """And nothing of its neighbours'."""
    strange = RedisOptions(redis_options.url, prefix="a[b]*?:", partitions=4)
    neighbour = RedisOptions(redis_options.url, prefix="ab:x:", partitions=4)
    async with running_ledger(strange) as parts, running_ledger(neighbour) as others:
        await parts.register("ann")
        await others.register("bob")
        assert [each.user async for each in parts.devices.export()] == ["ann"]


async def test_the_rows_of_one_user_are_of_one_partition(parts: LedgerParts) -> None:
    """Inbox, rows and debts; only the token's record is elsewhere."""
    await parts.register("ann", token=TOKEN)
    await parts.notify()
    tags = {name.partition("{")[2].partition("}")[0] for name in await parts.names() if ":token:" not in name}
    assert tags == {Keys("hub:", 4).tag_of("inbox:#ann")} == {parts.tag("ann")}


async def test_a_registration_that_redis_refuses_is_told(redis_options: RedisOptions) -> None:
    """The app tries again; nothing of it is in use."""
    async with running_ledger(redis_options) as parts:
        await parts.commands.stop()
        with pytest.raises(EngineUnavailable):
            await parts.register()


async def test_what_came_before_a_token_is_not_pushed(parts: LedgerParts) -> None:
    """Neither to a new device nor to one whose token went."""
    await parts.notify("n1")
    await parts.register(token=TOKEN)
    await parts.register("bob", token=TOKEN)
    await parts.notify("n2")
    await parts.register(token=TOKEN)
    await parts.notify("n3")
    (claimed,) = await parts.due()
    assert offsets_of(claimed) == [3]
    assert claimed.epoch == (await parts.ledger.summary("ann")).top.epoch
    assert (await parts.ledger.summary("ann")).top == Position(3, claimed.epoch)
