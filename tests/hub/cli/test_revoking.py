"""``hub users`` and ``hub token revoke`` against a server of the test."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.hub.cli.test_notify import answer
from tests.hub.cli.test_publish import answering
from tests.support.command_line import run_hub

MOMENT = "2099-01-31T18:00:00+01:00"
MOMENT_MS = int(datetime(2099, 1, 31, 17, tzinfo=UTC).timestamp() * 1000)


def test_blocks_and_unblocks(tmp_path: Path) -> None:
    """For good, for a while, until a time; and lets in again."""
    with answering(200, answer({})) as (url, asked):
        to = ("--url", url, "--key", "k")
        began_ms = time.time() * 1000
        for_good = run_hub("users", "block", "7", *to, cwd=tmp_path)
        for_a_while = run_hub("users", "block", "7", "--until", "2h", *to, cwd=tmp_path)
        until = run_hub("users", "block", "7", "--until", MOMENT, "--json", *to, cwd=tmp_path)
        again = run_hub("users", "unblock", "7", *to, cwd=tmp_path)
        ended_ms = time.time() * 1000
    assert [each.code for each in (for_good, for_a_while, until, again)] == [0, 0, 0, 0]
    assert "blocked 7 for good" in for_good.out
    assert until.value == {"user": "7", "until": MOMENT_MS}
    assert [each["path"] for each in asked] == ["/api/user_block"] * 3 + ["/api/user_unblock"]
    assert asked[0]["request"] == asked[3]["request"] == {"user": "7"}
    assert began_ms - 1 <= asked[1]["request"]["until"] - 7_200_000 <= ended_ms


def test_revokes_tokens(tmp_path: Path) -> None:
    """One by its id; those of a user from before now or before a time, which is UTC if it does not say."""
    with answering(200, answer({})) as (url, asked):
        to = ("token", "revoke", "--url", url, "--key", "k")
        began_ms = time.time() * 1000
        one = run_hub(*to, "--jti", "j", "--until", MOMENT, cwd=tmp_path)
        all_now = run_hub(*to, "--user", "7", cwd=tmp_path)
        older = run_hub(*to, "--user", "7", "--before", "2099-01-31T17:00:00", cwd=tmp_path)
        ended_ms = time.time() * 1000
    assert [each.code for each in (one, all_now, older)] == [0, 0, 0]
    assert "issued before 2099-01-31T17:00:00+00:00" in older.out
    requests = [each["request"] for each in asked]
    assert requests[0] == {"jti": "j", "until": MOMENT_MS}
    assert requests[1]["user"] == "7"
    assert began_ms - 1 <= requests[1]["issued_before"] <= ended_ms
    assert requests[2] == {"user": "7", "issued_before": MOMENT_MS}


@pytest.mark.parametrize(
    "arguments",
    [
        ("token", "revoke"),
        ("token", "revoke", "--jti", "j", "--user", "7"),
        ("token", "revoke", "--user", "7", "--before", "yesterday"),
        ("users", "block", "7", "--until", "soon"),
    ],
)
def test_refuses_what_it_does_not_understand(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Without asking a hub."""
    done = run_hub(*arguments, "--url", "http://127.0.0.1:9", "--key", "k", cwd=tmp_path)
    assert done.code == 2
