"""The control panel: looking, scripting, and who may do neither."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from hub.testing.simulators import FcmSimulator, WebPushSimulator
from hub.testing.simulators.control import ControlPanel
from tests.support.waiting import eventually


@pytest.fixture
async def fcm() -> AsyncIterator[FcmSimulator]:
    """A provider to look at."""
    async with FcmSimulator() as simulator:
        yield simulator


@pytest.fixture
async def panel(fcm: FcmSimulator) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the panel beside it."""
    async with WebPushSimulator() as webpush:
        control = ControlPanel({"fcm": fcm, "webpush": webpush})
        await control.start()
        async with httpx.AsyncClient(base_url=control.url) as client:
            yield client
        await control.stop()


async def send(fcm: FcmSimulator, token: str = "a-secret-token") -> int:
    """One message; its status."""
    async with httpx.AsyncClient(verify=fcm.authority.client_context()) as client:
        headers = {"authorization": f"Bearer {fcm.access_token()}"}
        response = await client.post(fcm.send_url, headers=headers, json={"message": {"token": token}})
        return response.status_code


async def test_pushes_are_listed_without_their_tokens(fcm: FcmSimulator, panel: httpx.AsyncClient) -> None:
    """Oldest first, from where one left off."""
    for _ in range(3):
        await send(fcm)
    listed = await panel.get("/pushes?provider=fcm&after=1&limit=1")
    (push,) = listed.json()["pushes"]
    assert (push["number"], push["token_hash"]) == (2, fcm.ledger.last.token_hash)
    everything = await panel.get("/pushes")
    assert len(everything.json()["pushes"]) == 3


async def test_the_state_counts_answers_and_connections(fcm: FcmSimulator, panel: httpx.AsyncClient) -> None:
    """By provider."""
    await send(fcm)
    state = (await panel.get("/")).json()
    assert state["fcm"]["accepted"] == 1
    assert state["fcm"]["answers"] == [{"status": 200, "reason": "", "count": 1}]
    assert state["fcm"]["connections"]["opened"] == 1
    assert state["webpush"]["accepted"] == 0


async def test_scripts_are_set_and_healed(fcm: FcmSimulator, panel: httpx.AsyncClient) -> None:
    """With the fields of a fault."""
    steps = [{"status": 503, "reason": "UNAVAILABLE", "retry_after_s": 3}, {"status": 500, "body": "x"}]
    script = {"provider": "fcm", "token": "a-secret-token", "steps": steps, "forever": True}
    assert (await panel.post("/script", json=script)).status_code == 200
    assert [await send(fcm) for _ in range(3)] == [503, 500, 500]
    await panel.post("/heal", json={"provider": "fcm"})
    assert await send(fcm) == 200


async def test_the_token_endpoint_has_scripts_too(fcm: FcmSimulator, panel: httpx.AsyncClient) -> None:
    """Under a name of its own."""
    await panel.post("/script", json={"provider": "oauth", "steps": [{"status": 500}]})
    async with httpx.AsyncClient(verify=fcm.authority.client_context()) as client:
        assert (await client.post(fcm.token_uri)).status_code == 500


async def test_doors_are_shut_and_opened(fcm: FcmSimulator, panel: httpx.AsyncClient) -> None:
    """New connections find nobody, then somebody."""
    await panel.post("/door", json={"provider": "fcm", "door": "refusing"})
    await eventually(lambda: fcm._listener.door.name == "REFUSING")
    with pytest.raises(httpx.ConnectError):
        await send(fcm)
    await panel.post("/door", json={"provider": "fcm", "door": "open"})
    await eventually(lambda: fcm._listener.door.name == "OPEN")
    assert await send(fcm) == 200


async def test_a_subscription_is_made(panel: httpx.AsyncClient) -> None:
    """As a browser would hand it out."""
    made = (await panel.post("/subscriptions", json={})).json()
    assert made["endpoint"].startswith("https://127.0.0.1:")
    assert set(made["keys"]) == {"p256dh", "auth"}


MISTAKES: list[tuple[str, Any]] = [
    ("/script", {"provider": "nobody", "steps": []}),
    ("/script", {"provider": "fcm", "steps": [{"stauts": 1}]}),
    ("/script", {"provider": "fcm", "steps": [{"status": "500"}]}),
    ("/script", {"provider": "fcm", "steps": [{"ending": "explode"}]}),
    ("/script", {"provider": "fcm", "steps": [5]}),
    ("/script", {"provider": "fcm"}),
    ("/door", {"provider": "fcm", "door": "ajar"}),
    ("/cut", {}),
    ("/subscriptions", {"application_key": 1}),
    ("/heal", []),
]


@pytest.mark.parametrize(("path", "body"), MISTAKES)
async def test_mistakes_are_named(panel: httpx.AsyncClient, path: str, body: Any) -> None:
    """400 with a sentence."""
    response = await panel.post(path, json=body)
    assert response.status_code == 400
    assert response.json()["error"]


async def test_numbers_that_are_none_and_pages_that_are_none(panel: httpx.AsyncClient) -> None:
    """400 and 404."""
    assert (await panel.get("/pushes?after=x")).status_code == 400
    assert (await panel.get("/nothing")).status_code == 404
    assert (await panel.post("/nothing", json={})).status_code == 404
    assert (await panel.post("/script", content=b"{")).status_code == 400


@pytest.mark.parametrize("header", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
async def test_web_pages_get_nothing(panel: httpx.AsyncClient, header: dict[str, str]) -> None:
    """Neither by a name that points here nor from a page elsewhere."""
    assert (await panel.get("/pushes", headers=header)).status_code == 403
