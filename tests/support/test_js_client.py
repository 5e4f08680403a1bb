"""The driver of the JavaScript SDK says what is wrong instead of letting a test wait."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import js_client
from tests.support.sdk import ClientOptions, EventLog, SdkError


async def test_says_how_to_install_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the SDK the test fails, naming the command that brings it; it is never skipped."""
    monkeypatch.setattr(js_client, "DIRECTORY", tmp_path)
    with pytest.raises(js_client.SdkMissing, match="make test"):
        async with js_client.js_driver():
            pass


async def test_a_dead_process_fails_whoever_waits() -> None:
    """With the end of what it wrote, and at once."""
    options = ClientOptions(url="ws://127.0.0.1:1", codec="json")
    async with js_client.js_driver() as driver:
        events = EventLog()
        async with driver.client(options) as client:
            events = client.events
            with pytest.raises(SdkError):
                await driver.call("nobody", "connect")
    with pytest.raises(AssertionError, match="The Node process ended"):
        await events.next("connected")


async def test_events_are_handed_out_once() -> None:
    """In order, by name and fields; all of them can still be looked at."""
    events = EventLog()
    for number in (1, 2, 2):
        events.add("publication", {"data": number})
    assert [(await events.next("publication", data=2))["data"] for _ in range(2)] == [2, 2]
    assert (await events.next("publication"))["data"] == 1
    assert len(events.all("publication")) == 3
    events.end("It is over.")
    with pytest.raises(AssertionError, match=r"no publication .*It is over"):
        await events.next("publication")
