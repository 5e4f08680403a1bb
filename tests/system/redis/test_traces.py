"""One trace over three processes: a hub, a worker, and whoever asked."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.support.hub_process import API_KEY
from tests.support.push_world import TENTH, push_world
from tests.support.spans import span_collector

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"


async def test_a_trace_crosses_processes_with_the_notification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's attempt and Apple's answer are below the request that a hub got."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    async with span_collector() as collector:
        async with push_world(tmp_path, settings={**TENTH, "tracing__endpoint": collector.url}) as world:
            phone = await world.install()
            headers = {"X-API-Key": API_KEY, "traceparent": f"00-{TRACE}-{CALLER}-01"}
            body = {"users": [phone.user], "id": "n1", "notification": {"title": "Anna"}}
            async with httpx.AsyncClient(trust_env=False) as http:
                url = f"{world.hubs[0].running.api_url}/notify"
                assert (await http.post(url, json=body, headers=headers)).status_code == 200
            await world.gets(phone, "n1")
            request = await collector.named("POST /api/notify")
            attempt = await collector.named("push attempt")
            provider = await collector.named("send by apns")
    assert request.trace == attempt.trace == provider.trace == TRACE
    assert (request.parent, attempt.parent, provider.parent) == (CALLER, request.id, attempt.id)
    assert provider.facts["hub.status"] == "200"
    assert len({request.node, attempt.node}) == 2
    assert phone.token.encode() not in b"".join(collector.raw)
