"""One trace from a backend's request to the provider, across processes, seen by a real collector."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from config import SettingsError, read_settings
from hub.app import Hub
from tests.support.hub_process import API_KEY, running_hub
from tests.support.spans import Collector, span_collector

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
KEY = {"X-API-Key": API_KEY}
APP = {"name": "shop", "provider": "recording", "environment": "production"}
DEVICE = {
    "user": "ann",
    "id": "6f1c0b52-3d7e-4f8a-9b1c-2d3e4f5a6b7c",
    "platform": "android",
    "provider": "recording",
    "app": "shop",
    "environment": "production",
    "token": "a-provider-token-that-nobody-may-see",
}


def tracing_to(collector: Collector) -> dict[str, Any]:
    """Settings of a hub that pushes and traces."""
    return {
        "tracing.endpoint": collector.url,
        "tracing.service_name": "shop-hub",
        "inbox.enabled": True,
        "push.apps": [APP],
    }


async def call(url: str, method: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    """One call of the server API."""
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{url}/api/{method}", json=body, headers={**KEY, **headers})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert "error" not in found, found
    return found


@pytest.fixture(autouse=True)
def sent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a batch of spans."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")


async def test_a_notification_is_one_trace_down_to_the_provider() -> None:
    """Request, engine call, attempt and provider, each below the one before, in the caller's own trace."""
    async with span_collector() as collector, running_hub(tracing_to(collector)) as hub:
        await call(hub.url, "device_register", DEVICE)
        body = {"users": ["ann"], "notification": {"title": "Anna"}}
        await call(hub.url, "notify", body, traceparent=f"00-{TRACE}-{CALLER}-01")
        request = await collector.named("POST /api/notify")
        engine = await collector.named("ledger notify")
        attempt = await collector.named("push attempt")
        provider = await collector.named("send by recording")
    assert (request.trace, request.parent, request.service) == (TRACE, CALLER, "shop-hub")
    assert [each.trace for each in (engine, attempt, provider)] == [TRACE] * 3
    assert engine.parent == attempt.parent == request.id
    assert provider.parent == attempt.id
    assert attempt.facts["hub.lane"] == "recording:shop:production"
    assert attempt.facts["hub.outcome"] == "accepted"
    assert request.facts["http.response.status_code"] == "200"
    told = b"".join(collector.raw)
    for secret in (DEVICE["token"], API_KEY, "Anna"):
        assert secret.encode() not in told


async def test_a_large_call_keeps_its_trace_through_its_job() -> None:
    """The users of a job are notified later, and still for the same caller."""
    async with span_collector() as collector, running_hub(tracing_to(collector)) as hub:
        users = [f"user{number}" for number in range(101)]
        body = {"users": users, "notification": {"title": "Anna"}}
        await call(hub.url, "notify", body, traceparent=f"00-{TRACE}-{CALLER}-01")
        step = await collector.named("job step")
    assert step.trace == TRACE
    assert step.facts["hub.users"] == "101"


async def test_who_is_refused_and_who_does_not_exist_is_traced_too() -> None:
    """An app cannot choose its trace: it is the world, not a backend."""
    async with span_collector() as collector, running_hub(tracing_to(collector)) as hub:
        async with httpx.AsyncClient(trust_env=False) as http:
            theirs = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
            answer = await http.get(f"{hub.url}/client/v1/inbox", headers=theirs)
        assert answer.status_code == 401
        span = await collector.named("GET /client/v1/inbox")
    assert span.trace != TRACE
    assert span.facts["http.response.status_code"] == "401"


async def test_a_collector_that_is_gone_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are served, and the hub ends in its time."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    async with span_collector() as collector:
        settings = tracing_to(collector)
    async with running_hub(settings) as hub:
        await call(hub.url, "publish", {"channel": "news", "data": {}})


async def test_the_variables_of_open_telemetry_stand_in_for_the_settings() -> None:
    """Platforms set them; a setting of ours goes before them."""
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OTEL_SERVICE_NAME": "theirs",
        "HUB_INSECURE__CLIENT": "true",
    }
    tracing = read_settings(None, env, {}).settings.tracing
    assert (tracing.endpoint, tracing.service_name) == ("http://collector:4318", "theirs")
    ours = read_settings(None, {**env, "HUB_TRACING__SERVICE_NAME": "ours"}, {}).settings.tracing
    assert ours.service_name == "ours"


async def test_an_endpoint_without_the_packages_is_a_mistake_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before anything is served."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, "hub.ops.tracing", raising=False)
    loaded = read_settings(
        None, {}, {"http.port": 0, "insecure.client": True, "tracing.endpoint": "http://127.0.0.1:1"}
    )
    with pytest.raises(SettingsError) as refused:
        Hub(loaded.settings, loaded)
    assert refused.value.problems[0].key == "tracing.endpoint"
    assert "realtime-push-hub[tracing]" in str(refused.value)


def test_who_does_not_trace_does_not_import_it() -> None:
    """The packages are of the extra, and take their time to be imported."""
    program = (
        "import sys, hub.app, hub.worker_app\n"
        "assert 'hub.ops.tracing' not in sys.modules\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry.sdk')]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
