"""Blocked users and revoked tokens, seen on the wire: who comes, who is there, who is in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub.errors import EngineUnavailable
from hub.model import ClientInfo
from hub.node import Node
from hub.node.revoking import Revoking
from tests.support.hub_process import OPEN_CHANNEL, Running, running_hub
from tests.support.raw_client import TEXT
from tests.support.waiting import eventually_true
from tests.support.wire_client import (
    WireClient,
    connected,
    connection_token,
    subscription_token,
    wire_client,
)

FOR_AN_HOUR = 3_600_000
BLOCKED = (4501, "user blocked")
REVOKED = (3500, "invalid token")
QUIET = {**OPEN_CHANNEL, "join_leave": False, "force_push_join_leave": False}


def now_ms() -> int:
    """Unix milliseconds."""
    return int(time.time() * 1000)


def claims(**more: Any) -> dict[str, Any]:
    """Options of a token with further claims; an ``iat`` of now unless they say otherwise."""
    return {"extra_claims": {"iat": int(time.time()), **more}}


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """A hub with quiet channels, and a namespace that needs a token."""
    overrides = {
        "channels.without_namespace": QUIET,
        "channels.namespaces": [{**QUIET, "name": "closed", "allow_subscribe_for_client": False}],
    }
    async with running_hub(overrides) as hub:
        yield hub


@pytest.fixture
def node(running: Running) -> Node:
    """Its node."""
    assert running.hub is not None
    return running.hub.node


@pytest.fixture
def revoking(node: Node) -> Revoking:
    """What the server API calls."""
    return node.revoking


async def refused(running: Running, token: str) -> tuple[int, str]:
    """How a connect with ``token`` is closed."""
    async with wire_client(running) as client:
        client.send(client.command(connect={"token": token}))
        return await client.closed()


async def is_let_in(running: Running, token: str) -> bool:
    """Whether a connect with ``token`` succeeds."""
    async with wire_client(running) as client:
        return "connect" in await client.ask(connect={"token": token})


class TestBlock:
    """A user who is kept out."""

    async def test_every_connection_of_the_user_ends_for_good(
        self, running: Running, revoking: Revoking
    ) -> None:
        """And nobody else's."""
        async with (
            connected(running, "7") as one,
            connected(running, "7") as two,
            connected(running, "8") as other,
        ):
            await revoking.block("7", None)
            assert await one.closed() == BLOCKED
            assert await two.closed() == BLOCKED
            assert (await other.ask(unsubscribe={"channel": "a"}))["unsubscribe"] == {}

    async def test_no_token_lets_them_in_until_they_are_unblocked(
        self, running: Running, revoking: Revoking
    ) -> None:
        """Neither one that is remembered nor a new one."""
        token = connection_token("7")
        assert await is_let_in(running, token)
        await revoking.block("7", None)
        assert await refused(running, token) == BLOCKED
        assert await refused(running, connection_token("7", **claims(jti="new"))) == BLOCKED
        await revoking.unblock("7")
        assert await is_let_in(running, token)

    async def test_a_block_ends_by_itself(self, running: Running, revoking: Revoking) -> None:
        """At its time and not before, without anybody being told."""
        until_ms = now_ms() + 1_500
        await revoking.block("7", until_ms)
        assert await refused(running, connection_token("7")) == BLOCKED
        let_in_ms: list[int] = []

        async def comes_in() -> bool:
            async with wire_client(running) as client:
                client.send(client.command(connect={"token": connection_token("7")}))
                opcode, _ = await client.raw.read_frame()
                let_in_ms.append(now_ms())
                return opcode == TEXT

        await eventually_true(comes_in)
        assert let_in_ms[-1] >= until_ms
        assert len(let_in_ms) > 1

    async def test_whoever_is_just_coming_in_is_found_too(
        self, running: Running, node: Node, revoking: Revoking, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The connect passed its first check and waits for the engine while the user is blocked."""
        waits, go_on = asyncio.Event(), asyncio.Event()
        add = node.engine.presence.add

        async def slow_add(channel: str, info: ClientInfo) -> None:
            waits.set()
            await go_on.wait()
            await add(channel, info)

        monkeypatch.setattr(node.engine.presence, "add", slow_add)
        token = connection_token("7", extra_claims={"channels": ["a"]})
        async with wire_client(running) as client:
            client.send(client.command(connect={"token": token}))
            await waits.wait()
            await revoking.block("7", None)
            go_on.set()
            assert await client.closed() == BLOCKED

        async def nobody_is_left() -> bool:
            return not await node.presence("a")

        await eventually_true(nobody_is_left)
        assert len(node.registry) == 0
        assert node.listening.counts() == {}

    async def test_commands_that_wait_are_not_served(self, running: Running, revoking: Revoking) -> None:
        """What comes behind the block meets a closed connection."""
        async with connected(running, "7") as client:
            await revoking.block("7", None)
            client.send(client.command(publish={"channel": "a", "data": 1}))
            assert await client.closed() == BLOCKED


class TestToken:
    """A token that counts no more, by its ``jti``."""

    async def test_its_connections_end(self, running: Running, revoking: Revoking) -> None:
        """The user's others go on."""
        token = connection_token("7", **claims(jti="stolen"))
        async with (
            connected(running, "7", token=token) as thief,
            connected(running, "7", token=connection_token("7", **claims(jti="own"))) as owner,
        ):
            await revoking.revoke_token("stolen", now_ms() + FOR_AN_HOUR)
            assert await thief.closed() == REVOKED
            assert (await owner.ask(unsubscribe={"channel": "a"}))["unsubscribe"] == {}
        assert await refused(running, token) == REVOKED
        assert await is_let_in(running, connection_token("7"))

    async def test_a_refresh_replaces_the_token_that_counts(
        self, running: Running, revoking: Revoking
    ) -> None:
        """Revoking the first one ends nothing then; refreshing with a revoked one ends the connection."""
        first, second = (connection_token("7", **claims(jti=jti)) for jti in ("first", "second"))
        async with connected(running, "7", token=first) as client:
            assert "refresh" in await client.ask(refresh={"token": second})
            await revoking.revoke_token("first", now_ms() + FOR_AN_HOUR)
            client.send(client.command(refresh={"token": first}))
            assert await client.closed() == REVOKED
        async with connected(running, "7", token=second) as client:
            await revoking.revoke_token("second", now_ms() + FOR_AN_HOUR)
            assert await client.closed() == REVOKED


class TestIssuedBefore:
    """All tokens of a user that were issued before a time."""

    async def test_older_ones_end_and_newer_ones_go_on(self, running: Running, revoking: Revoking) -> None:
        """One that does not say when it was issued counts as older; other users' are left alone."""
        now_s = int(time.time())
        old = connection_token("7", **claims(iat=now_s - 10))
        new = connection_token("7", **claims(iat=now_s))
        undated = connection_token("7", extra_claims={"iat": None})
        async with (
            connected(running, "7", token=old) as older,
            connected(running, "7", token=undated) as another,
            connected(running, "7", token=new) as newer,
            connected(running, "8", token=connection_token("8", **claims(iat=1))) as other,
        ):
            await revoking.revoke_issued_before("7", now_s * 1000, now_ms() + FOR_AN_HOUR)
            assert await older.closed() == REVOKED
            assert await another.closed() == REVOKED
            for client in (newer, other):
                assert (await client.ask(unsubscribe={"channel": "a"}))["unsubscribe"] == {}
        assert await refused(running, old) == REVOKED
        assert await is_let_in(running, new)


class TestSubscriptions:
    """Subscription tokens are revoked by the same names; the connection goes on."""

    async def _subscribed(self, client: WireClient, channel: str, **more: Any) -> None:
        token = subscription_token(channel, "7", **claims(**more))
        assert "subscribe" in await client.ask(subscribe={"channel": channel, "token": token})

    async def test_a_revoked_one_ends_its_subscription_alone(
        self, running: Running, revoking: Revoking
    ) -> None:
        """For good: it would be refused again."""
        async with connected(running, "7") as client:
            await self._subscribed(client, "closed:a", jti="a")
            await self._subscribed(client, "closed:b", jti="b")
            await revoking.revoke_token("a", now_ms() + FOR_AN_HOUR)
            push = await client.push()
            assert (push["channel"], push["unsubscribe"]["code"]) == ("closed:a", 2000)
            token = subscription_token("closed:a", "7", **claims(jti="a"))
            assert await client.error(subscribe={"channel": "closed:a", "token": token}) == 103
            token = subscription_token("closed:b", "7", **claims(jti="a"))
            assert await client.error(sub_refresh={"channel": "closed:b", "token": token}) == 103
            token = subscription_token("closed:b", "7", **claims(jti="c"))
            assert "sub_refresh" in await client.ask(sub_refresh={"channel": "closed:b", "token": token})
            await revoking.revoke_token("c", now_ms() + FOR_AN_HOUR)
            assert (await client.push())["channel"] == "closed:b"

    async def test_older_ones_of_the_user_end(self, running: Running, revoking: Revoking) -> None:
        """With the older connection tokens; subscriptions without a token rest on none."""
        now_s = int(time.time())
        async with connected(running, "7", token=connection_token("7", **claims(iat=now_s + 5))) as client:
            await self._subscribed(client, "closed:a", iat=now_s - 10)
            await self._subscribed(client, "closed:b", iat=now_s + 5)
            await client.subscribe("open")
            await revoking.revoke_issued_before("7", now_s * 1000, now_ms() + FOR_AN_HOUR)
            assert (await client.push())["channel"] == "closed:a"
            assert (await client.ask(unsubscribe={"channel": "x"}))["unsubscribe"] == {}


async def test_nobody_comes_in_who_may_be_blocked(
    running: Running, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where revocations could not be read for long, newcomers come again later; whoever is in stays."""
    async with connected(running, "7") as client:
        monkeypatch.setattr("hub.engine.revoked.STALE_AFTER_S", -1.0)
        async with wire_client(running) as newcomer:
            reply = await newcomer.ask(connect={"token": connection_token("8")})
            assert reply["error"] == {"code": 100, "message": "internal server error", "temporary": True}
        assert "refresh" in await client.ask(refresh={"token": connection_token("7")})


async def test_an_engine_that_is_away_says_so(
    node: Node, revoking: Revoking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever blocks learns that it may not have been done."""

    async def away(*_: object, **__: object) -> None:
        raise EngineUnavailable

    monkeypatch.setattr(node.engine.revocations, "put", away)
    with pytest.raises(EngineUnavailable):
        await revoking.block("7", None)
