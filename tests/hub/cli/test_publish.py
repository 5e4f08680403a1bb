"""``hub publish`` against a server of the test."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import run_hub


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that gives this answer to everything; its URL, and what it was asked."""
    asked: list[dict[str, Any]] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append({"path": self.path, "key": self.headers["x-api-key"], "request": request})
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Tests are quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def test_publishes_json_or_text(tmp_path: Path) -> None:
    """Address and key come from flags or the environment; what is no JSON is sent as text."""
    with answering(200, b'{"result": {"offset": 7, "epoch": "ab"}}') as (url, asked):
        env = {"HUB_URL": url, "HUB_API_KEY": "k1"}
        first = run_hub("publish", "news", '{"a": 1}', cwd=tmp_path, env=env)
        second = run_hub(
            "publish", "news", "-", "--key", "k2", "--json", cwd=tmp_path, env=env, stdin="hello there"
        )
    assert (first.code, second.code) == (0, 0)
    assert "offset 7" in first.out
    assert second.value == {"channel": "news", "offset": 7, "epoch": "ab"}
    assert asked == [
        {"path": "/api/publish", "key": "k1", "request": {"channel": "news", "data": {"a": 1}}},
        {"path": "/api/publish", "key": "k2", "request": {"channel": "news", "data": "hello there"}},
    ]


@pytest.mark.parametrize("text", ["NaN", "[1e999]", "-Infinity", "[" * 100_000])
def test_what_only_python_calls_json_is_text(tmp_path: Path, text: str) -> None:
    """It could not be sent as anything else."""
    with answering(200, b'{"result": {}}') as (url, asked):
        done = run_hub("publish", "news", "-", "--url", url, "--key", "k", cwd=tmp_path, stdin=text)
    assert done.code == 0
    assert asked[0]["request"]["data"] == text


def test_a_key_that_is_no_ascii_is_the_hubs_to_refuse(tmp_path: Path) -> None:
    """Nothing on the way stumbles over it."""
    with answering(401, b"{}") as (url, asked):
        done = run_hub("publish", "news", "1", "--url", url, "--key", "schlüssel", cwd=tmp_path)
    assert len(asked) == 1
    assert "refused the key" in done.err


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (200, b'{"error": {"code": 102, "message": "unknown channel"}}', "unknown channel (code 102)"),
        (
            200,
            b'{"error": {"code": 106, "message": "limit", "detail": "split it"}}',
            "limit: split it (code 106)",
        ),
        (401, b"{}", "refused the key"),
        (503, b"{}", "status 503"),
        (200, b"<html>", "not like a hub"),
        (200, b"[]", "status 200"),
    ],
)
def test_refusals_are_readable(tmp_path: Path, status: int, body: bytes, told: str) -> None:
    """Whatever answers, the command fails with 1 and says why."""
    with answering(status, body) as (url, _):
        done = run_hub("publish", "news", "1", "--url", url, "--key", "k", cwd=tmp_path)
    assert done.code == 1
    assert told in done.err


def test_nobody_there(tmp_path: Path) -> None:
    """A hub that does not run is a failure, not a traceback; a password in the address is not repeated."""
    done = run_hub("publish", "c", "1", "--url", "http://u:hunter2@127.0.0.1:1", "--key", "k", cwd=tmp_path)
    assert done.code == 1
    assert "is it running?" in done.err
    assert "hunter2" not in done.err


@pytest.mark.parametrize(
    "arguments", [[], ["--url", "ftp://x", "--key", "k"], ["--url", "http://[", "--key", "k"]]
)
def test_unusable_address_is_readable(tmp_path: Path, arguments: list[str]) -> None:
    """No hub named, or one that cannot be named so."""
    done = run_hub("publish", "news", "1", *arguments, cwd=tmp_path)
    assert done.code == 2
    assert done.err.startswith("Error: ")


def test_development_key_is_used_on_this_machine_only(tmp_path: Path) -> None:
    """Beside a development hub no key needs to be typed, and none is sent to anybody else."""
    run_hub("token", "create", "--dev", "--user", "demo", cwd=tmp_path)
    key_line = next(
        line for line in (tmp_path / ".hub/development.toml").read_text().splitlines() if "key =" in line
    )
    with answering(200, b'{"result": {}}') as (url, asked):
        assert run_hub("publish", "news", "1", "--url", url, cwd=tmp_path).code == 0
    assert asked[0]["key"] == key_line.split('"')[1]
    elsewhere = run_hub("publish", "news", "1", "--url", "http://hub.invalid", cwd=tmp_path)
    assert elsewhere.code == 1
