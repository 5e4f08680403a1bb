"""Two hubs are one: whoever is on the one is seen, reached and told everything from the other."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import cent
import pytest
import pytest_asyncio
from cent.dto import (
    ChannelsRequest,
    ConnectionsRequest,
    Disconnect,
    DisconnectRequest,
    InfoRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    RefreshRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)

from hub.errors import CONNECTION_EXPIRED, FORCE_DISCONNECT
from tests.support.hub_process import API_KEY, OPEN_CHANNEL
from tests.support.hubs import HubSlot, hubs
from tests.support.redis_server import redis_server
from tests.support.swarm import swarm_settings
from tests.support.waiting import eventually_true
from tests.support.wire_client import WireClient, connected
from tests.system.redis.world import FAST, LEASE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two hubs, and the API of the one; clients mostly connect to the other."""

    near: HubSlot
    far: HubSlot
    api: cent.AsyncClient


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """Two hubs on one Redis."""
    folder = tmp_path_factory.mktemp("pair")
    async with redis_server(folder / "redis") as redis:
        env = swarm_settings(redis__url=redis.url, channels__without_namespace=OPEN_CHANNEL, **FAST)
        async with (
            hubs(2, folder, env) as (near, far),
            cent.AsyncClient(near.running.api_url, API_KEY) as api,
        ):
            yield Pair(near, far, api)


@pytest.fixture
def name() -> str:
    """A name that no other test uses, for a user or a channel."""
    return uuid.uuid4().hex[:12]


async def push_of(client: WireClient, kind: str) -> dict[str, Any]:
    """The next push of this kind; what else comes is passed over."""
    while kind not in (push := await client.push()):
        pass
    return push


async def test_a_publication_reaches_both(pair: Pair, name: str) -> None:
    """At the same position of the same stream, however it was published."""
    async with connected(pair.near.running, "ann") as ann, connected(pair.far.running, "bob") as bob:
        places = [await ann.subscribe(name), await bob.subscribe(name)]
        published = await pair.api.publish(PublishRequest(channel=name, data=1))
        bob.send(bob.command(publish={"channel": name, "data": 2}))
        for client in (ann, bob):
            pushes = [(await push_of(client, "pub"))["pub"] for _ in range(2)]
            assert [(push["data"], push["offset"]) for push in pushes] == [(1, 1), (2, 2)]
    assert {place["epoch"] for place in places} == {published.epoch}


async def test_an_idempotency_key_holds_at_every_hub(pair: Pair, name: str) -> None:
    """The repeat at the other hub gets the first answer."""
    request = PublishRequest(channel=name, data=1, idempotency_key=name)
    async with cent.AsyncClient(pair.far.running.api_url, API_KEY) as far_api:
        first, repeat = await pair.api.publish(request), await far_api.publish(request)
    assert (first.offset, first.epoch) == (repeat.offset, repeat.epoch)


async def test_joins_and_leaves_are_seen(pair: Pair, name: str) -> None:
    """By those who are on the other hub, with who it was."""
    async with connected(pair.near.running, "ann") as ann:
        await ann.subscribe(name)
        assert (await push_of(ann, "join"))["join"]["info"]["user"] == "ann"
        async with connected(pair.far.running, "bob") as bob:
            await bob.subscribe(name)
            joined = (await push_of(ann, "join"))["join"]["info"]
        left = (await push_of(ann, "leave"))["leave"]["info"]
    assert joined["user"] == "bob"
    assert left == joined


async def test_presence_counts_everybody(pair: Pair, name: str) -> None:
    """One user twice is one user with two clients, wherever they are."""
    async with (
        connected(pair.near.running, "ann") as ann,
        connected(pair.far.running, "ann") as also_ann,
        connected(pair.far.running, "bob") as bob,
    ):
        for client in (ann, also_ann, bob):
            await client.subscribe(name)
        members = (await pair.api.presence(PresenceRequest(channel=name))).presence
        stats = await pair.api.presence_stats(PresenceStatsRequest(channel=name))
        channels = (await pair.api.channels(ChannelsRequest(pattern=f"{name}*"))).channels
    assert sorted(member.user for member in members.values()) == ["ann", "ann", "bob"]
    assert (stats.num_clients, stats.num_users) == (3, 2)
    assert channels[name].num_clients == 3


async def test_connections_and_nodes_are_listed(pair: Pair, name: str) -> None:
    """All of them, whichever hub is asked."""
    async with connected(pair.near.running, name) as ann, connected(pair.far.running, name):
        await ann.subscribe(name)
        found = (await pair.api.connections(ConnectionsRequest(user=name, expression=""))).connections
        nodes = (await pair.api.info(InfoRequest())).nodes
    assert len(found) == 2
    assert [name] in [list((each.state.channels if each.state else None) or {}) for each in found.values()]
    assert sorted(node.name for node in nodes) == ["hub0-1", "hub1-1"]
    assert sum(node.num_clients for node in nodes) == 2


async def test_a_user_is_attached_and_detached_anywhere(pair: Pair, name: str) -> None:
    """Also one client of theirs alone."""
    async with connected(pair.far.running, name) as client:
        await pair.api.subscribe(SubscribeRequest(user=name, channel=name, data={"hi": 1}))
        begun = await push_of(client, "subscribe")
        await pair.api.publish(PublishRequest(channel=name, data="x"))
        published = await push_of(client, "pub")
        await pair.api.unsubscribe(UnsubscribeRequest(user=name, channel=name))
        ended = await push_of(client, "unsubscribe")
    assert (begun["channel"], begun["subscribe"]["data"]) == (name, {"hi": 1})
    assert published["pub"]["data"] == "x"
    assert ended["unsubscribe"]["code"] == 2000


async def test_a_refusal_on_the_other_hub_comes_back(pair: Pair, name: str) -> None:
    """A channel that cannot be had is an error for the caller, whichever hub refused."""
    async with connected(pair.far.running, name):
        with pytest.raises(cent.CentApiResponseError) as refusal:
            await pair.api.subscribe(SubscribeRequest(user=name, channel="unknown:x"))
    assert refusal.value.code == 102


async def test_a_user_is_disconnected_anywhere(pair: Pair, name: str) -> None:
    """On both hubs, but for the one that is spared."""
    async with (
        connected(pair.near.running, name) as here,
        connected(pair.far.running, name) as there,
        connected(pair.far.running, name) as spared,
    ):
        await spared.subscribe(name)
        whitelist = list((await pair.api.presence(PresenceRequest(channel=name))).presence)
        why = Disconnect(code=4001, reason="bye")
        await pair.api.disconnect(DisconnectRequest(user=name, whitelist=whitelist, disconnect=why))
        for client in (here, there):
            assert await client.closed() == (4001, "bye")
        assert (await push_of(spared, "join"))["channel"] == name
        assert "presence_stats" in await spared.ask(presence_stats={"channel": name})


async def test_a_connection_is_refreshed_anywhere(pair: Pair, name: str) -> None:
    """Ended with the code that makes its SDK come back with a new token."""
    async with connected(pair.far.running, name) as client:
        await pair.api.refresh(RefreshRequest(user=name, expired=True))
        assert await client.closed() == (CONNECTION_EXPIRED.code, CONNECTION_EXPIRED.reason)


async def test_one_client_is_reached_by_its_id(pair: Pair, name: str) -> None:
    """And the other connection of the same user is left alone."""
    async with connected(pair.far.running, name) as meant, connected(pair.near.running, name) as other:
        await meant.subscribe(name)
        assert (await push_of(meant, "join"))["channel"] == name
        [client_id] = (await pair.api.presence(PresenceRequest(channel=name))).presence
        await pair.api.disconnect(DisconnectRequest(user=name, client=client_id))
        assert await meant.closed() == (FORCE_DISCONNECT.code, FORCE_DISCONNECT.reason)
        assert "presence_stats" in await other.ask(presence_stats={"channel": name})


async def test_presence_of_a_frozen_hub_comes_back_with_it(pair: Pair, name: str) -> None:
    """Nobody knows that it will wake; when it does, who is still connected counts again."""

    async def count_is(wanted: int) -> bool:
        return (await pair.api.presence_stats(PresenceStatsRequest(channel=name))).num_users == wanted

    async with connected(pair.near.running, "ann") as ann, connected(pair.far.running, "bob") as bob:
        await ann.subscribe(name)
        await bob.subscribe(name)
        pair.far.freeze()
        try:
            await eventually_true(partial(count_is, 1), LEASE_S + 4)
        finally:
            pair.far.thaw()
        await eventually_true(partial(count_is, 2))


async def test_presence_of_a_killed_hub_vanishes_with_its_lease(pair: Pair, name: str) -> None:
    """Not before, and not much later; a hub that comes after it counts anew. Runs last here."""

    async def user_count() -> int:
        return (await pair.api.presence_stats(PresenceStatsRequest(channel=name))).num_users

    async def only_ann() -> bool:
        return await user_count() == 1

    async with connected(pair.near.running, "ann") as ann, connected(pair.far.running, "bob") as bob:
        await ann.subscribe(name)
        await bob.subscribe(name)
        assert await user_count() == 2
        await pair.far.kill()
        killed_at_s = time.monotonic()
        assert await user_count() == 2
        await eventually_true(only_ann, LEASE_S + 4)
        took_s = time.monotonic() - killed_at_s
        nodes = (await pair.api.info(InfoRequest())).nodes
    assert took_s > LEASE_S / 2
    assert [node.name for node in nodes] == ["hub0-1"]
    await pair.far.start()
    async with connected(pair.near.running, "ann") as ann, connected(pair.far.running, "bob") as bob:
        await asyncio.gather(ann.subscribe(name), bob.subscribe(name))
        assert await user_count() == 2
