"""The OpenAPI document: valid, complete, and true of what is served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from hub.api.openapi import openapi_document
from hub.api.registry import METHODS
from hub.model import ClientInfo
from tests.support.recording_node import RecordingNode

NOTIFICATION = "01938c2e-6f3a-7c1b-9d2e-4a5b6c7d8e9f"
DOCUMENT = openapi_document(METHODS, max_body_bytes=1024)

WRONG: Mapping[str, dict[str, Any]] = {
    "unknown field": {"channel": "a", "data": 1, "dta": 1},
    "missing field": {"data": 1},
    "wrong type": {"channel": 1, "data": 1},
}


def validator_of(schema: Any) -> Draft202012Validator:
    """A validator for a schema of the document, whose references lead into the document."""
    return Draft202012Validator(schema | {"components": DOCUMENT["components"]})


def schema_of(method: str, side: str) -> Any:
    """The schema of a method's request or 200 answer."""
    operation = DOCUMENT["paths"][f"/api/{method}"]["post"]
    place = operation["requestBody"] if side == "request" else operation["responses"]["200"]
    return place["content"]["application/json"]["schema"]


async def test_is_served_without_a_key_and_is_valid(base_url: str) -> None:
    """Anybody may fetch it, and the specification's own validator accepts it."""
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.get(f"{base_url}/api/openapi.json")
    assert response.headers["content-type"] == "application/json"
    OpenAPIV31SpecValidator(response.json()).validate()


def test_has_every_method() -> None:
    """The document and the table of methods know the same names."""
    assert set(DOCUMENT["paths"]) == {f"/api/{name}" for name in METHODS}


@pytest.mark.parametrize("method", METHODS)
async def test_examples_are_true(http: httpx.AsyncClient, node: RecordingNode, method: str) -> None:
    """Each example fits its schema, is accepted by the hub, and the answer fits its schema too."""
    for given in ("notify", "device_register"):
        await http.post(
            f"/{given}", json=METHODS[given].example | ({"id": NOTIFICATION} if given == "notify" else {})
        )
    top = (await http.post("/inbox_history", json={"user": "42"})).json()["result"]
    node.members["c1"] = ClientInfo("42", "c1", conn_info=b"{}", chan_info=b"\xff")
    node.subscribers = {"chat:lobby": 1}
    node.live = {"c1": {"user": "42", "channels": ["chat:lobby"]}}
    example = DOCUMENT["paths"][f"/api/{method}"]["post"]["requestBody"]["content"]["application/json"][
        "example"
    ]
    validator_of(schema_of(method, "request")).validate(example)
    response = await http.post(f"/{method}", json=example | _sound(method, top["epoch"]))
    validator_of(schema_of(method, "answer")).validate(response.json())
    assert response.status_code == 200
    assert ("error" in response.json()) is (method == "rpc")


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_refusals_agree(http: httpx.AsyncClient, wrong: dict[str, Any]) -> None:
    """What the schema refuses, the hub refuses, and the refusal fits its schema."""
    assert not validator_of(schema_of("publish", "request")).is_valid(wrong)
    response = await http.post("/publish", json=wrong)
    validator_of(schema_of("publish", "answer")).validate(response.json())
    assert response.json()["error"]["code"] == 107


def test_describes_the_commands_of_a_batch() -> None:
    """A batch takes any method but itself."""
    check = validator_of(schema_of("batch", "request"))
    assert check.is_valid({"commands": [{"info": {}}, {"publish": {"channel": "a", "data": 1}}]})
    assert not check.is_valid({"commands": [{"batch": {"commands": []}}]})
    assert not check.is_valid({"commands": [{"publish": {"chanel": "a"}}]})


def _sound(method: str, inbox_epoch: str) -> dict[str, Any]:
    """Histories are read from positions that this node knows."""
    if method == "inbox_read":
        return {"offset": 1, "epoch": inbox_epoch}
    return {"since": {"offset": 0, "epoch": "ep0c"}} if method == "history" else {}
