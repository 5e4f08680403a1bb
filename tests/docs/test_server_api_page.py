"""Every call that docs/server-api.md shows, made to a real hub: the answer has the shape that is shown."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx
import pytest

from config import profile_file, read_settings
from hub.app import Hub
from tests.support.hub_process import API_KEY, SECRET, Running
from tests.support.markdown import ROOT, Page
from tests.support.wire_client import connected

PAGE = Page(ROOT / "docs" / "server-api.md")
TIMEOUT_S = 20.0
CLIENT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CURL = re.compile(r"/api/(?P<method>\w+) .*-d '(?P<body>.*)'", re.DOTALL)


@dataclass(frozen=True)
class Call:
    """A call of the page and the answer that it shows."""

    method: str
    body: str
    answer: Any


def calls() -> list[Call]:
    """The calls of the page, in its order; each stands before its answer."""
    found = []
    for block, after in pairwise(PAGE.blocks()):
        if block.language == "sh" and after.language == "json":
            curl = CURL.search(block.text)
            assert curl is not None, block.text
            assert curl["method"] == block.section
            found.append(Call(curl["method"], curl["body"], json.loads(after.text)))
    return found


def shape(value: Any) -> Any:
    """Keys and types of a JSON value; client ids are all one key."""
    if isinstance(value, dict):
        return {CLIENT_ID.sub("<client>", key): shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


async def answered(http: httpx.AsyncClient, url: str, call: Call, body: str) -> Any:
    """The answer to a call of the page, once it tells as much as the page does."""
    while True:
        answer = (await http.post(url, content=body)).json()
        # The page tells what a trace has in the end, and a worker takes a moment to get there.
        if call.method != "notification_trace" or '"pushed"' in json.dumps(answer):
            return answer
        await asyncio.sleep(0.01)


@pytest.fixture
async def development_hub() -> AsyncIterator[Running]:
    """A hub as ``make run`` starts it, but for its secrets and its port."""
    own = {
        "http.port": 0,
        "auth.secret": SECRET,
        "api.keys": [{"name": "tests", "key": API_KEY, "scopes": ["admin"]}],
    }
    loaded = read_settings(None, {}, own, base=[profile_file("development")])
    hub = Hub(loaded.settings, loaded)
    await hub.start()
    try:
        yield Running(hub.urls[0], hub)
    finally:
        await hub.stop()


async def test_the_calls_of_the_page_answer_as_it_says(development_hub: Running) -> None:
    """In the order of the page, with one user in the channel that the examples speak of."""
    told: list[tuple[str, Any]] = []
    epochs: dict[str, str] = {}
    async with (
        connected(development_hub, "42") as client,
        httpx.AsyncClient(trust_env=False, headers={"X-API-Key": API_KEY}) as http,
    ):
        await client.subscribe("chat:lobby")
        for call in calls():
            body = call.body
            for on_the_page, in_truth in epochs.items():
                body = body.replace(f'"{on_the_page}"', f'"{in_truth}"')
            async with asyncio.timeout(TIMEOUT_S):
                answer = await answered(http, f"{development_hub.api_url}/{call.method}", call, body)
            told.append((call.method, shape(answer)))
            if call.method == "inbox_history":
                epochs[call.answer["result"]["epoch"]] = answer["result"]["epoch"]
    assert told == [(call.method, shape(call.answer)) for call in calls()]


def test_every_section_shows_its_call() -> None:
    """No method is described without one."""
    assert [call.method for call in calls()] == [name for name in PAGE.headings(3) if " " not in name]
