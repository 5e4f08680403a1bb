"""The console of a hub over HTTP: who sees it, who may use it, and what it tells beside the server API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from hub.api.keys import ApiKey, KeyRing
from hub.console import Console
from hub.console.rates import Rates
from hub.metrics import NopMetrics
from tests.hub.console.nodes import make_node
from tests.support.http_server import serving
from tests.support.hub_process import API_KEY, BASE, OPEN_CHANNEL, Running, running_hub
from tests.support.waiting import eventually

SPEAKER = "a-key-that-may-publish"
CONFINED = "a-key-for-the-lobby"
KEYS = [
    *BASE["api.keys"],
    {"name": "speaker", "key": SPEAKER, "scopes": ["publish", "read"]},
    {"name": "confined", "key": CONFINED, "scopes": ["admin"], "channels": ["lobby"]},
]
ON = {"console.enabled": True, "api.keys": KEYS}
FILES = ("", "main.js", "console.css", "icon.svg", "client.js", "plot.js")
OWN = ("api/session", "api/rates", "api/watch?channel=lobby")
FROM_ELSEWHERE = {"x-forwarded-for": "203.0.113.7"}


@asynccontextmanager
async def console(**overrides: Any) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    """A hub with a console, and a caller of it without a key; ``__`` for dots."""
    settings = {**ON, **{key.replace("__", "."): value for key, value in overrides.items()}}
    async with running_hub(settings) as hub:
        at = f"{hub.hub.urls[-1] if hub.hub else ''}/console/"
        async with httpx.AsyncClient(base_url=at, trust_env=False) as http:
            yield hub, http


def with_key(key: str = API_KEY) -> dict[str, str]:
    """The header."""
    return {"X-API-Key": key}


@asynccontextmanager
async def watching(http: httpx.AsyncClient, channel: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """What a page that watches is told, line by line; it watches already."""
    async with http.stream("GET", "api/watch", params={"channel": channel}, headers=with_key()) as response:
        assert response.status_code == 200, await response.aread()
        told = (json.loads(line) async for line in response.aiter_lines() if line)
        assert (await anext(told))["type"] == "watching"
        yield told


async def publish(hub: Running, channel: str, **params: Any) -> None:
    """As a backend does it."""
    async with httpx.AsyncClient(headers=with_key()) as client:
        answer = await client.post(f"{hub.api_url}/publish", json={"channel": channel, **params})
        assert "result" in answer.json(), answer.text


async def test_a_hub_has_no_console_unless_it_is_asked_for() -> None:
    """Off by default."""
    async with console(console__enabled=False) as (_, http):
        for path in (*FILES, *OWN):
            assert (await http.get(path, headers=with_key())).status_code == 404


async def test_the_page_comes_with_a_policy_that_allows_nothing_else() -> None:
    """No inline script, no other host, and no text that becomes markup."""
    async with console() as (_, http):
        for path in FILES:
            answer = await http.get(path)
            assert answer.status_code == 200
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert "require-trusted-types-for 'script'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"


async def test_the_page_is_found_without_its_slash() -> None:
    """By a relative redirect, which holds behind proxies that serve the hub under a path too."""
    async with console() as (hub, http):
        answer = await http.get(f"{hub.url}/console")
        assert (answer.status_code, answer.headers["location"]) == (307, "console/")


async def test_a_browser_that_has_a_file_is_not_sent_it_again() -> None:
    """It asks each time, so that a new hub's page is seen at once."""
    async with console() as (_, http):
        first = await http.get("main.js")
        assert first.headers["cache-control"] == "no-cache"
        again = await http.get("main.js", headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["app.py", "__init__.py", "..%2fapp.py", "%2e%2e/app.py", "static/main.js"])
async def test_there_are_no_other_files(path: str) -> None:
    """Names are looked up among those that were read at the start."""
    async with console() as (_, http):
        assert (await http.get(path)).status_code == 404


async def test_to_strangers_there_is_no_console() -> None:
    """On a public port a page from elsewhere needs the key for everything, and is not told that it does."""
    async with console() as (_, http):
        for path in (*FILES, *OWN):
            assert (await http.get(path, headers=FROM_ELSEWHERE)).status_code == 404
        assert (await http.get("", headers={**FROM_ELSEWHERE, **with_key()})).status_code == 200
        answer = await http.get("api/session", headers={**FROM_ELSEWHERE, **with_key()})
        assert answer.status_code == 200


async def test_the_page_can_be_given_to_everybody() -> None:
    """For platforms with one port; what it shows needs the key all the same."""
    async with console(console__public=True) as (_, http):
        assert (await http.get("", headers=FROM_ELSEWHERE)).status_code == 200
        for path in OWN:
            assert (await http.get(path, headers=FROM_ELSEWHERE)).status_code == 401


async def test_with_an_internal_port_it_is_only_there() -> None:
    """Where everybody who reaches the port sees the page, and still needs the key to use it."""
    async with console(internal__port=0) as (hub, http):
        assert (await http.get("", headers=FROM_ELSEWHERE)).status_code == 200
        assert (await http.get("api/session", headers=FROM_ELSEWHERE)).status_code == 401
        assert (await http.get(f"{hub.url}/console/", headers=with_key())).status_code == 404


@pytest.mark.parametrize("path", OWN)
async def test_what_it_tells_needs_the_key_of_an_administrator(path: str) -> None:
    """401 for no key and a wrong one, 403 for one that may do less."""
    async with console() as (_, http):
        assert (await http.get(path)).status_code == 401
        wrong = await http.get(path, headers=with_key("wrong"))
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, 101)
        less = await http.get(path, headers=with_key(SPEAKER))
        assert (less.status_code, less.json()["error"]["code"]) == (403, 103)


async def test_the_session_tells_whose_key_it_is() -> None:
    """And which hub this is."""
    async with console(node__name="hub-1") as (_, http):
        told = (await http.get("api/session", headers=with_key())).json()
        assert (told["key"], told["node"]) == ("tests", "hub-1")


async def test_a_node_says_that_it_takes_nobody_new() -> None:
    """From the beginning of its end, so that the others' consoles show it."""
    async with running_hub(ON) as hub:
        assert hub.hub is not None
        node = hub.hub.node
        assert [each["draining"] for each in await node.info()] == [False]
    assert node.draining


async def test_rates_count_what_was_published() -> None:
    """Counters as they stand; the page takes differences."""
    async with console() as (hub, http), watching(http, "lobby") as told:
        await publish(hub, "lobby", data=1)
        await anext(told)
        rates = (await http.get("api/rates", headers=with_key())).json()
        assert (rates["counters"]["publications"], rates["counters"]["deliveries"]) == (1, 1)
        assert (rates["connections"], rates["channels"], rates["draining"]) == (0, 1, 0)


async def test_without_metrics_there_is_nothing_to_draw() -> None:
    """And the page says why."""
    async with console(metrics__enabled=False) as (_, http):
        rates = (await http.get("api/rates", headers=with_key())).json()
        assert rates["measured"] is False
        assert "counters" not in rates


async def test_a_watch_shows_what_is_published() -> None:
    """Data as it is, bytes that are no JSON as base64, tags and times."""
    async with console() as (hub, http), watching(http, "lobby") as told:
        await publish(hub, "lobby", data={"text": "hello\nthere"}, tags={"kind": "note"})
        first = await anext(told)
        assert (first["type"], first["data"], first["offset"]) == ("publication", {"text": "hello\nthere"}, 1)
        assert first["tags"] == {"kind": "note"}
        assert first["time"] > 0
        await publish(hub, "lobby", b64data="AP8=")
        assert (await anext(told))["b64data"] == "AP8="


async def test_a_watch_ends_with_its_page() -> None:
    """And its subscription with it."""
    async with console() as (hub, http):
        assert hub.hub is not None
        listening = hub.hub.node.listening
        async with watching(http, "lobby"):
            assert listening.counts() == {"lobby": 1}
        await eventually(lambda: listening.counts() == {})


async def test_a_watch_ends_with_its_hub() -> None:
    """Long before the deadline of the drain."""
    async with console(shutdown__deadline_s=30) as (hub, http), watching(http, "lobby") as told:
        assert hub.hub is not None
        stopping = asyncio.create_task(hub.hub.stop())
        async with asyncio.timeout(5):
            assert [line async for line in told] == []
            await stopping


async def test_a_console_that_was_stopped_takes_no_page_that_watches() -> None:
    """Pages ask again when their watch ends; the hub that drains would wait for them."""
    node = make_node()
    await node.start()
    keys = KeyRing([ApiKey.of_secret("operators", API_KEY, ["admin"])])
    rates = Rates(None, node.engine.ledger, (), True, lambda: 0)
    stopped = Console(node, keys, rates, NopMetrics(), lambda request: True)
    stopped.stop()
    async with (
        serving(Starlette(routes=stopped.routes())) as url,
        httpx.AsyncClient(base_url=url, headers=with_key(), trust_env=False) as http,
    ):
        answer = await http.get("/console/api/watch", params={"channel": "lobby"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await http.get("/console/api/session")).status_code == 200
    await node.stop()


async def test_only_so_many_pages_watch() -> None:
    """The next is told to come again, and does, once one of them has gone."""
    async with console(console__max_watches=1) as (hub, http):
        assert hub.hub is not None
        listening = hub.hub.node.listening
        async with watching(http, "lobby"):
            refused = await http.get("api/watch", params={"channel": "news"}, headers=with_key())
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            counted = (await http.get(f"{hub.url}/metrics")).text
            assert 'hub_limits_reached_total{limit="console_watches"} 1.0' in counted
        await eventually(lambda: not listening.counts())
        async with watching(http, "news"):
            pass


async def test_asking_what_a_watch_would_say_takes_no_place() -> None:
    """A HEAD has no lines to wait for, and is answered at once."""
    async with console(console__max_watches=1) as (hub, http):
        assert hub.hub is not None
        answer = await http.head("api/watch", params={"channel": "lobby"}, headers=with_key(), timeout=5)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
        assert "content-length" not in answer.headers
        assert hub.hub.node.listening.counts() == {}
        async with watching(http, "news"):
            pass


@pytest.mark.parametrize(
    ("channel", "status", "code"), [("", 400, 107), ("nowhere:x", 404, 102), ("a" * 300, 400, 107)]
)
async def test_a_channel_that_cannot_be_is_refused(channel: str, status: int, code: int) -> None:
    """As the server API refuses it."""
    async with console() as (_, http):
        answer = await http.get("api/watch", params={"channel": channel}, headers=with_key())
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_a_confined_key_watches_its_channels_only() -> None:
    """Whatever else it may do."""
    async with console() as (_, http):
        answer = await http.get("api/watch", params={"channel": "news"}, headers=with_key(CONFINED))
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, 103)


async def test_an_inbox_can_be_watched() -> None:
    """It is a channel like any other to whoever may do everything."""
    settings = {"inbox__enabled": True, "channels__without_namespace": OPEN_CHANNEL}
    async with console(**settings) as (hub, http), watching(http, "inbox:#anna") as told:
        async with httpx.AsyncClient(headers=with_key()) as client:
            body = {"users": ["anna"], "id": "n-1", "notification": {"title": "Hello"}}
            await client.post(f"{hub.api_url}/notify", json=body)
        assert (await anext(told))["data"]["id"] == "n-1"
