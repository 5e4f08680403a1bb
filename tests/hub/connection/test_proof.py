"""A pong behind a publication is proof that a device has it; on the wire, against the real ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from hub.delivery.model import Hello
from hub.engine.memory.ledger import MemoryLedger
from hub.errors import REPLACED, EngineUnavailable
from hub.node import node as node_room
from tests.support.hub_process import Running, running_hub
from tests.support.inboxes import DEVICE, WITH_INBOX, Inbox, answer_ping, hub_data, numbers
from tests.support.raw_client import CLOSE, PONG, RawClient, client_frame, close_payload
from tests.support.waiting import eventually
from tests.support.wire_client import WireClient, connected, connection_token, wire_client

QUIET = {**WITH_INBOX, "ping.interval_s": 300}
SECOND = "phone-9876543210"


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """A hub with inboxes that never pings by itself."""
    async with running_hub(QUIET) as hub:
        yield hub


@pytest.fixture
async def inbox(running: Running) -> Inbox:
    """The inbox of a user whose device is registered."""
    inbox = Inbox(running.hub)
    await inbox.register()
    return inbox


async def nothing_comes(client: WireClient, seconds: float = 0.4) -> None:
    """No message, for longer than a ping may be put off."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            message = await client.next()
            raise AssertionError(f"{message} came")


async def test_the_pong_behind_a_notification_closes_its_debt(running: Running, inbox: Inbox) -> None:
    """Without any code in the client, and with marks of both moments."""
    async with connected(running, data=hub_data()) as client:
        offset = await inbox.notify(1)
        assert await numbers(client, 1) == [1]
        assert await inbox.owed() == 1
        await answer_ping(client)
        await inbox.becomes_proven(offset)
        assert await inbox.owed() == 0
        marks = {mark.event: mark for mark in await inbox.marks(1)}
        assert marks["proven"].detail == "pong"
        assert 0 < marks["written"].time_ms <= marks["proven"].time_ms


async def test_a_burst_costs_two_pings(running: Running, inbox: Inbox) -> None:
    """One behind the first, and one for all that was written while that was under way."""
    async with connected(running, data=hub_data()) as client:
        await asyncio.sleep(0.3)
        for number in range(50):
            await inbox.notify(number)
        messages = [await client.next() for _ in range(51)]
        assert messages.count({}) == 1 and messages[1] == {}
        client.send_text("{}")
        await inbox.becomes_proven(1)
        assert (await inbox.view()).acked == 1
        await answer_ping(client)
        await inbox.becomes_proven(50)
        await nothing_comes(client)


async def test_a_replay_is_proven_at_once(running: Running, inbox: Inbox) -> None:
    """What the reply brought was written as well."""
    for number in (1, 2, 3):
        await inbox.notify(number)
    async with wire_client(running) as client:
        result = await client.connect(data=hub_data())
        assert len(result["subs"]["inbox:#42"]["publications"]) == 3
        await answer_ping(client)
        await inbox.becomes_proven(3)


async def test_nothing_is_asked_of_who_has_nothing_to_prove(running: Running, inbox: Inbox) -> None:
    """Neither after a connect, nor without a device, nor for words about entries."""
    await inbox.notify(1)
    epoch = (await inbox.engine.ledger.summary("42")).top.epoch
    resume = {"inbox:#42": {"recover": True, "epoch": epoch, "offset": 1}}
    async with (
        connected(running, data=hub_data(), subs=resume) as client,
        connected(running) as nameless,
        connected(running, data=hub_data(SECOND)) as unregistered,
    ):
        await inbox.engine.ledger.withdraw("42", "n1")
        for each in (client, nameless, unregistered):
            assert (await each.push())["pub"]["data"]["type"] == "withdrawn"
        await nothing_comes(client)
        await inbox.notify(2)
        for each in (nameless, unregistered):
            assert await numbers(each, 1) == [2]
            await nothing_comes(each)


async def test_after_an_incomplete_resume_a_pong_proves_nothing(running: Running, inbox: Inbox) -> None:
    """An offset stands for all before it; only what the app says itself closes debts then."""
    for number in range(501):
        await inbox.notify(number)
    async with wire_client(running) as client:
        result = await client.connect(data=hub_data())
        assert "recovered" not in result["subs"]["inbox:#42"]
        await inbox.notify(501)
        assert await numbers(client, 1) == [501]
        await nothing_comes(client)
        assert (await inbox.view()).acked == 0


async def test_once_the_app_says_what_it_has_pongs_prove_again(running: Running, inbox: Inbox) -> None:
    """After an incomplete resume the app pages through its inbox, and need not do so for what comes later."""
    for number in range(501):
        await inbox.notify(number)
    async with wire_client(running) as client:
        result = await client.connect(data=hub_data())
        epoch = result["subs"]["inbox:#42"]["epoch"]
        ack = {"method": "inbox.ack", "data": {"epoch": epoch, "offset": 501}}
        assert (await client.ask(rpc=ack))["rpc"]["data"] == {"acked": 501}
        await inbox.notify(501)
        assert await numbers(client, 1) == [501]
        await answer_ping(client)
        await inbox.becomes_proven(502)


async def test_in_the_background_attention_is_not_proven(running: Running, inbox: Inbox) -> None:
    """Until the app comes to the front."""
    async with connected(running, data=hub_data(state="background")) as client:
        await inbox.notify(1)
        assert await numbers(client, 1) == [1]
        await nothing_comes(client)
        client.send(client.command(rpc={"method": "device.state", "data": {"state": "foreground"}}))
        await answer_ping(client)
        assert "rpc" in await client.next()
        await inbox.becomes_proven(1)
        await client.ask(rpc={"method": "device.state", "data": {"state": "background"}})
        await inbox.notify(2)
        assert await numbers(client, 1) == [2]
        await nothing_comes(client)
        assert (await inbox.view()).acked == 1


async def test_a_pong_that_comes_after_the_app_went_away_proves_nothing(
    running: Running, inbox: Inbox
) -> None:
    """What counts is where the app is when it answers."""
    async with connected(running, data=hub_data()) as client:
        await inbox.notify(1)
        assert await numbers(client, 1) == [1]
        assert await client.next() == {}
        await client.ask(rpc={"method": "device.state", "data": {"state": "background"}})
        client.send_text("{}")
        await client.ask(unsubscribe={"channel": "x"})
        assert (await inbox.view()).acked == 0


async def test_apps_that_show_notifications_themselves_prove_in_the_background() -> None:
    """A setting, for those who raise local notifications."""
    async with running_hub({**QUIET, "delivery.background_counts": True}) as hub:
        inbox = Inbox(hub.hub)
        await inbox.register()
        async with connected(hub, data=hub_data(state="background")) as client:
            await inbox.notify(1)
            assert await numbers(client, 1) == [1]
            await answer_ping(client)
            await inbox.becomes_proven(1)


async def test_scheduled_pings_and_pings_for_proof_live_together() -> None:
    """A busy inbox delays no ping that SDKs wait for, and ends no connection that answers."""
    settings = {**WITH_INBOX, "ping.interval_s": 1, "ping.pong_timeout_s": 0.3}
    async with running_hub(settings) as hub:
        inbox = Inbox(hub.hub)
        await inbox.register()
        async with connected(hub, data=hub_data()) as client:
            notifying = asyncio.create_task(notify_often(inbox, 100))
            pings = offset = 0
            while (await inbox.view()).acked < 100:
                message = await client.next()
                if message == {}:
                    pings += 1
                    # A slow phone: a ping for proof is mostly outstanding when the scheduled one is due.
                    await asyncio.sleep(0.1)
                    client.send_text("{}")
                    await asyncio.sleep(0)
                else:
                    assert message["push"]["pub"]["offset"] == offset + 1
                    offset += 1
            await notifying
            assert offset == 100
            assert pings > 10


async def test_a_ping_for_proof_that_nobody_answers_ends_the_connection() -> None:
    """With the next scheduled one, as any other."""
    settings = {**WITH_INBOX, "ping.interval_s": 1, "ping.pong_timeout_s": 0.3}
    async with running_hub(settings) as hub:
        inbox = Inbox(hub.hub)
        await inbox.register()
        async with connected(hub, data=hub_data()) as client:
            await inbox.notify(1)
            assert await numbers(client, 1) == [1]
            assert await client.next() == {}
            assert (await client.closed())[0] == 3012
        await inbox.becomes("offline")
        assert await inbox.owed() == 1


async def test_websocket_pongs_prove_nothing(running: Running, inbox: Inbox) -> None:
    """A browser answers them for a frozen page too; only what the app acks itself counts."""
    parts = urlsplit(running.url)
    assert parts.hostname and parts.port
    async with await RawClient.connect((parts.hostname, parts.port)) as raw:
        await raw.upgrade("/connection/websocket?cf_ws_frame_ping_pong=true")
        client = WireClient(raw)
        await client.connect(data=hub_data())
        await inbox.notify(1)
        assert await numbers(client, 1) == [1]
        raw.send(client_frame(PONG))
        epoch = (await inbox.engine.ledger.summary("42")).top.epoch
        assert (await inbox.view()).acked == 0
        ack = {"method": "inbox.ack", "data": {"epoch": epoch, "offset": 1}}
        assert (await client.ask(rpc=ack))["rpc"]["data"] == {"acked": 1}


async def test_a_websocket_pong_nobody_asked_for_proves_nothing(running: Running, inbox: Inbox) -> None:
    """It is legal (RFC 6455, 5.5.3), and may be older than what was written."""
    parts = urlsplit(running.url)
    assert parts.hostname and parts.port
    async with await RawClient.connect((parts.hostname, parts.port)) as raw:
        await raw.upgrade("/connection/websocket?cf_ws_frame_ping_pong=true")
        client = WireClient(raw)
        await client.connect(data=hub_data())
        await inbox.notify(1)
        raw.send(client_frame(PONG))
        assert (await client.ask_past_pushes(unsubscribe={"channel": "x"}))["unsubscribe"] == {}
        assert (await inbox.view()).acked == 0


async def notify_often(inbox: Inbox, count: int) -> None:
    """For more than two intervals of the pings."""
    for number in range(count):
        await inbox.notify(number)
        await asyncio.sleep(0.025)


# Who is connected.


async def test_the_newest_connection_of_a_device_wins(running: Running, inbox: Inbox) -> None:
    """The older one ends with 4500, from which SDKs do not come back."""
    async with connected(running, data=hub_data()) as old:
        async with connected(running, data=hub_data()) as new:
            assert await old.closed() == (REPLACED.code, REPLACED.reason)
            await inbox.notify(1)
            assert await numbers(new, 1) == [1]
            await answer_ping(new)
            await inbox.becomes_proven(1)
            assert (await inbox.view()).state == "foreground"


async def test_of_two_that_connect_at_once_one_is_left(running: Running, inbox: Inbox) -> None:
    """The older one was not even answered when the newer one said hello."""
    broker, blocked = inbox.engine.broker, asyncio.Event()
    positions = broker.positions

    async def slow_positions(*args: Any) -> Any:
        await blocked.wait()
        return await positions(*args)

    broker.positions = slow_positions  # type: ignore[assignment, method-assign]
    async with wire_client(running) as old, wire_client(running) as new:
        old.send(old.command(connect={"token": connection_token(), "data": hub_data()}))
        await inbox.becomes("foreground")
        new.send(new.command(connect={"token": connection_token(), "data": hub_data()}))
        assert await old.closed() == (REPLACED.code, REPLACED.reason)
        blocked.set()
        assert "connect" in await new.next()
        await inbox.notify(1)
        assert await numbers(new, 1) == [1]
        await answer_ping(new)
        await inbox.becomes_proven(1)
        assert (await inbox.view()).state == "foreground"


@pytest.mark.parametrize("by", ["HTTP", "its socket"])
async def test_a_late_registration_by_the_older_one_ends_no_newer_one(by: str) -> None:
    """It is not closed yet, since its hub learns a moment later that the app has connected elsewhere."""
    record = {"platform": "android", "provider": "recording", "app": "app", "environment": "production"}
    async with running_hub({**QUIET, **APPS}) as hub:
        inbox = Inbox(hub.hub)
        await inbox.register()
        async with connected(hub, data=hub_data()) as old:
            newer = await inbox.engine.ledger.hello("42", DEVICE, Hello("elsewhere", "newer", "foreground"))
            if by == "HTTP":
                await inbox.register(token="another-token")
                await inbox.hub.node.tell_device("42", DEVICE)
            else:
                told = {"method": "device.register", "data": record | {"token": "another-token"}}
                assert "rpc" in await old.ask(rpc=told)
            again = Hello("elsewhere", "newer", "foreground", resumes=newer.generation)
            assert (await inbox.engine.ledger.hello("42", DEVICE, again)).generation == newer.generation
            latest = await inbox.engine.ledger.hello("42", DEVICE, Hello("elsewhere", "latest", "foreground"))
            assert latest.replaced == ("elsewhere", "newer")
            assert latest.generation > newer.generation


async def test_a_row_that_was_made_anew_learns_of_the_connection(running: Running, inbox: Inbox) -> None:
    """Removed and registered behind its back: the connection's former number means nothing any more."""
    async with connected(running, data=hub_data()) as client:
        await inbox.engine.devices.remove("42", DEVICE)
        await inbox.register()
        assert (await inbox.view()).state == "offline"
        await inbox.hub.node.tell_device("42", DEVICE)
        assert (await inbox.view()).state == "foreground"
        await inbox.notify(1)
        assert await numbers(client, 1) == [1]
        await answer_ping(client)
        await inbox.becomes_proven(1)


async def test_another_device_is_left_alone(running: Running, inbox: Inbox) -> None:
    """And proves for itself only."""
    await inbox.register(SECOND)
    async with (
        connected(running, data=hub_data()) as phone,
        connected(running, data=hub_data(SECOND)) as tablet,
    ):
        await inbox.notify(1)
        for client in (phone, tablet):
            assert await numbers(client, 1) == [1]
        await answer_ping(phone)
        await inbox.becomes_proven(1)
        assert (await inbox.view(SECOND)).acked == 0
        await answer_ping(tablet)
        other = Inbox(inbox.hub, device=SECOND)
        await other.becomes_proven(1)


@pytest.mark.parametrize("how", ["closed", "dropped", "drained"])
async def test_the_ledger_learns_how_a_connection_ended(
    running: Running, inbox: Inbox, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that said goodbye is pushed to at once, the others get some time to come back."""
    told: list[Any] = []
    leave = MemoryLedger.leave

    async def noted(self: MemoryLedger, user: str, device: str, generation: int, *rest: Any) -> None:
        told.append(rest)
        await leave(self, user, device, generation, *rest)

    monkeypatch.setattr(MemoryLedger, "leave", noted)
    async with connected(running, data=hub_data()) as client:
        await inbox.notify(1)
        assert await numbers(client, 1) == [1]
        if how == "closed":
            client.raw.send(client_frame(CLOSE, close_payload(1000)))
        elif how == "dropped":
            client.raw.reset()
        else:
            await inbox.hub.node.disconnect("42")
        await inbox.becomes("offline")
        ((said, unproven),) = told
        assert said == how
        assert (unproven.offset, unproven.written_ms > 0) == (1, True)
        assert await inbox.claimable() == (1 if how == "closed" else 0)
        assert "written" in [mark.event for mark in await inbox.marks(1)]


async def test_a_refused_connect_leaves_no_device_behind(running: Running, inbox: Inbox) -> None:
    """The hello came before the engine failed."""
    broker = inbox.engine.broker

    async def away(*args: object) -> object:
        raise EngineUnavailable

    positions = broker.positions
    broker.positions = away  # type: ignore[assignment, method-assign]
    async with wire_client(running) as client:
        code = await client.error(connect={"token": connection_token(), "data": hub_data()})
        assert code == 100
        await inbox.becomes("offline")
        broker.positions = positions  # type: ignore[method-assign]


# Registering over the connection.


async def register_over(client: WireClient, device: str = DEVICE) -> None:
    """What an app does after it learned that it is not registered."""
    reply = await client.ask(
        rpc={
            "method": "device.register",
            "data": {
                "id": device,
                "platform": "android",
                "provider": "recording",
                "app": "app",
                "environment": "production",
                "token": f"token-of-{device}",
            },
        }
    )
    assert reply["rpc"]["data"] == {"id": device, "registered": True}


APPS = {"push.apps": [{"name": "app", "provider": "recording", "environment": "production"}]}


async def test_a_device_that_registers_over_its_connection_is_online_at_once() -> None:
    """And proves what it gets from then on."""
    async with running_hub({**QUIET, **APPS}) as hub:
        inbox = Inbox(hub.hub)
        async with connected(hub, data=hub_data()) as client:
            await register_over(client)
            assert (await inbox.view()).state == "foreground"
            await inbox.notify(1)
            assert await numbers(client, 1) == [1]
            await answer_ping(client)
            await inbox.becomes_proven(1)
        await inbox.becomes("offline")


async def test_a_device_that_registers_otherwise_is_online_too(running: Running) -> None:
    """By HTTP, at whichever hub; its state can be told that way as well."""
    inbox = Inbox(running.hub)
    node = inbox.hub.node
    async with connected(running, data=hub_data()) as client:
        await inbox.register()
        assert (await inbox.view()).state == "offline"
        await node.tell_device("42", DEVICE)
        assert (await inbox.view()).state == "foreground"
        await inbox.notify(1)
        assert await numbers(client, 1) == [1]
        await answer_ping(client)
        await inbox.becomes_proven(1)
        await node.tell_device("42", DEVICE, "background")
        await inbox.becomes("background")
        await node.tell_device("42", SECOND)
        await node.tell_device("43", DEVICE)


async def test_registering_another_device_does_not_make_it_this_one() -> None:
    """An id that the client did not name when it connected is somewhere else."""
    async with running_hub({**QUIET, **APPS}) as hub:
        inbox = Inbox(hub.hub)
        async with connected(hub, data=hub_data()) as client, connected(hub) as nameless:
            for each in (client, nameless):
                await register_over(each, SECOND)
            assert (await inbox.view(SECOND)).state == "offline"


async def test_a_removed_device_proves_nothing(running: Running, inbox: Inbox) -> None:
    """Its connection lives on."""
    async with connected(running, data=hub_data()) as client:
        assert (await client.ask(rpc={"method": "device.remove", "data": {}}))["rpc"] == {"data": {}}
        await inbox.notify(1)
        assert await numbers(client, 1) == [1]
        await nothing_comes(client)


async def test_a_hub_that_counted_as_gone_tells_of_its_devices_again(
    running: Running, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it could; one that nobody knows any more is then none."""
    await inbox.register(SECOND)
    hello = inbox.engine.ledger.hello
    given: dict[str, int] = {}

    async def first(user: str, device: str, said: Any) -> Any:
        welcome = await hello(user, device, said)
        given[device] = welcome.generation
        return welcome

    inbox.engine.ledger.hello = first  # type: ignore[assignment, method-assign]
    async with connected(running, data=hub_data()) as client, connected(running, data=hub_data(SECOND)):
        node = inbox.hub.node
        await inbox.engine.devices.remove("42", SECOND)
        told: list[tuple[str, int | None]] = []

        async def noted(user: str, device: str, said: Any) -> Any:
            told.append((device, said.resumes))
            if len(told) == 1:
                raise EngineUnavailable
            return await hello(user, device, said)

        inbox.engine.ledger.hello = noted  # type: ignore[assignment, method-assign]
        monkeypatch.setattr(node_room, "_HELLO_AGAIN_AFTER_S", 0.01)
        node.run_detached(node._tell_of_devices())
        await eventually(lambda: len(told) == 3)
        assert all(resumes == given[device] for device, resumes in told)
        assert sorted(device for device, _ in told[:2]) == sorted((DEVICE, SECOND))
        await inbox.notify(1)
        assert await numbers(client, 1) == [1]
        await answer_ping(client)
        await inbox.becomes_proven(1)
