"""What a hub says of itself on /metrics while real clients use it, and to whom."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.support.hub_process import API_KEY, Running, running_hub
from tests.support.prometheus import scrape
from tests.support.waiting import eventually_true
from tests.support.wire_client import connected, wire_client

QUIET = {
    "channels.without_namespace": {
        "history_size": 10,
        "history_ttl": "300s",
        "force_recovery": True,
        "allow_subscribe_for_client": True,
    }
}
"""Nobody is told who comes and goes."""

FROM_A_PAGE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Origin": "https://somewhere.example",
}


async def count(hub: Running, name: str, **labels: str) -> float:
    """One number of a hub as it is now."""
    return (await scrape(hub.url)).sum(name, **labels)


async def test_what_clients_do_is_counted() -> None:
    """Connections by SDK and codec, publications, deliveries, refusals and how it ended."""
    async with running_hub(QUIET) as hub:
        async with connected(hub, "1", name="js") as first, connected(hub, "2", name="exotic") as second:
            for client in (first, second):
                await client.subscribe("news")
            assert await first.error(subscribe={"channel": "nowhere:news"}) == 102
            async with httpx.AsyncClient(trust_env=False) as http:
                body = {"channel": "news", "data": {"text": "hello"}}
                await http.post(f"{hub.api_url}/publish", json=body, headers={"X-API-Key": API_KEY})
            page = await scrape(hub.url)
            assert page.sum("hub_connections", sdk="js", protocol="json") == 1
            assert page.sum("hub_connections", sdk="other", protocol="json") == 1
            assert page.sum("hub_users") == 2
            assert page.sum("hub_channels") == 1
            assert page.sum("hub_publications_received_total") == 1
            assert page.sum("hub_deliveries_total") == 2
            assert page.sum("hub_commands_refused_total", code="102") == 1
            assert page.sum("hub_engine_up") == 1
            assert page.sum("hub_resident_memory_bytes") > 1_000_000
            assert page.sum("hub_cpu_seconds_total") > 0

        async def are_gone() -> bool:
            return await count(hub, "hub_connections") == 0

        await eventually_true(are_gone)
        assert await count(hub, "hub_connections_closed_total") == 2
        assert await count(hub, "hub_connections_opened_total") == 2


async def test_resumes_are_told_by_whether_something_was_missing() -> None:
    """One from where the stream is, one from another stream altogether."""
    async with running_hub(QUIET) as hub, connected(hub) as client:
        top = await client.subscribe("news")
        await client.ask(unsubscribe={"channel": "news"})
        wanted = {"recover": True, "offset": top.get("offset", 0)}
        assert (await client.subscribe("news", **wanted, epoch=top["epoch"]))["recovered"]
        await client.ask(unsubscribe={"channel": "news"})
        await client.subscribe("news", **wanted, epoch="another")
        page = await scrape(hub.url)
    assert page.sum("hub_recoveries_total", result="complete") == 1
    assert page.sum("hub_recoveries_total", result="incomplete") == 1


async def test_the_round_trip_of_a_ping_is_measured() -> None:
    """From when it was written to its pong."""
    async with (
        running_hub({"ping.interval_s": 1, "ping.pong_timeout_s": 0.9}) as hub,
        connected(hub) as client,
    ):
        assert await client.next() == {}
        client.send_text("{}")

        async def is_measured() -> bool:
            return await count(hub, "hub_ping_round_trip_seconds_count") == 1

        await eventually_true(is_measured)
        assert 0 < await count(hub, "hub_ping_round_trip_seconds_sum") < 0.9


async def test_who_reads_too_slowly_is_seen_waiting_and_leaving() -> None:
    """Bytes in the outbox first, then the end of it."""
    async with (
        running_hub(QUIET | {"limits.max_outbox_bytes": 16_000_000}) as hub,
        wire_client(hub, receive_buffer_bytes=4096) as client,
    ):
        assert hub.hub is not None
        await client.connect()
        await client.subscribe("news")
        client.raw.pause()
        data = json.dumps("x" * 100_000).encode()
        for _ in range(100):
            await hub.hub.node.publish("news", data)

        async def is_full() -> bool:
            return await count(hub, "hub_outboxes_blocked") == 1

        await eventually_true(is_full)
        for _ in range(100):
            await hub.hub.node.publish("news", data)
        assert await count(hub, "hub_outbox_bytes") > 100 * 100_000
        for _ in range(300):
            await hub.hub.node.publish("news", data)

        async def is_cut() -> bool:
            return await count(hub, "hub_connections_closed_total", code="3008") == 1

        await eventually_true(is_cut)
        page = await scrape(hub.url)
        assert page.sum("hub_limits_reached_total", limit="outbox_bytes") == 1
        assert page.sum("hub_outbox_bytes") == page.sum("hub_outboxes_blocked") == 0


async def test_an_upgrade_that_is_refused_is_counted() -> None:
    """By the status it was answered with."""
    async with running_hub(QUIET) as hub:
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"{hub.url}/connection/websocket", headers=FROM_A_PAGE)
        assert answer.status_code == 403
        page = await scrape(hub.url)
        assert page.sum("hub_handshakes_refused_total", status="403") == 1
        assert page.sum("hub_limits_reached_total", limit="origin") == 1


@pytest.mark.parametrize("key", ["", "wrong", "read-only"])
async def test_the_world_is_told_that_there_is_nothing(key: str) -> None:
    """Whoever comes through a proxy, with no key or one that is not for everything."""
    keys = [
        {"name": "tests", "key": API_KEY, "scopes": ["admin"]},
        {"name": "reader", "key": "read-only", "scopes": ["read"]},
    ]
    headers = {"X-Forwarded-For": "203.0.113.9"} | ({"X-API-Key": key} if key else {})
    async with running_hub({"api.keys": keys}) as hub, httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"{hub.url}/metrics", headers=headers)).status_code == 404
        admin = headers | {"X-API-Key": API_KEY}
        assert (await http.get(f"{hub.url}/metrics", headers=admin)).status_code == 200


async def test_a_trusted_proxy_on_this_machine_is_not_an_operator() -> None:
    """One that was not told to add a header would open the page, and reasons of health, to the world."""
    async with running_hub({"http.trusted_proxies": ["127.0.0.1"]}) as hub:
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"{hub.url}/metrics")).status_code == 404
            assert (await http.get(f"{hub.url}/health/ready")).json() == {"status": "ready"}
        assert (await scrape(hub.url, authorization=f"Bearer {API_KEY}")).sum("hub_engine_up") == 1


async def test_without_loopback_this_machine_needs_a_key_too() -> None:
    """For a proxy beside the hub that says nothing of whom it serves."""
    async with running_hub({"metrics.loopback": False}) as hub, httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"{hub.url}/metrics")).status_code == 404
        assert (await scrape(hub.url, authorization=f"Bearer {API_KEY}")).sum("hub_engine_up") == 1


async def test_with_an_internal_port_it_is_there_and_nowhere_else() -> None:
    """No key opens it on the public one."""
    async with running_hub({"internal.port": 0}) as hub, httpx.AsyncClient(trust_env=False) as http:
        assert hub.hub is not None
        public, internal = hub.hub.urls
        assert (await http.get(f"{public}/metrics", headers={"X-API-Key": API_KEY})).status_code == 404
        assert (await scrape(internal)).sum("hub_engine_up") == 1


async def test_it_can_be_off() -> None:
    """Then there is no page, and nothing is counted."""
    async with running_hub({"metrics.enabled": False}) as hub, httpx.AsyncClient(trust_env=False) as http:
        async with connected(hub):
            assert (await http.get(f"{hub.url}/metrics")).status_code == 404
