"""Kept out by the server side."""

from __future__ import annotations

import time

from tests.support.hub_process import Running
from tests.support.sdk_clients import Clients, connection_token
from tests.support.waiting import eventually


class RevokingScenarios:
    """What an app sees when its user is blocked, or its token revoked: no SDK comes back from it."""

    async def test_a_blocked_user_is_out_for_good(self, hub: Running, clients: Clients) -> None:
        """Connected or coming, with however many new tokens; unblocked, the app may connect again."""
        assert hub.hub is not None
        node = hub.hub.node
        fetched: list[str] = []

        def fetch() -> str:
            fetched.append(connection_token())
            return fetched[-1]

        client = await clients.connected(hub.ws_url, get_token=fetch)
        await node.revoking.block("ann", None)
        assert (await client.events.next("disconnected"))["code"] == 4501
        await eventually(lambda: len(node.registry) == 0)
        await client.connect()
        assert (await client.events.next("disconnected"))["code"] == 4501
        await node.revoking.unblock("ann")
        await client.connect()
        await client.events.next("connected")

    async def test_a_revoked_token_is_final(self, hub: Running, clients: Clients) -> None:
        """For the connection that was made with it and for the next one; a newer token is welcome."""
        assert hub.hub is not None
        node = hub.hub.node
        now_s = int(time.time())
        old = connection_token(extra_claims={"iat": now_s - 10, "jti": "old"})
        new = connection_token(extra_claims={"iat": now_s, "jti": "new"})
        until_ms = (now_s + 3600) * 1000
        one = await clients.connected(hub.ws_url, token=old)
        two = await clients.connected(hub.ws_url, token=new)
        await node.revoking.revoke_issued_before("ann", now_s * 1000, until_ms)
        assert (await one.events.next("disconnected"))["code"] == 3500
        await one.connect()
        assert (await one.events.next("disconnected"))["code"] == 3500
        assert two.events.all("disconnected") == []
        await node.revoking.revoke_token("new", until_ms)
        assert (await two.events.next("disconnected"))["code"] == 3500
