"""Blocking and revoking, by what reaches the node."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from hub.api.revoking import KEPT_MS
from hub.errors import LIMIT_EXCEEDED, EngineUnavailable, HubError
from tests.support.recording_node import RecordingNode

DONE: dict[str, Any] = {"result": {}}
FAR_MS = 4_000_000_000_000


async def test_blocks_and_unblocks(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """For good without a time; ``null`` is none."""
    for until in (None, FAR_MS):
        assert (await http.post("/user_block", json={"user": "7", "until": until})).json() == DONE
        assert node.last == ("block", {"user": "7", "until_ms": until})
    assert (await http.post("/user_unblock", json={"user": "7"})).json() == DONE
    assert node.last == ("unblock", {"user": "7"})


async def test_revokes_by_id_or_by_user(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """Kept as long as the call says."""
    assert (await http.post("/token_revoke", json={"jti": "j", "until": FAR_MS})).json() == DONE
    assert node.last == ("revoke_token", {"token_id": "j", "until_ms": FAR_MS})
    older = {"user": "7", "issued_before": 1_700_000_000_000}
    assert (await http.post("/token_revoke", json=older | {"until": FAR_MS})).json() == DONE
    assert node.last == (
        "revoke_issued_before",
        {"user": "7", "before_ms": 1_700_000_000_000, "until_ms": FAR_MS},
    )


async def test_tokens_are_remembered_for_long_without_a_word(
    http: httpx.AsyncClient, node: RecordingNode
) -> None:
    """Longer than tokens live."""
    before_ms = int(time.time() * 1000)
    await http.post("/token_revoke", json={"jti": "j"})
    after_ms = int(time.time() * 1000)
    assert before_ms + KEPT_MS <= node.last[1]["until_ms"] <= after_ms + KEPT_MS


@pytest.mark.parametrize(
    ("method", "request_body"),
    [
        ("user_block", {}),
        ("user_block", {"user": ""}),
        ("user_block", {"user": "7", "until": 1_000}),
        ("user_block", {"user": "7", "until": 1_900_000_000}),
        ("user_block", {"user": "7", "until": 1_500_000_000_000}),
        ("user_block", {"user": "7", "client": "c"}),
        ("user_unblock", {"user": ""}),
        ("token_revoke", {}),
        ("token_revoke", {"jti": ""}),
        ("token_revoke", {"user": "7"}),
        ("token_revoke", {"issued_before": FAR_MS}),
        ("token_revoke", {"jti": "j", "user": "7", "issued_before": FAR_MS}),
        ("token_revoke", {"jti": "j", "issued_before": FAR_MS}),
        ("token_revoke", {"user": "7", "issued_before": 1_700_000_000}),
        ("token_revoke", {"jti": "j", "until": 1_500_000_000_000}),
    ],
)
async def test_what_makes_no_sense_is_refused(
    http: httpx.AsyncClient, node: RecordingNode, method: str, request_body: dict[str, Any]
) -> None:
    """Nobody, seconds in place of milliseconds, times that are over, both kinds at once."""
    answer = (await http.post(f"/{method}", json=request_body)).json()
    assert answer["error"]["code"] == 107
    assert node.calls == []


async def test_refusals_are_told(http: httpx.AsyncClient, node: RecordingNode) -> None:
    """A limit as an error, an engine that is away as 503: it may be called again."""
    node.failures["block"] = HubError(LIMIT_EXCEEDED, "there are 2 revocations already")
    answer = (await http.post("/user_block", json={"user": "7"})).json()
    assert (answer["error"]["code"], answer["error"]["detail"]) == (106, "there are 2 revocations already")
    node.failures["unblock"] = EngineUnavailable()
    assert (await http.post("/user_unblock", json={"user": "7"})).status_code == 503
