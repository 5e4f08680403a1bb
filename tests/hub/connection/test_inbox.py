"""The inbox comes with the connect, and brings what the device has not had; on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from hub.errors import HubError
from hub.model import HistoryFilter
from tests.support.hub_process import Running, running_hub
from tests.support.inboxes import DEVICE, WITH_INBOX, Inbox, hub_data
from tests.support.waiting import eventually
from tests.support.wire_client import (
    Json,
    connected,
    connection_token,
    subscription_token,
    wire_client,
)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """A hub with inboxes that never pings by itself."""
    async with running_hub({**WITH_INBOX, "ping.interval_s": 300, "auth.anonymous": True}) as hub:
        yield hub


@pytest.fixture
def inbox(running: Running) -> Inbox:
    """The inbox of the user whom the wire client is."""
    return Inbox(running.hub)


async def test_every_user_is_attached_to_their_inbox(running: Running) -> None:
    """Without asking for it; recoverable, and without a word about devices."""
    async with wire_client(running) as client:
        result = await client.connect("7")
    assert set(result["subs"]) == {"inbox:#7"}
    told = result["subs"]["inbox:#7"]
    assert told["recoverable"] is True and told["positioned"] is True and told["epoch"]
    assert "was_recovering" not in told and "data" not in result


async def test_the_anonymous_user_has_none(running: Running) -> None:
    """A device is named in vain."""
    async with wire_client(running) as client:
        reply = await client.ask(connect={"data": hub_data()})
    assert "subs" not in reply["connect"]
    assert reply["connect"]["data"] == {"hub": {"device": {"id": DEVICE, "registered": False}}}


async def test_without_inboxes_nothing_of_it_is_looked_at() -> None:
    """Neither what the data of the connect says nor what it should not say."""
    async with running_hub() as hub, wire_client(hub) as client:
        result = await client.connect(data={"hub": 1})
        assert "subs" not in result and "data" not in result


@pytest.mark.parametrize(
    "data",
    [
        {"hub": 1},
        {"hub": []},
        {"hub": {"device": 7}},
        {"hub": {"device": "short"}},
        {"hub": {"device": "with a space in its name"}},
        {"hub": {"device": "x" * 65}},
        {"hub": {"device": DEVICE, "state": "asleep"}},
        {"hub": {"state": "asleep"}},
    ],
    ids=str,
)
async def test_what_is_malformed_is_refused(running: Running, data: object) -> None:
    """107, and nothing is left behind."""
    async with wire_client(running) as client:
        assert await client.error(connect={"token": connection_token(), "data": data}) == 107
    assert running.hub is not None
    hub = running.hub
    await eventually(lambda: hub.node.listening.counts() == {})


@pytest.mark.parametrize(
    "data", [{"app": 1}, [], "text", 7, {"hub": None}, {"hub": {}}, {"hub": {"more": 1}}], ids=str
)
async def test_other_data_is_the_apps_own(running: Running, data: object) -> None:
    """Whatever it is."""
    async with wire_client(running) as client:
        assert "data" not in await client.connect(data=data)


async def test_the_reply_says_where_the_inbox_stands(running: Running, inbox: Inbox) -> None:
    """And that the device must register, as long as it has not."""
    await inbox.notify(1)
    await inbox.notify(2)
    epoch = (await inbox.engine.ledger.summary("42")).top.epoch
    await inbox.engine.ledger.read("42", epoch, 1)
    async with wire_client(running) as client:
        result = await client.connect(data={**hub_data(), "app": 1})
        assert result["data"] == {
            "hub": {
                "device": {"id": DEVICE, "registered": False},
                "inbox": {"channel": "inbox:#42", "epoch": epoch, "head": 2, "read": 1, "unread": 1},
            }
        }
        assert result["subs"]["inbox:#42"].get("was_recovering") is None
    await inbox.register()
    async with wire_client(running) as client:
        result = await client.connect(data=hub_data())
        assert result["data"]["hub"]["device"] == {"id": DEVICE, "registered": True}


async def test_a_device_without_a_cursor_gets_what_it_has_not_had(running: Running, inbox: Inbox) -> None:
    """An app that keeps nothing on disk: the hub knows what it has."""
    await inbox.notify(1)
    await inbox.register()
    await inbox.notify(2)
    await inbox.notify(3)
    async with wire_client(running) as client:
        told = (await client.connect(data=hub_data()))["subs"]["inbox:#42"]
    assert (told["recovered"], told["was_recovering"], told["offset"]) == (True, True, 1)
    assert [each["data"]["data"]["n"] for each in told["publications"]] == [2, 3]
    assert [each["offset"] for each in told["publications"]] == [2, 3]


async def test_a_cursor_of_the_clients_own_goes_before(running: Running, inbox: Inbox) -> None:
    """And is proof of what is before it."""
    await inbox.register()
    for number in (1, 2, 3):
        await inbox.notify(number)
    epoch = (await inbox.engine.ledger.summary("42")).top.epoch
    resume = {"inbox:#42": {"recover": True, "epoch": epoch, "offset": 2}}
    async with wire_client(running) as client:
        told = (await client.connect(data=hub_data(), subs=resume))["subs"]["inbox:#42"]
        assert (told["recovered"], told["offset"]) == (True, 2)
        assert [each["offset"] for each in told["publications"]] == [3]
        assert (await inbox.view()).acked == 2
        assert [mark.detail for mark in await inbox.marks(2) if mark.event == "proven"] == ["cursor"]


async def test_a_cursor_of_another_epoch_proves_nothing(running: Running, inbox: Inbox) -> None:
    """Offsets of different streams cannot be compared."""
    await inbox.register()
    await inbox.notify(1)
    resume = {"inbox:#42": {"recover": True, "epoch": "another", "offset": 1}}
    async with wire_client(running) as client:
        told = (await client.connect(data=hub_data(), subs=resume))["subs"]["inbox:#42"]
    assert told["was_recovering"] is True and "recovered" not in told
    assert (await inbox.view()).acked == 0


async def test_too_many_entries_are_not_recovered(running: Running, inbox: Inbox) -> None:
    """The 501st is trimmed from the log: the client is told, and pages."""
    await inbox.register()
    for number in range(501):
        await inbox.notify(number)
    async with wire_client(running) as client:
        told = (await client.connect(data=hub_data()))["subs"]["inbox:#42"]
    assert told["was_recovering"] is True and "recovered" not in told and "publications" not in told
    assert told["offset"] == 501


async def test_five_hundred_entries_are_recovered(running: Running, inbox: Inbox) -> None:
    """More than other channels recover."""
    await inbox.register()
    for number in range(500):
        await inbox.notify(number)
    async with wire_client(running) as client:
        told = (await client.connect(data=hub_data()))["subs"]["inbox:#42"]
    assert told["recovered"] is True and len(told["publications"]) == 500


@pytest.mark.parametrize(("size", "recovered"), [(15_900, True), (16_300, None)])
async def test_too_many_bytes_are_not_recovered(
    running: Running, inbox: Inbox, size: int, recovered: bool | None
) -> None:
    """256 KiB: sixteen large entries, or all but sixteen."""
    await inbox.register()
    for number in range(16 if recovered else 17):
        await inbox.notify(number, size=size)
    async with wire_client(running) as client:
        told = (await client.connect(data=hub_data()))["subs"]["inbox:#42"]
    assert told.get("recovered") is recovered
    assert len(told.get("publications", [])) == (16 if recovered else 0)


async def test_a_large_reply_is_followed_by_the_inbox(running: Running, inbox: Inbox) -> None:
    """No frame over 512 KiB because of it: its publications come one by one behind the reply."""
    await inbox.register()
    for number in range(16):
        await inbox.notify(number, size=15_900)
    for _ in range(5):
        await inbox.hub.node.publish("news", b'"%s"' % (b"x" * 60_000))
    epoch = (await inbox.hub.node.history("news", HistoryFilter())).top.epoch
    subs = {"news": {"recover": True, "epoch": epoch, "offset": 0}}
    token = connection_token(channels=["news"])
    async with wire_client(running) as client:
        result = await client.connect(data=hub_data(), token=token, subs=subs)
        told = result["subs"]["inbox:#42"]
        assert len(result["subs"]["news"]["publications"]) == 5
        assert told["recovered"] is True and "publications" not in told
        pushes = [await client.push() for _ in range(16)]
    assert [push["pub"]["offset"] for push in pushes] == list(range(1, 17))
    assert {push["channel"] for push in pushes} == {"inbox:#42"}


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"publish": {"channel": "inbox:#42", "data": 1}}, 103),
        ({"presence": {"channel": "inbox:#42"}}, 103),
        ({"presence_stats": {"channel": "inbox:#42"}}, 103),
        ({"history": {"channel": "inbox:#43"}}, 103),
        ({"subscribe": {"channel": "inbox:#42"}}, 105),
        ({"subscribe": {"channel": "inbox:#43"}}, 103),
        # Named, since a token has its time in it, and names are to be the same in all test processes.
        pytest.param(
            {"subscribe": {"channel": "inbox:#43", "token": subscription_token("inbox:#43")}},
            103,
            id="subscribe with a token",
        ),
    ],
    ids=str,
)
async def test_clients_may_do_nothing_else_with_inboxes(running: Running, request_: Json, code: int) -> None:
    """Whatever they hold."""
    async with running_hub({**WITH_INBOX, "insecure.client": True}) as insecure:
        for hub in (running, insecure):
            async with connected(hub) as client:
                assert await client.error(**request_) == code


async def test_an_inbox_is_read_by_its_owner(running: Running, inbox: Inbox) -> None:
    """By the protocol's own history too."""
    await inbox.notify(1)
    async with connected(running) as client:
        found = (await client.ask(history={"channel": "inbox:#42", "limit": 10}))["history"]
    assert [each["data"]["id"] for each in found["publications"]] == ["n1"]


async def test_the_server_api_writes_to_no_inbox(running: Running) -> None:
    """1014, for its owner as for everybody."""
    assert running.hub is not None
    node = running.hub.node
    for call in (
        node.publish("inbox:#42", b"1"),
        node.remove_history("inbox:#42"),
        node.subscribe("42", "inbox:#42"),
        node.unsubscribe("42", "inbox:#42"),
    ):
        with pytest.raises(HubError) as refused:
            await call
        assert refused.value.error.code == 1014


async def test_the_inbox_takes_none_of_the_clients_channels() -> None:
    """The limit is for what apps ask for."""
    async with running_hub({**WITH_INBOX, "limits.max_channels": 2}) as hub, connected(hub) as client:
        for channel in "ab":
            await client.subscribe(channel)
            await client.push()
        assert await client.error(subscribe={"channel": "c"}) == 106


async def test_words_about_entries_pass(running: Running, inbox: Inbox) -> None:
    """A read and a withdrawal come without an offset and are in no history."""
    await inbox.notify(1)
    await inbox.notify(2)
    async with connected(running) as client:
        epoch = (await inbox.engine.ledger.summary("42")).top.epoch
        await inbox.engine.ledger.read("42", epoch, 1)
        told = (await client.push())["pub"]
        assert told["data"] == {"type": "read", "epoch": epoch, "offset": 1, "unread": 1}
        assert "offset" not in told
        assert await inbox.engine.ledger.withdraw("42", "n2")
        told = (await client.push())["pub"]
        assert told["data"] == {"type": "withdrawn", "id": "n2"} and "offset" not in told
        found = (await client.ask(history={"channel": "inbox:#42", "limit": 10}))["history"]
        assert len(found["publications"]) == 2


async def test_all_connections_of_a_user_hear_of_a_notification(running: Running, inbox: Inbox) -> None:
    """And nobody else's."""
    async with AsyncExitStack() as stack:
        mine = [await stack.enter_async_context(connected(running)) for _ in range(2)]
        other = await stack.enter_async_context(connected(running, "43"))
        await inbox.notify(1)
        for client in mine:
            push: dict[str, Any] = await client.push()
            assert (push["channel"], push["pub"]["offset"]) == ("inbox:#42", 1)
        assert (await other.ask(unsubscribe={"channel": "x"}))["unsubscribe"] == {}


async def test_a_user_with_an_unusual_name_has_an_inbox(running: Running) -> None:
    """Under a name that clients take from the reply."""
    inbox = Inbox(running.hub, "Zoë, née 'b'")
    await inbox.notify(1)
    async with wire_client(running) as client:
        result = await client.connect(inbox.user, data=hub_data())
        assert result["data"]["hub"]["inbox"]["channel"] == inbox.channel
        assert result["subs"][inbox.channel]["offset"] == 1


async def test_operators_see_inboxes_where_they_ask_for_them(running: Running, inbox: Inbox) -> None:
    """There is one for each user who is there: a list of channels would be a list of users."""
    async with connected(running) as client:
        await client.subscribe("news")
        await client.push()
        node = inbox.hub.node
        assert await node.channels() == await node.channels("*") == {"news": 1}
        assert await node.channels("inbox:#*") == {"inbox:#42": 1}
        (described,) = (await node.connections("42")).values()
        assert described["channels"] == ["news"]
