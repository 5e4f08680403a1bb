"""Publish and broadcast, by what reaches the node and what comes back."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from hub.api import ApiOptions, Limits
from hub.errors import INTERNAL, EngineUnavailable, HubError
from tests.hub.api.conftest import KEYS
from tests.support.recording_node import RecordingNode


@pytest.fixture
def options() -> ApiOptions:
    """A broadcast limit that can be passed."""
    return ApiOptions(keys=KEYS, limits=Limits(max_broadcast_channels=300))


@pytest.mark.parametrize(
    "payload",
    [b'{"b": 1.0,  "a":1e2, "\\u00e4": "\xc3\xa4"}', b"null", b"0", b'""', b"[]", b" [ 1 ] ", b'"a\\nb"'],
)
async def test_publishes_byte_for_byte(http: httpx.AsyncClient, node: RecordingNode, payload: bytes) -> None:
    """The payload is what the publisher wrote, only the space around it is not part of it."""
    response = await http.post("/publish", content=b'{"channel":"a","data":' + payload + b"}")
    assert response.json() == {"result": {"offset": 1, "epoch": "ep0c"}}
    assert node.published == [("a", payload.strip())]


async def test_hands_every_option_on(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Each field reaches the node under its own name."""
    asked = {
        "channel": "a",
        "data": 1,
        "skip_history": True,
        "tags": {"k": "v"},
        "idempotency_key": "once",
        "delta": True,
        "version": 7,
        "version_epoch": "v1",
    }
    await http.post("/publish", json=asked)
    assert node.last == ("publish", asked | {"data": b"1", "job": None})


async def test_fills_in_what_is_left_out(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Null and absent mean the same in every optional field."""
    absent = {"channel": "a", "data": 1}
    await http.post("/publish", json=absent)
    fields = ("b64data", "skip_history", "tags", "idempotency_key", "delta", "version", "version_epoch")
    await http.post("/publish", json=absent | dict.fromkeys(fields))
    assert node.calls[0] == node.calls[1]
    assert node.last[1] == {
        "channel": "a",
        "data": b"1",
        "skip_history": False,
        "tags": None,
        "idempotency_key": "",
        "delta": False,
        "version": 0,
        "version_epoch": "",
        "job": None,
    }


async def test_publishes_base64(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Bytes that are no JSON come as base64, which wins over ``data``."""
    await http.post("/publish", json={"channel": "a", "data": {}, "b64data": "AP8="})
    assert node.published == [("a", b"\x00\xff")]


async def test_tells_no_position_where_there_is_none(http: httpx.AsyncClient) -> None:
    """A channel without history answers an empty result."""
    assert (await http.post("/publish", json={"channel": "plain:a", "data": 1})).json() == {"result": {}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"channel": "a"}, "`data` is required"),
        ({"data": 1}, "Object missing required field `channel`"),
        ({"channel": "a", "b64data": "!"}, "`b64data` is not base64"),
        ({"channel": 1, "data": 1}, "Expected `str`, got `int` - at `$.channel`"),
        ({"channel": None, "data": 1}, "Expected `str`, got `null` - at `$.channel`"),
        ({"channel": "a", "data": 1, "dta": 1}, "Object contains unknown field `dta`"),
        ({"channel": "a", "data": 1, "tags": {"k": 1}}, "Expected `str`, got `int` - at `$.tags[...]`"),
        (
            {"channel": "a", "data": 1, "skip_history": 1},
            "Expected `bool | null`, got `int` - at `$.skip_history`",
        ),
        ({"channel": "a", "data": 1, "version": -1}, "Expected `int` >= 0 - at `$.version`"),
        ({"channel": "a", "data": 1, "version": "7"}, "Expected `int | null`, got `str` - at `$.version`"),
        (
            {"channel": "a", "data": 1, "idempotency_key": "k" * 513},
            "`str` of length <= 512 - at `$.idempotency_key`",
        ),
        ([], "Expected `object`, got `array`"),
        ("publish", "Expected `object`, got `str`"),
    ],
)
async def test_refuses_bad_requests_by_field(
    http: httpx.AsyncClient, node: RecordingNode, body: Any, message: str
) -> None:
    """107 says which field is wrong and how, and nothing is published."""
    response = await http.post("/publish", json=body)
    error = response.json()["error"]
    assert response.status_code == 200
    assert error["code"] == 107
    assert error["message"].startswith("bad request: ")
    assert message in error["message"]
    assert node.calls == []


async def test_quotes_only_the_start_of_an_unknown_field(http: httpx.AsyncClient) -> None:
    """A field with an endless name does not come back whole."""
    response = await http.post("/publish", json={"x" * 100_000: 1})
    assert len(response.content) < 400


async def test_refuses_json_too_deep(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """What a phone's parser may choke on is refused with 107."""
    body = b'{"channel":"a","data":' + b"[" * 300 + b"]" * 300 + b"}"
    response = await http.post("/publish", content=body)
    assert response.json()["error"]["code"] == 107
    assert node.calls == []


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        ("undefined:a", {"code": 102, "message": "unknown channel"}),
        ("inbox:#42", {"code": 1014, "message": "reserved channel"}),
    ],
)
async def test_tells_what_the_node_refuses(
    http: httpx.AsyncClient, channel: str, error: dict[str, object]
) -> None:
    """Refusals of the node answer 200 with its code."""
    response = await http.post("/publish", json={"channel": channel, "data": 1})
    assert (response.status_code, response.json()) == (200, {"error": error})


async def test_confines_a_key_to_its_channels(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """A key for some channels publishes in those and is refused with 103 elsewhere."""
    http.headers["X-API-Key"] = "chat-only"
    inside = await http.post("/publish", json={"channel": "chat:a", "data": 1})
    outside = await http.post("/publish", json={"channel": "news", "data": 1})
    assert "result" in inside.json()
    assert outside.json()["error"]["code"] == 103
    assert node.published == [("chat:a", b"1")]


async def test_broadcasts_in_order(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Every channel gets the payload and has its own answer, in the order of the request."""
    channels = [f"c{number}" for number in range(250)]
    response = await http.post(
        "/broadcast", json={"channels": channels, "data": {"a": 1}, "idempotency_key": "once"}
    )
    assert response.json() == {
        "result": {"responses": [{"result": {"offset": 1, "epoch": "ep0c"}}] * len(channels)}
    }
    assert sorted(node.published) == sorted((channel, b'{"a":1}') for channel in channels)
    assert {asked["idempotency_key"] for _, asked in node.calls} == {"once"}


async def test_isolates_the_channels_of_a_broadcast(
    http: httpx.AsyncClient, node: RecordingNode, caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal, or even a fault, of one channel is the answer for that channel only."""
    http.headers["X-API-Key"] = "chat-only"
    node.failures["chat:broken"] = RuntimeError("the inner workings")
    node.failures["chat:full"] = HubError(INTERNAL, "no room")
    channels = ["chat:a", "news", "chat:broken", "chat:full", "chat:b"]
    response = await http.post("/broadcast", json={"channels": channels, "data": 1})
    done = {"result": {"offset": 1, "epoch": "ep0c"}}
    internal = {"code": 100, "message": "internal server error"}
    assert response.json()["result"]["responses"] == [
        done,
        {
            "error": {
                "code": 103,
                "message": "permission denied",
                "detail": "the API key is confined to other channels",
            }
        },
        {"error": internal},
        {"error": internal | {"detail": "no room"}},
        done,
    ]
    assert "the inner workings" in caplog.text


async def test_broadcast_without_an_engine_is_503(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """When no channel at all could be reached, the whole call may be tried again; most are not even tried."""
    node.failures["publish"] = EngineUnavailable()
    response = await http.post("/broadcast", json={"channels": [f"c{n}" for n in range(200)], "data": 1})
    assert response.status_code == 503
    assert len(node.calls) < 40


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"channels": [], "data": 1}, 107),
        ({"channels": ["a"]}, 107),
        ({"channels": "a", "data": 1}, 107),
        ({"channels": ["a", 1], "data": 1}, 107),
        ({"channels": ["a"], "channel": "b", "data": 1}, 107),
        ({"channels": ["a"] * 301, "data": 1}, 106),
    ],
)
async def test_refuses_bad_broadcasts(
    http: httpx.AsyncClient, node: RecordingNode, body: dict[str, Any], code: int
) -> None:
    """What is wrong with the request itself is refused as a whole."""
    response = await http.post("/broadcast", json=body)
    assert response.json()["error"]["code"] == code
    assert node.calls == []
