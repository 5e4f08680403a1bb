"""The HTTP side of the server API: keys, statuses, bodies."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import httpx
import pytest

from hub.api import ApiOptions
from hub.errors import JOB_QUEUE_FULL, NOT_AVAILABLE, EngineUnavailable, HubError
from tests.hub.api.conftest import KEYS
from tests.support.recording_node import RecordingNode

HELLO = {"channel": "chat:lobby", "data": {"a": 1}}


@pytest.fixture
def options() -> ApiOptions:
    """Small limits, so that they can be passed."""
    return ApiOptions(keys=KEYS, max_body_bytes=200_000, body_timeout_s=0.2)


async def test_answers_a_result(http: httpx.AsyncClient) -> None:
    """A call answers 200 and its result as JSON."""
    response = await http.post("/publish", json=HELLO)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"result": {"offset": 1, "epoch": "ep0c"}}


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": "all-of-it"},
        {"x-api-key": "all-of-it"},
        {"Authorization": "apikey all-of-it"},
        {"Authorization": "ApiKey all-of-it"},
        {"X-API-Key": "all-of-it", "Authorization": "Bearer of.a.jwt"},
        {"X-API-Key": "", "Authorization": "apikey all-of-it"},
    ],
)
async def test_takes_the_key_from_either_header(base_url: str, headers: dict[str, str]) -> None:
    """X-API-Key counts first, then the apikey scheme."""
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(f"{base_url}/api/info", json={}, headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, ""),
        ({}, "?api_key=all-of-it"),
        ({"X-API-Key": "wrong"}, ""),
        ({"X-API-Key": "wrong", "Authorization": "apikey all-of-it"}, ""),
        ({"Authorization": "Bearer all-of-it"}, ""),
        ({"Authorization": "all-of-it"}, ""),
        ({"Authorization": "apikey"}, ""),
    ],
)
async def test_refuses_without_a_key(
    base_url: str, node: RecordingNode, headers: dict[str, str], query: str
) -> None:
    """No key, a wrong one, or one where it is not looked for: 401, and the node hears nothing."""
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(f"{base_url}/api/publish{query}", json=HELLO, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "ApiKey"
    assert response.json() == {"error": {"code": 101, "message": "unauthorized"}}
    assert node.calls == []


class TestKeyInQuery:
    """An API that accepts the key as ``?api_key=``."""

    @pytest.fixture
    def options(self) -> ApiOptions:
        return ApiOptions(keys=KEYS, key_in_query=True)

    async def test_takes_the_key_from_the_query(self, base_url: str) -> None:
        """The query is the last place that is looked at."""
        async with httpx.AsyncClient(trust_env=False) as client:
            right = await client.post(f"{base_url}/api/info?x=1&api_key=all-of-it", json={})
            wrong = await client.post(f"{base_url}/api/info?api_key=nope", json={})
        assert (right.status_code, wrong.status_code) == (200, 401)


class TestInsecure:
    """An API that needs no key."""

    @pytest.fixture
    def options(self) -> ApiOptions:
        return ApiOptions(keys=KEYS, insecure=True)

    @pytest.fixture
    def http(self, base_url: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"{base_url}/api", trust_env=False)

    async def test_opens_without_a_key(self, http: httpx.AsyncClient) -> None:
        """Whoever comes may do everything."""
        async with http:
            assert (await http.post("/history_remove", json={"channel": "a"})).json() == {"result": {}}

    async def test_holds_a_sent_key_to_its_scopes(self, http: httpx.AsyncClient) -> None:
        """A key that is sent is verified all the same."""
        async with http:
            wrong = await http.post("/info", json={}, headers={"X-API-Key": "wrong"})
            narrow = await http.post("/publish", json=HELLO, headers={"X-API-Key": "may-read"})
        assert wrong.status_code == 401
        assert narrow.json()["error"]["code"] == 103

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[", "http://127.0.0.1:1"])
    async def test_is_closed_to_pages_of_other_origins(
        self, http: httpx.AsyncClient, node: RecordingNode, origin: str
    ) -> None:
        """A page somewhere on the web cannot post to a hub on the developer's own machine."""
        async with http:
            response = await http.post(
                "/publish",
                content=b'{"channel":"a","data":1}',
                headers={"Origin": origin, "Content-Type": "text/plain"},
            )
        assert response.status_code == 403
        assert node.calls == []

    async def test_is_open_to_its_own_pages(self, http: httpx.AsyncClient, base_url: str) -> None:
        """A page that the hub itself serves may call it."""
        async with http:
            response = await http.post("/info", json={}, headers={"Origin": base_url})
        assert response.status_code == 200


async def test_names_the_missing_scope(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """A right key without the scope answers 200 with 103, and says which scope it lacks."""
    response = await http.post("/publish", json=HELLO, headers={"X-API-Key": "may-read"})
    assert response.status_code == 200
    assert response.json() == {
        "error": {
            "code": 103,
            "message": "permission denied",
            "detail": "the API key lacks the scope 'publish'",
        }
    }
    assert node.calls == []


@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_refuses_other_verbs(http: httpx.AsyncClient, verb: str) -> None:
    """Methods are called by POST and nothing else; no CORS either."""
    response = await http.request(verb, "/publish")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert response.json()["error"]["code"] == 104
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("path", ["/nonsense", "/publish/", "/", "/a/b", "/map_publish", "/PUBLISH", "/%00"])
async def test_does_not_know_other_methods(http: httpx.AsyncClient, path: str) -> None:
    """An unknown path answers 404 and 104."""
    response = await http.post(path, json={})
    assert response.status_code == 404
    assert response.json() == {"error": {"code": 104, "message": "method not found"}}


async def test_asks_for_the_key_before_the_method(base_url: str) -> None:
    """Who has no key learns not even which methods there are."""
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.post(f"{base_url}/api/nonsense", json={})).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"not json",
        b'{"channel":"a","data":1}x',
        b'{"channel":"a","data":tru}',
        b'{"channel":"a","data":NaN}',
        b'{"channel":"a","data":"\xff"}',
        b'{"channel":"\xff","data":1}',
        b'{"ch\xffannel":"a","data":1}',
        b'{"channel":"a","data":"\xed\xa0\x80"}',
        b'{"channel":"a","data":"\\ud800"}',
        b'{"channel":"a","data":"\n"}',
        b'{"channel":"a","data":' + b"[" * 90_000 + b"}",
        b'{"channel":"a","data":' + b"[" * 90_000 + b"]" * 90_000 + b"}",
        b"\xef\xbb\xbf{}",
        b"\x00\x01\x02\x03",
        bytes(range(256)),
    ],
)
async def test_refuses_malformed_bodies(http: httpx.AsyncClient, node: RecordingNode, body: bytes) -> None:
    """What is not JSON in UTF-8 answers 400, wherever in it the fault is, and publishes nothing."""
    response = await http.post("/publish", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == 107
    assert node.calls == []


async def test_takes_no_body_for_no_fields(http: httpx.AsyncClient) -> None:
    """An empty body is an empty request."""
    assert (await http.post("/info")).status_code == 200
    assert (await http.post("/publish")).json()["error"]["message"] == (
        "bad request: Object missing required field `channel`"
    )


async def test_refuses_large_bodies(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """A body beyond the limit answers 413, and the connection stays usable."""
    body = b'{"channel":"a","data":"' + b"x" * 200_000 + b'"}'
    response = await http.post("/publish", content=body)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == 1006
    assert node.calls == []
    assert (await http.post("/info")).status_code == 200


async def test_refuses_large_bodies_of_unknown_length(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """A chunked body is counted as it comes in."""

    async def chunks() -> object:
        for _ in range(5):
            yield b"x" * 50_000

    response = await http.post("/publish", content=chunks())  # type: ignore[arg-type]
    assert response.status_code == 413
    assert node.calls == []


async def test_takes_a_body_up_to_the_limit(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """The limit itself is allowed, in many pieces."""
    frame = b'{"channel":"a","data":"%s"}'
    body = frame % (b"x" * (200_000 - len(frame) + 2))
    assert (await http.post("/publish", content=body)).status_code == 200
    assert len(node.published[0][1]) == 200_000 - len(b'{"channel":"a","data":}')


async def test_gives_up_on_a_body_that_does_not_come(base_url: str) -> None:
    """A caller that promises a body and sends none is answered 408."""
    host, port = base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /api/info HTTP/1.1\r\nHost: x\r\nX-API-Key: all-of-it\r\nContent-Length: 10\r\n\r\n{")
    assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()
    await writer.wait_closed()


async def test_answers_nobody_who_left(
    base_url: str, node: RecordingNode, caplog: pytest.LogCaptureFixture
) -> None:
    """A caller that goes away within its body leaves nothing behind, no log of a failure either."""
    host, port = base_url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: all-of-it\r\nContent-Length: 99\r\n\r\n{"
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with httpx.AsyncClient(trust_env=False, headers={"X-API-Key": "all-of-it"}) as client:
        assert (await client.post(f"{base_url}/api/info")).status_code == 200
    assert [name for name, _ in node.calls] == ["info"]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_tells_when_the_engine_is_gone(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Without an engine the answer is 503, worth another try."""
    node.failures["publish"] = EngineUnavailable()
    response = await http.post("/publish", json=HELLO)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["error"]["code"] == 100


async def test_tells_of_overload(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Too much for now is 429, worth another try."""
    node.failures["publish"] = HubError(JOB_QUEUE_FULL)
    response = await http.post("/publish", json=HELLO)
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")


async def test_hides_its_own_faults(
    http: httpx.AsyncClient, node: RecordingNode, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of the hub answers 500 and 100, and its text stays in the log."""
    node.failures["publish"] = RuntimeError("the inner workings")
    response = await http.post("/publish", json=HELLO)
    assert response.status_code == 500
    assert response.json() == {"error": {"code": 100, "message": "internal server error"}}
    assert "the inner workings" in caplog.text


class TestTransportErrorMode:
    """Callers that ask for ``X-Centrifugo-Error-Mode: transport``."""

    @pytest.fixture
    async def http(self, http: httpx.AsyncClient) -> httpx.AsyncClient:
        http.headers["X-Centrifugo-Error-Mode"] = "transport"
        return http

    @pytest.mark.parametrize(
        ("path", "body", "status", "code"),
        [
            ("/publish", {"channel": "undefined:a", "data": 1}, 404, 102),
            ("/publish", {"channel": "a"}, 400, 107),
            ("/history", {"channel": "plain:a"}, 400, 108),
            ("/history", {"channel": "a", "since": {"epoch": "old"}}, 416, 112),
            ("/nonsense", {}, 404, 104),
        ],
    )
    async def test_answers_the_status_and_the_bare_error(
        self, http: httpx.AsyncClient, path: str, body: object, status: int, code: int
    ) -> None:
        """The status tells what happened, the body is the error object itself."""
        response = await http.post(path, json=body)
        assert response.status_code == status
        assert response.json()["code"] == code

    async def test_answers_503_without_an_engine(self, http: httpx.AsyncClient, node: RecordingNode) -> None:
        """Retry-After stays."""
        node.failures["info"] = EngineUnavailable()
        response = await http.post("/info")
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert response.json()["code"] == 100

    async def test_answers_200_for_a_result(self, http: httpx.AsyncClient) -> None:
        """Results look the same in both modes."""
        assert (await http.post("/history_remove", json={"channel": "a"})).json() == {"result": {}}


async def test_other_error_modes_change_nothing(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Only ``transport`` is a mode."""
    node.failures["presence"] = HubError(NOT_AVAILABLE)
    response = await http.post("/presence", json={"channel": "a"}, headers={"X-Centrifugo-Error-Mode": "x"})
    assert response.status_code == 200
    assert response.json() == {"error": {"code": 108, "message": "not available"}}


def test_refuses_keys_that_are_the_same() -> None:
    """Found when the API is made, not when it is called."""
    from hub.api import create_api

    with pytest.raises(ValueError, match="the same key"):
        create_api(RecordingNode(), replace(ApiOptions(), keys=(KEYS[0], KEYS[0])))
