"""A hub on the embedded engine pushes by itself what its sockets could not prove."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx

from hub.delivery.model import DeviceRecord
from tests.support.hub_process import API_KEY, Running, running_hub
from tests.support.waiting import eventually

DEVICE = "a-device-of-alice-1"


def app(path: Path, **fields: Any) -> dict[str, Any]:
    """An app whose pushes are written down."""
    return {"name": "demo", "provider": "recording", "credentials": str(path), **fields}


async def register(hub: Running) -> None:
    """Alice's phone, which is away."""
    assert hub.hub is not None
    record = DeviceRecord("android", "recording", "demo", "production", "a-token-of-alice")
    await hub.hub.node.engine.devices.register("alice", DEVICE, record)


async def notify(hub: Running, notification: str, users: list[str] | None = None) -> None:
    """As a backend does it."""
    async with httpx.AsyncClient(headers={"X-API-Key": API_KEY}) as client:
        body = {"users": users or ["alice"], "id": notification, "notification": {"title": "Hello"}}
        answer = await client.post(f"{hub.api_url}/notify", json=body)
        assert "error" not in answer.json(), answer.text


def lines(path: Path) -> list[dict[str, Any]]:
    """What was pushed."""
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_phone_that_is_away_is_pushed_to(tmp_path: Path) -> None:
    """Said once over the API, without another process."""
    pushes = tmp_path / "pushes"
    async with running_hub({"inbox.enabled": True, "push.apps": [app(pushes)]}) as hub:
        await register(hub)
        await notify(hub, "n-1")
        await eventually(lambda: len(lines(pushes)) == 1)
    [push] = lines(pushes)
    assert (push["hub"]["id"], push["device"]) == ("n-1", DEVICE)


async def test_a_large_call_is_expanded_by_the_hub_itself(tmp_path: Path) -> None:
    """There is nobody else who could."""
    pushes = tmp_path / "pushes"
    async with running_hub({"inbox.enabled": True, "push.apps": [app(pushes)]}) as hub:
        await register(hub)
        await notify(hub, "n-1", ["alice", *(f"user{n}" for n in range(150))])
        await eventually(lambda: len(lines(pushes)) == 1)


async def test_a_hub_whose_lanes_are_all_broken_serves_all_the_same(tmp_path: Path) -> None:
    """Sockets need no credentials."""
    overrides = {"inbox.enabled": True, "push.apps": [app(tmp_path / "no" / "such" / "place")]}
    async with running_hub(overrides) as hub, httpx.AsyncClient() as client:
        assert (await client.get(f"{hub.url}/health/ready")).status_code == 200


async def test_a_hub_that_stops_finishes_what_it_holds(tmp_path: Path) -> None:
    """And leaves no task behind."""
    pushes = tmp_path / "pushes"
    async with running_hub({"inbox.enabled": True, "push.apps": [app(pushes)]}) as hub:
        await register(hub)
        await notify(hub, "n-1")
    assert len(asyncio.all_tasks()) == 1
