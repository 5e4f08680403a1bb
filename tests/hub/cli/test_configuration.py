"""``hub config``."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.support.command_line import run_hub

SECRET = "a-secret-that-is-long-enough-for-any-hmac"


def test_wrong_settings_are_all_named_with_their_source(tmp_path: Path) -> None:
    """One run names every mistake, the file or variable it was made in, and exits with 2."""
    file = tmp_path / "hub.toml"
    file.write_text('[http]\nprot = 1\nport = "many"\n[channels.without_namespace]\nhistory_size = 5\n')
    env = {"HUB_PING__INTERVAL_S": "soon", "HUB_HTTP__HOTS": "x"}
    done = run_hub("config", "check", "--config", "hub.toml", cwd=tmp_path, env=env)
    assert done.code == 2
    assert done.out == ""
    assert "6 mistakes" in done.err
    for line in (
        'hub.toml: http.prot: is not a setting; did you mean "port"?',
        "hub.toml: http.port: should be a whole number",
        "hub.toml: channels.without_namespace.history_size: is of no use without history_ttl",
        "HUB_PING__INTERVAL_S: ping.interval_s: should be a whole number",
        "HUB_HTTP__HOTS: is not a setting; did you mean HUB_HTTP__HOST?",
        "not set: auth: there is nothing to verify the tokens of clients with",
    ):
        assert line in done.err


def test_mistakes_as_json(tmp_path: Path) -> None:
    """A program reads the same from standard output."""
    done = run_hub("config", "check", "--json", cwd=tmp_path, env={"HUB_PORT": "1"})
    assert done.code == 2
    problems = done.value["error"]["problems"]
    assert {problem["source"] for problem in problems} == {"HUB_PORT", "not set"}


def test_what_only_a_room_can_judge_is_named_too(tmp_path: Path) -> None:
    """A key that is no key and an origin that is no origin are mistakes like any other."""
    (tmp_path / "key.pem").write_text("not a key")
    env = {"HUB_AUTH__PEM_FILES": "key.pem", "HUB_HTTP__ALLOWED_ORIGINS": "https://a.example/path"}
    done = run_hub("config", "check", cwd=tmp_path, env=env)
    assert done.code == 2
    assert "HUB_AUTH__PEM_FILES: auth.pem_files[0]: key.pem: no PEM block found" in done.err
    assert "HUB_HTTP__ALLOWED_ORIGINS: http.allowed_origins: not an origin" in done.err


def test_settings_in_order(tmp_path: Path) -> None:
    """A hub that can be served is told so, with what is unwise about it."""
    done = run_hub("config", "check", cwd=tmp_path, env={"HUB_AUTH__SECRET": SECRET})
    assert done.code == 0
    assert "in order" in done.out
    assert "the server API refuses every call" in done.out


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_show_prints_no_secret(tmp_path: Path, extra: list[str]) -> None:
    """What is in force, where it came from, and asterisks for secrets, also inside lists of tables."""
    file = tmp_path / "hub.toml"
    file.write_text('[[api.keys]]\nname = "a"\nkey = "sesame-open"\nscopes = ["admin"]\n')
    env = {"HUB_AUTH__SECRET": SECRET, "HUB_REDIS__URL": "redis://:sesame-open@cache/0"}
    done = run_hub("config", "show", "--config", "hub.toml", *extra, cwd=tmp_path, env=env)
    assert done.code == 0
    assert SECRET not in done.out + done.err
    assert "sesame-open" not in done.out + done.err
    if extra:
        assert done.value["settings"]["auth"]["secret"] == "***"
        assert done.value["sources"]["auth.secret"] == "HUB_AUTH__SECRET"
    else:
        assert 'auth.secret = "***"  # HUB_AUTH__SECRET' in done.out
        assert "http.port = 8000  # default" in done.out
        assert "# hub.toml" in done.out


def test_defaults_are_a_settings_file(tmp_path: Path) -> None:
    """What is printed is TOML to start from; as JSON every setting has its variable and meaning."""
    assert tomllib.loads(run_hub("config", "defaults", cwd=tmp_path).out)["http"]["port"] == 8000
    settings = run_hub("config", "defaults", "--json", cwd=tmp_path).value["settings"]
    (port,) = [setting for setting in settings if setting["key"] == "http.port"]
    assert (port["variable"], port["default"]) == ("HUB_HTTP__PORT", 8000)
