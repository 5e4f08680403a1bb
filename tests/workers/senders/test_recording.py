"""What development sees in place of a phone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.workers.payloads.pushes import HUB, TOKEN, push, target
from workers.push import Outcome, Push, Verdict
from workers.senders.port import BadCredentials
from workers.senders.recording import RecordingOptions, RecordingSender


async def test_every_push_is_one_line_of_json(tmp_path: Path) -> None:
    """Appended to what is there, with all that the phone would have got."""
    path = tmp_path / "pushes.jsonl"
    for _ in range(2):
        sender = RecordingSender(RecordingOptions("dev", path))
        await sender.start()
        assert await sender.send(push()) == Outcome(Verdict.ACCEPTED, provider_id=push().push_id)
        await sender.stop()
    first, second = [json.loads(line) for line in path.read_text().splitlines()]
    assert first == second
    assert first["hub"] == HUB
    assert first["notification"] == {"title": "Ben", "body": "Lunch?"}
    assert (first["user"], first["device"], first["token_hash"]) == (
        "ann",
        "6c1f0b8e-phone-of-ann",
        "1f2e3d4c",
    )


async def test_without_a_file_it_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Where a developer looks first."""
    sender = RecordingSender(RecordingOptions("dev"))
    await sender.start()
    with caplog.at_level("INFO", logger="workers.senders.recording"):
        await sender.send(push())
    assert "Lunch?" in caplog.text


async def test_neither_token_nor_subscription_is_written(tmp_path: Path) -> None:
    """They let anybody push to that phone."""
    path = tmp_path / "pushes.jsonl"
    sender = RecordingSender(RecordingOptions("dev", path))
    subscription = {"endpoint": "https://push.example/secret", "keys": {"p256dh": "pub", "auth": "hush-hush"}}
    full_hash = "ab" * 32
    await sender.send(push(target=target(subscription=subscription, token_hash=full_hash)))
    text = path.read_text()
    assert not [secret for secret in (TOKEN, "secret", "hush-hush", full_hash) if secret in text]
    assert full_hash[:12] in text


async def test_outcomes_can_be_scripted() -> None:
    """At once or after a while, by looking at the push."""

    async def slowly(given: Push) -> Outcome:
        return Outcome(Verdict.LATER, given.kind)

    gone = RecordingSender(RecordingOptions("dev"), lambda _: Outcome(Verdict.GONE))
    later = RecordingSender(RecordingOptions("dev"), slowly)
    assert (await gone.send(push())).verdict is Verdict.GONE
    assert await later.send(push(kind="sync")) == Outcome(Verdict.LATER, "sync")


async def test_a_file_that_cannot_be_written_fails_the_start_by_name(tmp_path: Path) -> None:
    """And a disk that fails later is an outcome."""
    sender = RecordingSender(RecordingOptions("dev", tmp_path / "none" / "pushes.jsonl"))
    with pytest.raises(BadCredentials, match=r"push app 'dev' \(recording\): .*pushes\.jsonl"):
        await sender.start()
    assert (await sender.send(push())).verdict is Verdict.LATER


async def test_what_json_cannot_express_is_a_dead_letter() -> None:
    """As it would be with a real provider."""
    outcome = await RecordingSender(RecordingOptions("dev")).send(push(data={"x": object()}))
    assert outcome.verdict is Verdict.DEAD
