"""``hub notify``, ``hub trace`` and ``hub dead-letters`` against a server of the test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.hub.cli.test_publish import answering
from tests.support.command_line import run_hub

LETTER = {
    "id": "p1-7",
    "lane": "apns:com.example:production",
    "user": "7",
    "device": "install-0000000000000001",
    "notification": "n1",
    "offset": 4,
    "reason": "PayloadEmpty",
    "time": 1_700_000_000_000,
}


def answer(result: dict[str, Any]) -> bytes:
    """As the server API envelopes it."""
    return json.dumps({"result": result}).encode()


def test_notifies_users_of_flags_and_file(tmp_path: Path) -> None:
    """One user a line; what is not given is not sent."""
    (tmp_path / "users").write_text("8\n\n 9 \n")
    with answering(200, answer({"id": "n1", "accepted": 3, "duplicate": False})) as (url, asked):
        done = run_hub(
            *("notify", "--user", "7", "--users-file", "users", "--id", "n1", "--title", "Hi"),
            *("--data", '{"a": 1}', "--ttl", "60", "--url", url, "--key", "k"),
            cwd=tmp_path,
        )
        plain = run_hub(
            "notify", "--user", "7", "--body", "x", "--dry-run", "--url", url, "--key", "k", cwd=tmp_path
        )
    assert (done.code, plain.code) == (0, 0)
    assert "notified 3 users: n1" in done.out
    assert [each["request"] for each in asked] == [
        {
            "users": ["7", "8", "9"],
            "id": "n1",
            "notification": {"title": "Hi"},
            "ttl_s": 60,
            "data": {"a": 1},
        },
        {"users": ["7"], "notification": {"body": "x"}, "dry_run": True},
    ]


def test_tells_a_plan(tmp_path: Path) -> None:
    """One line a device."""
    plan = [{"user": "7", "device": "d1", "way": "socket", "wait_ms": 5000}]
    with answering(200, answer({"id": "n1", "accepted": 0, "plan": plan})) as (url, _):
        done = run_hub(
            "notify", "--user", "7", "--data", "1", "--dry-run", "--url", url, "--key", "k", cwd=tmp_path
        )
    assert "nothing was sent" in done.out
    assert "7  d1: socket, a push after 5000 ms without proof" in done.out


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--users-file", "absent"),
        ("--user", "7", "--data", "{"),
        ("--user", "7", "--data", "NaN"),
        ("--user", "7", "--data", "1e999"),
    ],
    ids=["nobody", "no such file", "no json", "no json but for python", "no number"],
)
def test_wrong_usage_is_told(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Exit code 2, and nothing is asked of the hub."""
    with answering(200, answer({})) as (url, asked):
        done = run_hub("notify", *arguments, "--url", url, "--key", "k", cwd=tmp_path)
    assert (done.code, asked) == (2, [])
    assert "Error: " in done.err


def test_shows_a_timeline(tmp_path: Path) -> None:
    """Per device, by the second, for people; as it came for programs."""
    result = {
        "devices": [
            {
                "user": "7",
                "device": "d1",
                "events": [
                    {"time": 1_700_000_000_123, "event": "accepted"},
                    {"time": 1_700_000_005_000, "event": "pushed", "detail": "200", "node": "w1"},
                ],
            }
        ]
    }
    with answering(200, answer(result)) as (url, asked):
        shown = run_hub("trace", "n1", "--user", "7", "--url", url, "--key", "k", cwd=tmp_path)
        machine = run_hub("trace", "n1", "--url", url, "--key", "k", "--json", cwd=tmp_path)
    assert shown.out.splitlines() == ["7  d1", "  22:13:20.123  accepted", "  22:13:25.000  pushed    200 w1"]
    assert machine.value == result
    assert [each["request"] for each in asked] == [{"id": "n1", "user": "7"}, {"id": "n1"}]


def test_dead_letters_are_listed_and_acted_on(tmp_path: Path) -> None:
    """By id or by lane, never by neither."""
    with answering(200, answer({"letters": [LETTER]})) as (url, asked):
        listed = run_hub("dead-letters", "list", "--url", url, "--key", "k", cwd=tmp_path)
    assert "p1-7  2023-11-14 22:13:20  apns:com.example:production  7" in listed.out
    with answering(200, answer({"count": 2})) as (url, asked):
        replayed = run_hub("dead-letters", "replay", "p1-7", "p1-8", "--url", url, "--key", "k", cwd=tmp_path)
        dropped = run_hub("dead-letters", "drop", "--lane", "l", "--url", url, "--key", "k", cwd=tmp_path)
        wrong = run_hub("dead-letters", "drop", "--url", url, "--key", "k", cwd=tmp_path)
    assert ("2 will be sent again" in replayed.out, "2 dropped" in dropped.out, wrong.code) == (True, True, 2)
    assert [(each["path"], each["request"]) for each in asked] == [
        ("/api/dead_letters_replay", {"ids": ["p1-7", "p1-8"]}),
        ("/api/dead_letters_drop", {"lane": "l"}),
    ]
