"""From ``push.apps`` to lanes and senders, and from the delays to those of a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config import Settings, read_settings
from hub.from_push_settings import lane_plans, worker_options
from tests.support.apns import MemoryShelf
from workers.senders.port import BadCredentials

RECORDING = {"name": "demo", "provider": "recording"}


def settings(*apps: dict[str, Any], **overrides: Any) -> Settings:
    """Settings with these apps."""
    base = {"insecure.client": True, "http.host": "127.0.0.1", "push.apps": list(apps)}
    return read_settings(None, {}, base | {k.replace("__", "."): v for k, v in overrides.items()}).settings


def test_each_app_is_a_lane_of_its_own() -> None:
    """Named as devices register, with the concurrency of its app."""
    plans = lane_plans(settings(RECORDING | {"concurrency": 7}, RECORDING | {"environment": "sandbox"}))
    assert [(plan.name, plan.concurrency) for plan in plans] == [
        ("recording:demo:production", 7),
        ("recording:demo:sandbox", 100),
    ]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (["recording:demo:sandbox"], ["recording:demo:sandbox"]),
        (["recording:*"], ["recording:demo:production", "recording:demo:sandbox"]),
        (["*:sandbox", "apns:*"], ["recording:demo:sandbox"]),
        (["apns:*"], []),
    ],
)
def test_lanes_can_be_chosen(chosen: list[str], expected: list[str]) -> None:
    """By name or by pattern."""
    both = settings(RECORDING, RECORDING | {"environment": "sandbox"})
    assert [plan.name for plan in lane_plans(both, chosen)] == expected


async def test_a_recording_app_writes_where_its_credentials_point(tmp_path: Path) -> None:
    """Made and started as a worker does it."""
    [plan] = lane_plans(settings(RECORDING | {"credentials": str(tmp_path / "pushes")}))
    sender = plan.make_sender(MemoryShelf())
    await sender.start()
    await sender.stop()
    assert (tmp_path / "pushes").exists()


@pytest.mark.parametrize("provider", ["apns", "fcm", "webpush"])
async def test_credentials_that_are_none_are_refused_at_the_start(tmp_path: Path, provider: str) -> None:
    """As bad credentials, and not as some other failure; what the file holds is not told."""
    secret = tmp_path / "key.p8"
    secret.write_text("hunter2hunter2")
    extra = {
        "apns": {"key_id": "A" * 10, "team_id": "B" * 10},
        "fcm": {},
        "webpush": {"subject": "mailto:a@example.com"},
    }[provider]
    app = {"name": "com.example", "provider": provider, "credentials": str(secret), **extra}
    [plan] = lane_plans(settings(app))
    with pytest.raises(BadCredentials) as raised:
        await plan.make_sender(MemoryShelf()).start()
    assert "com.example" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_key_that_vanished_is_named_by_its_place(tmp_path: Path) -> None:
    """Between the check of the settings and the start."""
    path = tmp_path / "key.p8"
    path.write_text("key")
    app = {
        "name": "com.example",
        "provider": "apns",
        "credentials": str(path),
        "key_id": "A" * 10,
        "team_id": "B" * 10,
    }
    [plan] = lane_plans(settings(app))
    path.unlink()
    with pytest.raises(BadCredentials, match=r"push\.apps\[0\]\.credentials"):
        plan.make_sender(MemoryShelf())


@pytest.mark.parametrize(("claim_s", "deadline_s"), [(30, 12.0), (3, 1.2), (60, 12.0)])
def test_an_attempt_and_its_end_fit_into_a_claim(claim_s: float, deadline_s: float) -> None:
    """Twelve of thirty seconds, and as much less as a claim is shorter."""
    options = worker_options(settings(RECORDING, delivery__claim_s=claim_s)).dispatcher.serving
    assert options.request_deadline_s == pytest.approx(deadline_s)
    assert options.min_claim_left_s == claim_s / 2
    assert options.request_deadline_s < options.min_claim_left_s
