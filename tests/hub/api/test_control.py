"""Methods that act on connections and streams, by what reaches the node."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from hub.channels import Override
from hub.errors import FORCE_DISCONNECT, Disconnect
from hub.model import Position
from tests.support.recording_node import RecordingNode

DONE = {"result": {}}


async def test_subscribes_with_everything(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Each field reaches the node, payloads byte for byte."""
    response = await http.post(
        "/subscribe",
        content=b"""{
            "user": "42", "channel": "a", "client": "c1", "session": "s1",
            "info": {"n": 1.0}, "data": [1 ], "recover_since": {"offset": 3, "epoch": "ep0c"},
            "expire_at": 1900000000,
            "override": {"presence": {"value": true}, "force_recovery": {"value": false}}
        }""",
    )
    assert response.json() == DONE
    assert node.last == (
        "subscribe",
        {
            "user": "42",
            "channel": "a",
            "client": "c1",
            "session": "s1",
            "info": b'{"n": 1.0}',
            "data": b"[1 ]",
            "recover_since": Position(3, "ep0c"),
            "expire_at_s": 1_900_000_000,
            "override": Override(presence=True, force_recovery=False),
        },
    )


async def test_subscribes_with_nothing_more(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """User and channel are enough."""
    await http.post("/subscribe", json={"user": "42", "channel": "a"})
    assert node.last[1] == {
        "user": "42",
        "channel": "a",
        "client": "",
        "session": "",
        "info": None,
        "data": None,
        "recover_since": None,
        "expire_at_s": None,
        "override": None,
    }


async def test_subscribes_with_base64(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Infos and data that are no JSON come as base64."""
    await http.post("/subscribe", json={"user": "42", "channel": "a", "b64info": "AA==", "b64data": "/w=="})
    assert (node.last[1]["info"], node.last[1]["data"]) == (b"\x00", b"\xff")


async def test_unsubscribes(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """One session, or all of a user."""
    asked = {"user": "42", "channel": "a", "client": "", "session": "s1"}
    assert (await http.post("/unsubscribe", json=asked)).json() == DONE
    assert node.last == ("unsubscribe", asked)


@pytest.mark.parametrize(
    ("asked", "disconnect"),
    [
        (None, FORCE_DISCONNECT),
        ({}, FORCE_DISCONNECT),
        ({"code": 0, "reason": ""}, FORCE_DISCONNECT),
        ({"reason": "bye"}, Disconnect(3503, "bye")),
        ({"code": 4001, "reason": "elsewhere"}, Disconnect(4001, "elsewhere")),
        ({"code": 4999}, Disconnect(4999, "")),
        ({"code": 3001, "reason": "ä" * 61}, Disconnect(3001, "ä" * 61)),
    ],
)
async def test_disconnects_with_code_and_reason(
    http: httpx.AsyncClient, node: RecordingNode, asked: Any, disconnect: Disconnect
) -> None:
    """Without a code it is force disconnect, 3503."""
    response = await http.post("/disconnect", json={"user": "42", "disconnect": asked})
    assert response.json() == DONE
    assert node.last == (
        "disconnect",
        {"user": "42", "client": "", "session": "", "whitelist": (), "disconnect": disconnect},
    )


async def test_keeps_the_whitelist(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Clients that stay reach the node."""
    await http.post("/disconnect", json={"user": "42", "client": "c9", "whitelist": ["c1", "c2"]})
    assert (node.last[1]["client"], node.last[1]["whitelist"]) == ("c9", ["c1", "c2"])


@pytest.mark.parametrize(
    "disconnect",
    [
        {"code": 1000},
        {"code": 2999},
        {"code": 5000},
        {"code": -1},
        {"code": "4000"},
        {"code": 4000, "reason": "ä" * 62},
        {"code": 4000, "reconnect": True},
        4000,
    ],
)
async def test_refuses_codes_that_no_close_frame_carries(
    http: httpx.AsyncClient, node: RecordingNode, disconnect: Any
) -> None:
    """107, before anybody is disconnected."""
    response = await http.post("/disconnect", json={"user": "42", "disconnect": disconnect})
    assert response.json()["error"]["code"] == 107
    assert node.calls == []


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, {"expired": False, "expire_at_s": None, "info": None}),
        ({"expired": True}, {"expired": True, "expire_at_s": None, "info": None}),
        ({"expire_at": 1_900_000_000}, {"expired": False, "expire_at_s": 1_900_000_000, "info": None}),
        ({"info": {"a": 1}}, {"expired": False, "expire_at_s": None, "info": b'{"a":1}'}),
    ],
)
async def test_refreshes(
    http: httpx.AsyncClient, node: RecordingNode, asked: dict[str, Any], wanted: dict[str, Any]
) -> None:
    """Move the expiry, expire now, or change the info."""
    assert (await http.post("/refresh", json={"user": "42"} | asked)).json() == DONE
    assert node.last == ("refresh", {"user": "42", "client": "", "session": ""} | wanted)


async def test_removes_history(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """The channel reaches the node, and the reserved namespace is refused by it."""
    assert (await http.post("/history_remove", json={"channel": "a"})).json() == DONE
    refused = await http.post("/history_remove", json={"channel": "inbox:#42"})
    assert refused.json()["error"]["code"] == 1014
    assert [name for name, _ in node.calls] == ["remove_history", "remove_history"]


async def test_has_no_rpc(http: httpx.AsyncClient) -> None:
    """108: there is nothing behind it."""
    response = await http.post("/rpc", json={"method": "stats", "params": {"a": 1}})
    assert (response.status_code, response.json()["error"]["code"]) == (200, 108)


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("subscribe", {"user": "42", "channel": "news"}),
        ("unsubscribe", {"user": "42", "channel": "news"}),
        ("history_remove", {"channel": "news"}),
    ],
)
async def test_refuses_a_confined_key_elsewhere(
    http: httpx.AsyncClient, node: RecordingNode, method: str, body: dict[str, str]
) -> None:
    """103 for every act on another channel."""
    http.headers["X-API-Key"] = "chat-only"
    assert (await http.post(f"/{method}", json=body)).json()["error"]["code"] == 103
    assert node.calls == []


@pytest.mark.parametrize(
    "body",
    [
        {"channel": "a"},
        {"user": 42, "channel": "a"},
        {"user": "42", "channel": "a", "expire_at": -1},
        {"user": "42", "channel": "a", "expire_at": "tomorrow"},
        {"user": "42", "channel": "a", "override": {"presence": True}},
        {"user": "42", "channel": "a", "override": {"presnce": {"value": True}}},
        {"user": "42", "channel": "a", "recover_since": [1, "e"]},
    ],
)
async def test_refuses_bad_subscribes(
    http: httpx.AsyncClient, node: RecordingNode, body: dict[str, Any]
) -> None:
    """107, in nested objects too."""
    assert (await http.post("/subscribe", json=body)).json()["error"]["code"] == 107
    assert node.calls == []
