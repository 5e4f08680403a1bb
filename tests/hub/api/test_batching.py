"""The batch: order, isolation, scopes, nesting."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from hub.api import ApiOptions, Limits
from hub.errors import EngineUnavailable
from tests.hub.api.conftest import KEYS
from tests.support.recording_node import RecordingNode


@pytest.fixture
def options() -> ApiOptions:
    """A limit that can be passed."""
    return ApiOptions(keys=KEYS, limits=Limits(max_batch_commands=300))


async def replies_to(http: httpx.AsyncClient, *commands: Any, **more: Any) -> Any:
    """What the commands were answered."""
    response = await http.post("/batch", json={"commands": commands, **more})
    assert response.status_code == 200
    assert set(response.json()) == {"replies"}
    return response.json()["replies"]


def publish(channel: str, data: Any = 1) -> dict[str, Any]:
    """One publish command."""
    return {"publish": {"channel": channel, "data": data}}


async def test_answers_with_bare_results_under_the_methods_name(http: httpx.AsyncClient) -> None:
    """No ``result`` around anything but a broadcast's items (client protocol, P24)."""
    replies = await replies_to(
        http,
        publish("a"),
        {"broadcast": {"channels": ["b", "plain:c"], "data": 1}},
        {"presence": {"channel": "a"}},
        {"history_remove": {"channel": "a"}},
    )
    assert replies == [
        {"publish": {"offset": 1, "epoch": "ep0c"}},
        {"broadcast": {"responses": [{"result": {"offset": 1, "epoch": "ep0c"}}, {"result": {}}]}},
        {"presence": {"presence": {}}},
        {"history_remove": {}},
    ]


async def test_runs_one_after_another(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Without ``parallel``, commands run in the order they were written, even very many."""
    await replies_to(http, *[publish("a", number) for number in range(300)])
    assert [data for _, data in node.published] == [b"%d" % number for number in range(300)]


async def test_answers_in_order_when_parallel(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Side by side, each command still finds its reply in its place."""
    channels = [f"{('plain' if number % 3 else 'kept')}:{number}" for number in range(300)]
    replies = await replies_to(http, *[publish(channel) for channel in channels], parallel=True)
    assert ["offset" in reply["publish"] for reply in replies] == [
        channel.startswith("kept") for channel in channels
    ]
    assert len(node.published) == len(channels)


async def test_isolates_commands(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """What is wrong with one command is the answer to that one only."""
    replies = await replies_to(
        http,
        publish("undefined:a"),
        {"nonsense": {}},
        {},
        {"publish": {"channel": "a", "data": 1}, "info": {}},
        {"publish": {"channel": "a", "data": 1, "dta": 1}},
        {"publish": None},
        {"batch": {"commands": []}},
        publish("a"),
    )
    assert [reply.get("error", {}).get("code") for reply in replies] == [
        102,
        104,
        107,
        107,
        107,
        107,
        107,
        None,
    ]
    assert "`dta`" in replies[4]["error"]["message"]
    assert node.published == [("undefined:a", b"1"), ("a", b"1")]


async def test_needs_each_commands_scope(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """A batch opens nothing that its commands do not."""
    http.headers["X-API-Key"] = "may-publish"
    replies = await replies_to(http, publish("a"), {"history": {"channel": "a"}})
    assert replies[0] == {"publish": {"offset": 1, "epoch": "ep0c"}}
    assert replies[1]["error"]["code"] == 103
    assert [name for name, _ in node.calls] == ["publish"]


async def test_keeps_payloads_byte_for_byte(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Within a batch too, the payload is what the publisher wrote."""
    await http.post("/batch", content=b'{"commands":[{"publish":{"channel":"a","data":{"n": 1.0}}}]}')
    assert node.published == [("a", b'{"n": 1.0}')]


async def test_passes_each_idempotency_key(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """A key belongs to its own command."""
    commands = [publish("a"), publish("a")]
    commands[1]["publish"]["idempotency_key"] = "once"
    await replies_to(http, *commands)
    assert [asked["idempotency_key"] for _, asked in node.calls] == ["", "once"]


async def test_takes_no_commands(http: httpx.AsyncClient) -> None:
    """Nothing to do is done."""
    assert await replies_to(http) == []
    assert await replies_to(http, parallel=True) == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, 107),
        ({"commands": {}}, 107),
        ({"commands": [1]}, 107),
        ({"commands": [], "paralel": True}, 107),
        ({"commands": [{"info": {}}] * 301}, 106),
    ],
)
async def test_refuses_bad_batches(
    http: httpx.AsyncClient, node: RecordingNode, body: Any, code: int
) -> None:
    """What is wrong with the batch itself is refused as a whole."""
    response = await http.post("/batch", json=body)
    assert response.json()["error"]["code"] == code
    assert node.calls == []


async def test_malformed_json_spoils_the_whole_batch(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """A body that is not JSON is 400, and none of it is run."""
    response = await http.post(
        "/batch", content=b'{"commands":[{"info":{}},{"publish":{"channel":"a","data":01}}]}'
    )
    assert response.status_code == 400
    assert node.calls == []


@pytest.mark.parametrize("parallel", [False, True])
async def test_stops_trying_once_the_engine_is_gone(
    http: httpx.AsyncClient, node: RecordingNode, parallel: bool
) -> None:
    """What was done before is told, the rest is refused with the temporary error and not tried."""
    node.failures["gone"] = EngineUnavailable()
    replies = await replies_to(http, publish("a"), publish("gone"), *[publish("b")] * 200, parallel=parallel)
    assert "publish" in replies[0]
    assert {reply["error"]["code"] for reply in replies[1:]} == {100}
    assert len(node.calls) == 2


async def test_is_503_when_nothing_was_done(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """With no command done, the whole batch may be tried again."""
    node.failures["publish"] = EngineUnavailable()
    response = await http.post("/batch", json={"commands": [publish("a")] * 3})
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
