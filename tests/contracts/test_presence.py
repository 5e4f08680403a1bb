"""What every presence promises: who is in a channel, and how many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hub.engine import Presence
from hub.model import ClientInfo, PresenceStats
from tests.contracts.engines import World
from tests.contracts.recording import RecordingEvents

CHANNEL = "news"
ANN = ClientInfo(user="ann", client="c1", conn_info=b'{"a":  1}', chan_info=b'"\xc3\xa9"')
ANN_AGAIN = ClientInfo(user="ann", client="c2")
NOBODY = ClientInfo(user="", client="c3")
NOBODY_ELSE = ClientInfo(user="", client="c4")


@pytest.fixture
async def presence(world: World) -> AsyncIterator[Presence]:
    """The presence of a running engine."""
    await world.engine.broker.start(RecordingEvents())
    yield world.engine.presence
    await world.engine.broker.stop()


class TestPresence:
    """Membership by client id."""

    async def test_an_empty_channel(self, presence: Presence) -> None:
        """Nobody is there, which is no error."""
        assert dict(await presence.members(CHANNEL)) == {}
        assert await presence.stats(CHANNEL) == PresenceStats(0, 0)

    async def test_knows_who_is_there(self, presence: Presence) -> None:
        """With everything that was said of them, byte for byte."""
        await presence.add(CHANNEL, ANN)
        await presence.add(CHANNEL, NOBODY)
        assert dict(await presence.members(CHANNEL)) == {"c1": ANN, "c3": NOBODY}

    async def test_counts_clients_and_users(self, presence: Presence) -> None:
        """A user with two clients is one; all anonymous clients are one user (client protocol, P19)."""
        for info in (ANN, ANN_AGAIN, NOBODY, NOBODY_ELSE):
            await presence.add(CHANNEL, info)
        assert await presence.stats(CHANNEL) == PresenceStats(4, 2)

    async def test_counts_a_user_until_the_last_client_left(self, presence: Presence) -> None:
        """Not until the first."""
        for info in (ANN, ANN_AGAIN):
            await presence.add(CHANNEL, info)
        await presence.remove(CHANNEL, ANN.client)
        assert await presence.stats(CHANNEL) == PresenceStats(1, 1)
        await presence.remove(CHANNEL, ANN_AGAIN.client)
        assert await presence.stats(CHANNEL) == PresenceStats(0, 0)

    async def test_adding_again_replaces(self, presence: Presence) -> None:
        """One client is one entry, as it was said last."""
        renamed = ClientInfo(user="ann", client="c1", conn_info=b"2")
        await presence.add(CHANNEL, ANN)
        await presence.add(CHANNEL, renamed)
        assert dict(await presence.members(CHANNEL)) == {"c1": renamed}
        assert await presence.stats(CHANNEL) == PresenceStats(1, 1)

    async def test_a_removal_shows_at_once(self, presence: Presence) -> None:
        """The very next question is answered without them (client protocol, 13)."""
        for info in (ANN, NOBODY):
            await presence.add(CHANNEL, info)
        await presence.remove(CHANNEL, ANN.client)
        assert dict(await presence.members(CHANNEL)) == {"c3": NOBODY}

    async def test_removing_who_is_not_there_is_nothing(self, presence: Presence) -> None:
        """Neither in a channel with others nor in one without."""
        await presence.add(CHANNEL, ANN)
        await presence.remove(CHANNEL, "another")
        await presence.remove("other", ANN.client)
        assert await presence.stats(CHANNEL) == PresenceStats(1, 1)

    async def test_channels_are_apart(self, presence: Presence) -> None:
        """Leaving one is not leaving the other."""
        for channel in ("a", "b"):
            await presence.add(channel, ANN)
        await presence.remove("a", ANN.client)
        assert dict(await presence.members("a")) == {}
        assert dict(await presence.members("b")) == {"c1": ANN}

    async def test_an_answer_does_not_change(self, presence: Presence) -> None:
        """What was handed out shows the moment it was asked for."""
        await presence.add(CHANNEL, ANN)
        members = await presence.members(CHANNEL)
        await presence.remove(CHANNEL, ANN.client)
        assert dict(members) == {"c1": ANN}

    async def test_members_live_as_long_as_their_node(self, world: World, presence: Presence) -> None:
        """Nobody needs to renew anything while the node that added them runs."""
        await presence.add(CHANNEL, ANN)
        await world.advance(24 * 3600)
        assert dict(await presence.members(CHANNEL)) == {"c1": ANN}

    async def test_many_at_once(self, presence: Presence) -> None:
        """All of them count, and all of them can leave."""
        infos = [ClientInfo(user=f"u{number % 10}", client=f"c{number}") for number in range(100)]
        await asyncio.gather(*(presence.add(CHANNEL, info) for info in infos))
        assert await presence.stats(CHANNEL) == PresenceStats(100, 10)
        await asyncio.gather(*(presence.remove(CHANNEL, info.client) for info in infos))
        assert dict(await presence.members(CHANNEL)) == {}
