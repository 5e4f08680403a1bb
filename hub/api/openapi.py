"""The OpenAPI document of the server API, made from the same table that answers the calls.

Nothing here says what a method takes or gives: that is read off its types.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec

import hub
from hub.api.call import Method
from hub.api.results import Error

_REF = "#/components/schemas/"

_DESCRIPTION = """\
Calls of backends to the hub. A refusal by a method answers 200 with `error`; with the header
`X-Centrifugo-Error-Mode: transport` it answers its own HTTP status and a bare error object.
Unknown fields are refused by name (107). Payloads travel byte for byte as they were sent.
"""

_FAILURES: Mapping[str, str] = {
    "400": "The body is not JSON in UTF-8.",
    "401": "No key, or none of this hub's.",
    "403": "Only on a hub that is open without keys: the call came from a web page of another origin.",
    "408": "The body did not arrive in time.",
    "413": "The body is too large.",
    "429": "Too much for now; `Retry-After` says when to try again.",
    "500": "The hub failed.",
    "503": "The engine is gone; whether a write happened is unknown. `Retry-After` says when to try again.",
}


def openapi_document(methods: Mapping[str, Method[Any]], *, max_body_bytes: int) -> dict[str, Any]:
    """The document (OpenAPI 3.1) of these methods, ready to be encoded."""
    types = {kind for method in methods.values() for kind in (method.request, method.result)}
    ordered = sorted(types, key=lambda kind: kind.__name__)
    _, schemas = msgspec.json.schema_components([*ordered, Error], ref_template=_REF + "{name}")
    _describe_batch(schemas, methods)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hub server API",
            "version": hub.__version__,
            "description": _DESCRIPTION + f"A body has at most {max_body_bytes} bytes.",
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {"authorization": []}],
        "paths": {f"/api/{name}": {"post": _operation(name, method)} for name, method in methods.items()},
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "authorization": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`apikey` and the key.",
                },
            },
            "parameters": {
                "ErrorMode": {
                    "name": "X-Centrifugo-Error-Mode",
                    "in": "header",
                    "description": "`transport` answers refusals with their own HTTP status.",
                    "schema": {"type": "string", "enum": ["transport"]},
                }
            },
            "responses": {status: _failure(text) for status, text in _FAILURES.items()},
        },
    }


def _operation(name: str, method: Method[Any]) -> dict[str, Any]:
    subject = method.act.__module__.rpartition(".")[2]
    needed = f"Scope: `{method.scope}`." if method.scope else "Each command needs its own scope."
    about = inspect.getdoc(method.request) or ""
    return {
        "operationId": name,
        "tags": [subject],
        "summary": (inspect.getdoc(method.act) or name).partition("\n")[0],
        "description": f"{about}\n\n{needed}",
        "parameters": [{"$ref": "#/components/parameters/ErrorMode"}],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref(method.request), "example": method.example}},
        },
        "responses": {
            "200": {
                "description": "A result, or a refusal.",
                "content": {
                    "application/json": {"schema": {"oneOf": [_success(method), _envelope("error", Error)]}}
                },
            },
            **{status: {"$ref": f"#/components/responses/{status}"} for status in _FAILURES},
        },
    }


def _success(method: Method[Any]) -> dict[str, Any]:
    return _envelope("result", method.result) if method.enveloped else _ref(method.result)


def _failure(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"oneOf": [_envelope("error", Error), _ref(Error)]}}},
    }


def _envelope(field: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"type": "object", "required": [field], "properties": {field: _ref(kind)}}


def _ref(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _REF + kind.__name__}


def _describe_batch(schemas: dict[str, Any], methods: Mapping[str, Method[Any]]) -> None:
    """Say what the commands and replies of a batch look like, which its types leave open."""
    inner = {name: method for name, method in methods.items() if name != "batch"}
    schemas["BatchRequest"]["properties"]["commands"]["items"] = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": {name: _ref(method.request) for name, method in inner.items()},
    }
    schemas["BatchResult"]["properties"]["replies"]["items"] = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {name: _ref(method.result) for name, method in inner.items()} | {"error": _ref(Error)},
    }
