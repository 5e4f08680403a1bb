"""Presence, history, channels, connections and nodes, as the API shows them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from hub.api import ApiKey, ApiOptions, create_api
from hub.api.keys import Scope
from hub.model import ClientInfo, HistoryFilter, Position, Publication
from tests.support.http_server import serving
from tests.support.recording_node import RecordingNode


async def test_shows_nobody_present(http: httpx.AsyncClient) -> None:
    """An empty channel has an empty map, not none."""
    assert (await http.post("/presence", json={"channel": "a"})).json() == {"result": {"presence": {}}}


async def test_shows_who_is_present(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Infos come back byte for byte; one that is no JSON comes as base64."""
    node.members["c1"] = ClientInfo("42", "c1", conn_info=b'{"n": 1.0}', chan_info=b"[]")
    node.members["c2"] = ClientInfo("", "c2", conn_info=b"\xff", chan_info=b"{")
    node.members["c3"] = ClientInfo("42", "c3")
    response = await http.post("/presence", json={"channel": "a"})
    assert b'"conn_info":{"n": 1.0}' in response.content
    assert response.json()["result"]["presence"] == {
        "c1": {"user": "42", "client": "c1", "conn_info": {"n": 1.0}, "chan_info": []},
        "c2": {"user": "", "client": "c2", "b64conn_info": "/w==", "b64chan_info": "ew=="},
        "c3": {"user": "42", "client": "c3"},
    }


async def test_counts_who_is_present(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Zero is a number too."""
    none = await http.post("/presence_stats", json={"channel": "a"})
    node.members["c1"] = ClientInfo("42", "c1")
    some = await http.post("/presence_stats", json={"channel": "a"})
    assert none.json() == {"result": {"num_clients": 0, "num_users": 0}}
    assert some.json() == {"result": {"num_clients": 1, "num_users": 1}}


async def test_shows_history(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Items hold what was stored, payloads byte for byte; the top of the stream comes with them."""
    info = ClientInfo("42", "c1", conn_info=b"{}")
    node.streams["a"] += [
        Publication(b'{"n": 1.0}', 1, info, {"k": "v"}, 1_700_000_000_000),
        Publication(b"\x00\xff", 2),
    ]
    response = await http.post("/history", json={"channel": "a", "limit": -1})
    assert b'"data":{"n": 1.0}' in response.content
    assert response.json()["result"] == {
        "publications": [
            {
                "offset": 1,
                "data": {"n": 1.0},
                "info": {"user": "42", "client": "c1", "conn_info": {}},
                "tags": {"k": "v"},
                "time": 1_700_000_000_000,
            },
            {"offset": 2, "data": None, "b64data": "AP8="},
        ],
        "epoch": "ep0c",
        "offset": 2,
    }


async def test_shows_the_position_of_an_empty_stream(http: httpx.AsyncClient) -> None:
    """A channel that nobody published to has an epoch (client protocol, P16)."""
    assert (await http.post("/history", json={"channel": "a"})).json() == {
        "result": {"publications": [], "epoch": "ep0c", "offset": 0}
    }


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, HistoryFilter()),
        ({"limit": None, "since": None, "reverse": None}, HistoryFilter()),
        ({"limit": 5, "reverse": True}, HistoryFilter(5, reverse=True)),
        ({"limit": -1, "since": {"offset": 3, "epoch": "ep0c"}}, HistoryFilter(-1, Position(3, "ep0c"))),
        ({"since": {}}, HistoryFilter(0, Position(0, ""))),
    ],
)
async def test_asks_for_the_wanted_history(
    http: httpx.AsyncClient, node: RecordingNode, asked: dict[str, Any], wanted: HistoryFilter
) -> None:
    """The filter reaches the node as it was meant."""
    await http.post("/history", json={"channel": "a"} | asked)
    assert node.last == ("history", {"channel": "a", "wanted": wanted})


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": -2},
        {"limit": 2**31},
        {"limit": 1.5},
        {"since": {"offset": -1}},
        {"since": {"ofset": 1}},
        {"since": 1},
    ],
)
async def test_refuses_impossible_history(
    http: httpx.AsyncClient, node: RecordingNode, asked: dict[str, Any]
) -> None:
    """107, before the node is asked."""
    response = await http.post("/history", json={"channel": "a"} | asked)
    assert response.json()["error"]["code"] == 107
    assert node.calls == []


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"channel": "plain:a"}, 108),
        ({"channel": "a", "since": {"epoch": "old"}}, 112),
        ({"channel": "undefined:a"}, 102),
    ],
)
async def test_tells_why_there_is_no_history(
    http: httpx.AsyncClient, asked: dict[str, Any], code: int
) -> None:
    """Refusals of the node keep their code."""
    assert (await http.post("/history", json=asked)).json()["error"]["code"] == code


async def test_lists_channels(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Channels with their subscribers; the pattern goes to the node."""
    node.subscribers = {"chat:a": 2, "news": 1}
    response = await http.post("/channels", json={"pattern": "*"})
    assert response.json() == {
        "result": {"channels": {"chat:a": {"num_clients": 2}, "news": {"num_clients": 1}}}
    }
    assert node.last == ("channels", {"pattern": "*"})


async def test_lists_connections(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """What the node tells, with the channels where clients of the API look for them."""
    node.live = {
        "c1": {
            "user": "42",
            "app_name": "js",
            "app_version": "",
            "transport": "websocket",
            "protocol": "json",
            "connected_at": 1_700_000_000_000,
            "channels": ["chat:a", "news"],
        }
    }
    response = await http.post("/connections", json={"user": "42", "expression": ""})
    assert response.json()["result"]["connections"] == {
        "c1": {
            "user": "42",
            "app_name": "js",
            "app_version": "",
            "transport": "websocket",
            "protocol": "json",
            "connected_at": 1_700_000_000_000,
            "state": {"channels": {"chat:a": {}, "news": {}}},
        }
    }
    assert node.last == ("connections", {"user": "42", "client": ""})


async def test_cannot_filter_connections_by_expression(http: httpx.AsyncClient) -> None:
    """Refused with 108 rather than answered with everybody."""
    response = await http.post("/connections", json={"user": "42", "expression": "true"})
    assert response.json()["error"]["code"] == 108


async def test_shows_a_confined_key_its_channels_only(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Neither lists nor questions tell it of others."""
    http.headers["X-API-Key"] = "chat-only"
    node.subscribers = {"chat:a": 2, "news": 1}
    node.live = {"c1": {"user": "42", "channels": ["chat:a", "news"]}}
    channels = await http.post("/channels", json={})
    connections = await http.post("/connections", json={})
    assert channels.json()["result"]["channels"] == {"chat:a": {"num_clients": 2}}
    assert connections.json()["result"]["connections"]["c1"]["state"] == {"channels": {"chat:a": {}}}


@pytest.mark.parametrize("method", ["presence", "presence_stats", "history"])
async def test_refuses_a_confined_key_elsewhere(
    http: httpx.AsyncClient, node: RecordingNode, method: str
) -> None:
    """103 for every question about another channel."""
    http.headers["X-API-Key"] = "chat-only"
    response = await http.post(f"/{method}", json={"channel": "news"})
    assert response.json()["error"]["code"] == 103
    assert node.calls == []


@pytest.mark.parametrize(
    ("scopes", "may"), [(["read"], False), (["inbox"], False), (["read", "inbox"], True), (["admin"], True)]
)
async def test_the_history_of_an_inbox_needs_the_scope_of_inboxes_too(
    node: RecordingNode, scopes: list[Scope], may: bool
) -> None:
    """Who may read channels may not read what users were told."""
    keys = (ApiKey.of_secret("some", "some", scopes),)
    async with serving(Starlette(routes=create_api(node, ApiOptions(keys=keys)))) as url:
        async with httpx.AsyncClient(headers={"X-API-Key": "some"}, trust_env=False) as http:
            answer = (await http.post(f"{url}/api/history", json={"channel": "inbox:#42"})).json()
    # What the node makes of the question is its own business.
    assert (answer.get("error", {}).get("code") != 103) is may


async def test_tells_of_the_nodes(http: httpx.AsyncClient) -> None:
    """One entry per node, with the fields that clients of the API know."""
    [told] = (await http.post("/info", json={})).json()["result"]["nodes"]
    assert told["uid"] == "n1"
    assert told["name"] == "hub-1"
