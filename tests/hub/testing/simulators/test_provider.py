"""What all simulators share, on whatever loop they run."""

from __future__ import annotations

import asyncio
import sys

import pytest

from hub.testing.simulators import ApnsSimulator, Door, Fault, FcmSimulator
from tests.hub.testing.simulators.apns.asking import BODY, TOKEN, headers
from tests.support.http2_client import http2_client


async def served_in_all_ways() -> None:
    """A push, a refused connection, a cut one, a frozen one, and an end."""
    async with ApnsSimulator() as apns:
        async with http2_client(apns.port, apns.client_context()) as client:
            assert (await client.ask(headers(apns), BODY)).status == 200
            apns.freeze()
            stream = client.begin(headers(apns), BODY)
            apns.freeze(frozen=False)
            assert (await client.finished(stream)).status == 200
            apns.script(TOKEN, [Fault.slow(0.01), Fault.close()])
            assert (await client.ask(headers(apns), BODY)).status == 200
            client.begin(headers(apns), BODY)
            await client.until(lambda: client.closed)
        await apns.set_door(Door.HANGING_UP)
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", apns.port, ssl=apns.client_context())
        assert (len(apns.ledger), apns.violations) == (3, [])


@pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop")
def test_it_runs_on_uvloop_too() -> None:
    """Whose transports are of other classes."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(served_in_all_ways())


async def test_it_runs_on_the_loop_of_asyncio() -> None:
    """The same."""
    await served_in_all_ways()


async def test_a_late_answer_is_not_given_after_the_end() -> None:
    """Stopping forgets what was to come."""
    async with ApnsSimulator() as apns, http2_client(apns.port, apns.client_context()) as client:
        apns.latency(30)
        client.begin(headers(apns), BODY)
        await apns.ledger.wait_for(1)
        await apns.stop()
        await client.until(lambda: client.closed)
        assert apns.ledger.answers == {}


async def test_addresses_name_the_scheme_and_the_port() -> None:
    """Also of IPv6."""
    async with FcmSimulator(tls=False) as plain:
        assert plain.url == f"http://127.0.0.1:{plain.port}"
        assert plain.send_url == f"{plain.url}/v1/projects/simulated-project/messages:send"
    apns = ApnsSimulator()
    apns._listener.host, apns._listener.port = "::1", 2197
    assert apns.url == "https://[::1]:2197"
