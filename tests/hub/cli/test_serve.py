"""``hub serve``: what it refuses before anything runs."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.command_line import run_hub
from tests.support.processes import free_port

SECRET = {"HUB_AUTH__SECRET": "a-secret-that-is-long-enough-for-any-hmac"}


def test_hub_without_any_key_is_refused_with_advice(tmp_path: Path) -> None:
    """The line of the Procfile with nothing set says what to set."""
    done = run_hub("serve", "--host", "0.0.0.0", cwd=tmp_path, env={"PORT": "0"})
    assert done.code == 2
    assert "HUB_AUTH__SECRET" in done.err
    assert "hub serve --dev" in done.err


def test_insecure_public_address_is_refused(tmp_path: Path) -> None:
    """The message names the flag, and the flag names the danger."""
    env = {"HUB_INSECURE__CLIENT": "true"}
    done = run_hub("serve", "--host", "0.0.0.0", cwd=tmp_path, env=env)
    assert done.code == 2
    assert "command line: http.host: others can reach this address" in done.err
    assert "--allow-insecure-public-bind" in done.err


def test_short_secret_is_refused(tmp_path: Path) -> None:
    """It is not repeated, and the way out is named."""
    done = run_hub("serve", cwd=tmp_path, env={"HUB_AUTH__SECRET": "opensesame"})
    assert done.code == 2
    assert "HUB_AUTH__SECRET: auth.secret: is shorter than 32 bytes" in done.err
    assert "HUB_INSECURE__SHORT_SECRETS" in done.err
    assert "opensesame" not in done.err


@pytest.mark.parametrize("variable", ["REDIS_URL", "HUB_REDIS__URL"])
def test_redis_that_does_not_answer_is_named_without_its_password(tmp_path: Path, variable: str) -> None:
    """A hub without its engine does not start."""
    url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    env = SECRET | {variable: url, "HUB_HTTP__PORT": "0"}
    done = run_hub("serve", cwd=tmp_path, env=env)
    assert done.code == 1
    assert "Redis" in done.err
    assert "hunter2" not in done.err + done.out


@pytest.mark.parametrize("url", ["http://cache", "redis+sentinel://cache", "nonsense"])
def test_an_address_that_is_none_of_redis_is_a_mistake_in_the_settings(tmp_path: Path, url: str) -> None:
    """Named by where it was written."""
    done = run_hub("serve", cwd=tmp_path, env=SECRET | {"HUB_REDIS__URL": url})
    assert done.code == 2
    assert "HUB_REDIS__URL: redis.url" in done.err


def test_several_processes_are_refused(tmp_path: Path) -> None:
    """Each would be a world of its own."""
    done = run_hub("serve", "--processes", "2", cwd=tmp_path, env=SECRET)
    assert done.code == 2
    assert "memory engine" in done.err


@pytest.mark.parametrize(
    "arguments", [["--prot", "1"], ["--port", "99999"], ["--profile", "no"], ["--config", "no.toml"]]
)
def test_wrong_usage_exits_with_2(tmp_path: Path, arguments: list[str]) -> None:
    """Flags that do not exist, and values that cannot be."""
    assert run_hub("serve", *arguments, cwd=tmp_path, env=SECRET).code == 2


def test_unwritable_directory_is_a_readable_mistake(tmp_path: Path) -> None:
    """Development mode needs a place for its secrets."""
    (tmp_path / ".hub").write_text("a file is in the way")
    done = run_hub("serve", "--dev", cwd=tmp_path)
    assert done.code == 2
    assert "cannot be written" in done.err


def test_every_kind_of_mistake_is_named_at_once(tmp_path: Path) -> None:
    """A value, a key and a certificate: what only the rooms can judge is not kept for the next try."""
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no PEM at all")
    env = {
        "HUB_PING__PONG_TIMEOUT_S": "99",
        "HUB_AUTH__PEM_FILES": str(nonsense),
        "HUB_HTTP__TLS_CERT": str(nonsense),
        "HUB_HTTP__TLS_KEY": str(nonsense),
    }
    for command in (("serve",), ("config", "check")):
        done = run_hub(*command, cwd=tmp_path, env=env)
        assert done.code == 2
        assert "HUB_PING__PONG_TIMEOUT_S: ping.pong_timeout_s" in done.err
        assert "HUB_AUTH__PEM_FILES: auth.pem_files[0]" in done.err
        assert "HUB_HTTP__TLS_CERT: http.tls_cert" in done.err


def test_a_taken_port_is_told_with_advice(tmp_path: Path) -> None:
    """Most often it is a hub that was forgotten."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_hub("serve", "--dev", "--port", str(port), cwd=tmp_path)
    assert done.code == 1
    assert f"Address already in use (127.0.0.1:{port}): does another one run? --port takes" in done.err
    assert "abandoned" not in done.err + done.out
