"""``hub devices``: list and remove through a hub, export and import straight out of Redis."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.hub.cli.test_notify import answer
from tests.hub.cli.test_publish import answering
from tests.support.command_line import run_hub
from tests.support.shared_redis import empty_redis

DEVICE = {
    "id": "install-0000000000000001",
    "platform": "ios",
    "provider": "apns",
    "app": "com.example",
    "environment": "production",
    "token_hash": "0a1b2c3d",
    "state": "offline",
    "last_seen": 1,
    "acked": 3,
    "owed": 1,
}


def line(user: str, device: str, token: str) -> str:
    """One registration as export writes it."""
    record = {
        "platform": "ios",
        "provider": "apns",
        "app": "com.example",
        "environment": "production",
        "token": token,
        "locale": "",
        "timezone": "",
        "app_version": "",
    }
    return json.dumps({"user": user, "device": device, "record": record, "token_updated_ms": 7})


def test_lists_and_removes(tmp_path: Path) -> None:
    """One line a device, the token as the beginning of its hash."""
    without_token = DEVICE | {"id": "install-0000000000000002", "token_hash": ""}
    with answering(200, answer({"devices": [DEVICE, without_token]})) as (url, asked):
        listed = run_hub("devices", "list", "7", "--url", url, "--key", "k", cwd=tmp_path)
        removed = run_hub("devices", "remove", "7", DEVICE["id"], "--url", url, "--key", "k", cwd=tmp_path)
    assert "apns:com.example:production  token 0a1b2c3d…  offline  acked 3, owed 1" in listed.out
    assert "apns:com.example:production  no token  offline" in listed.out
    assert removed.code == 0
    assert [each["request"] for each in asked] == [{"user": "7"}, {"user": "7", "id": DEVICE["id"]}]


def test_what_was_exported_can_be_imported(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Everything comes back, into a file that only its owner may read."""
    env = {"HUB_REDIS__URL": empty_redis("standalone", request).url}
    lines = [
        line("7", "install-0000000000000001", "aa" * 32),
        line("8", "install-0000000000000002", "bb" * 32),
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    imported = run_hub("devices", "import", "in.jsonl", cwd=tmp_path, env=env)
    exported = run_hub("devices", "export", "out.jsonl", "--json", cwd=tmp_path, env=env)
    piped = run_hub("devices", "export", cwd=tmp_path, env=env)
    assert (imported.code, exported.value) == (0, {"exported": 2})
    out = tmp_path / "out.jsonl"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600

    def records(text: str) -> list[tuple[str, str, str]]:
        found = map(json.loads, text.splitlines())
        return sorted((each["user"], each["device"], each["record"]["token"]) for each in found)

    assert records(out.read_text()) == records("\n".join(lines)) == records(piped.out)


def test_a_bad_line_imports_nothing(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """It is named by its number, and not quoted: it may hold a token."""
    env = {"HUB_REDIS__URL": empty_redis("standalone", request).url}
    (tmp_path / "in.jsonl").write_text(
        line("7", "install-0000000000000001", "aa" * 32) + '\n{"secret": "s3cr3t"}\n'
    )
    done = run_hub("devices", "import", "in.jsonl", cwd=tmp_path, env=env)
    assert done.code == 2
    assert "line 2" in done.err
    assert "s3cr3t" not in done.err
    assert run_hub("devices", "export", cwd=tmp_path, env=env).out == ""


def test_the_embedded_engine_has_nothing_to_export(tmp_path: Path) -> None:
    """Said so, with what to do."""
    done = run_hub("devices", "export", cwd=tmp_path)
    assert done.code == 2
    assert "HUB_REDIS__URL" in done.err
