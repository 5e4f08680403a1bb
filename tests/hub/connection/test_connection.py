"""The end of a connection: nothing of it stays, whenever it comes."""

from __future__ import annotations

import gc
import time

import pytest

from hub.auth import issue_connection_token
from hub.connection import Connection
from tests.support.hub_process import running_hub
from tests.support.jwks_server import JWKSServer
from tests.support.signing import ec_pair, jwk_set
from tests.support.waiting import eventually
from tests.support.wire_client import connected, wire_client


def connections_in_memory() -> int:
    """Connection objects that exist, used or not."""
    return sum(isinstance(each, Connection) for each in gc.get_objects())


@pytest.mark.parametrize("farewell", ["by the client", "by the server"])
async def test_a_connection_that_is_gone_is_freed_without_the_collector(farewell: str) -> None:
    """The collector looks at old objects hardly ever, and would keep every phone of the day until then."""
    async with running_hub() as running:
        gc.collect()
        gc.disable()
        try:
            before = connections_in_memory()
            async with connected(running) as client:
                await client.subscribe("news", recoverable=True)
                assert connections_in_memory() == before + 1
                if farewell == "by the server":
                    assert running.hub is not None
                    await running.hub.node.disconnect("42")
            await eventually(lambda: connections_in_memory() == before)
        finally:
            gc.enable()


async def test_a_client_that_leaves_while_its_token_is_verified_is_not_counted_in() -> None:
    """Its connect goes on waiting for the keys, and must find that it is over."""
    pair = ec_pair()
    exp_s = int(time.time()) + 600
    token = issue_connection_token(pair.signer(kid="new"), "42", exp_s=exp_s)
    async with JWKSServer(jwk_set(pair.jwk("new"))) as issuer:
        issuer.hang()
        async with running_hub({"auth.jwks_url": issuer.url, "auth.jwks_allow_http": True}) as running:
            hub = running.hub
            assert hub is not None
            async with wire_client(running) as client:
                client.send(client.command(connect={"token": token}))
                await issuer.wait_for_requests(1)
            await eventually(lambda: hub._public.links == 0)
            issuer.answer_again()
            async with wire_client(running) as late:
                assert (await late.connect(token=token))["client"]
                assert len(hub.node.registry) == 1
