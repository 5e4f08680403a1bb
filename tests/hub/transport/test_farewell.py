"""The end of a connection that was answered: the answer arrives, and nobody stays."""

from __future__ import annotations

from tests.support.hub_server import serving
from tests.support.raw_client import RawClient, upgrade_request
from tests.support.waiting import eventually


async def test_the_answer_arrives_though_the_client_is_still_sending() -> None:
    """Closing with unread bytes would reset the connection and might take the answer with it."""
    async with serving() as served, await RawClient.connect(served.address) as client:
        client.send(b"GET /" + b"x" * 2_000_000)
        assert (await client.read_response()).status == 431
        client.half_close()
        await eventually(served.is_empty)


async def test_the_server_does_not_wait_for_it_when_it_stops() -> None:
    """Nothing is owed any more."""
    async with serving(close_timeout_s=60) as served, await RawClient.connect(served.address) as client:
        client.send(upgrade_request("/other"))
        assert (await client.read_response()).status == 404
        await eventually(lambda: served.server.pending == 1)
        await served.server.stop(5)
        assert served.is_empty()
