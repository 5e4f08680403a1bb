"""The wire alone: what it sends, what it raises, and that it tries once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import orjson
import pytest

from hub.testing.simulators.faults import Fault
from hub.testing.simulators.fcm import FcmSimulator
from hub.testing.simulators.listening import Door
from workers.senders.fcm.wires import FastWire, LibraryWire, Wire

BODY = orjson.dumps({"message": {"token": "a-phone", "data": {"text": "é"}}})


@pytest.fixture
async def fcm() -> AsyncIterator[FcmSimulator]:
    """FCM with TLS."""
    async with FcmSimulator() as simulator:
        yield simulator


@pytest.fixture(params=["fast", "sdk"])
async def wire(request: pytest.FixtureRequest, fcm: FcmSimulator) -> AsyncIterator[Wire]:
    """Either transport, trusting the simulator."""
    made: Wire
    made = (
        FastWire(fcm.send_url, 10, fcm.authority.client_context())
        if request.param == "fast"
        else LibraryWire(fcm.send_url, 5.0, fcm.authority.client_context())
    )
    yield made
    await made.close()


def authorized(fcm: FcmSimulator) -> dict[str, str]:
    """Headers that the simulator accepts."""
    return {"authorization": f"Bearer {fcm.access_token()}"}


async def test_a_success_is_the_parsed_answer(fcm: FcmSimulator, wire: Wire) -> None:
    """The body goes byte for byte, as JSON."""
    answer = await wire.post(BODY, authorized(fcm))
    assert answer.json() == {"name": fcm.ledger.last.message_id}
    assert fcm.ledger.last.body == BODY


@pytest.mark.parametrize("status", [302, 400, 401, 404, 429, 500, 502, 503])
async def test_anything_else_is_an_exception_that_holds_the_answer(
    fcm: FcmSimulator, wire: Wire, status: int
) -> None:
    """As the library's own client raises it, so its error mapping reads it; asked once."""
    said = b'{"error": {"status": "X"}}'
    headers = {"location": fcm.url + "/elsewhere"}
    fcm.script("*", [Fault.answer(status, body=said, retry_after_s=3, headers=headers)], forever=True)
    with pytest.raises(httpx.HTTPStatusError) as raised:
        await wire.post(BODY, authorized(fcm))
    assert raised.value.response.status_code == status
    assert raised.value.response.json() == {"error": {"status": "X"}}
    assert raised.value.response.headers["retry-after"] == "3"
    assert fcm.ledger.answers.total() == 1


async def test_a_connection_that_never_stood_is_told_from_one_that_ended(
    fcm: FcmSimulator, wire: Wire
) -> None:
    """The first carried nothing, of the second nobody knows."""
    fcm.script("a-phone", [Fault.close()])
    with pytest.raises(httpx.HTTPError) as ended:
        await wire.post(BODY, authorized(fcm))
    assert not isinstance(ended.value, httpx.ConnectError)
    await fcm.set_door(Door.REFUSING)
    with pytest.raises(httpx.ConnectError):
        await wire.post(BODY, authorized(fcm))


async def test_a_certificate_of_a_stranger_is_no_connection(fcm: FcmSimulator) -> None:
    """Nothing is sent to who cannot prove a name."""
    wire = FastWire(fcm.send_url, 1, None)
    with pytest.raises(httpx.ConnectError):
        await wire.post(BODY, authorized(fcm))
    await wire.close()
