"""What is told about requests that cannot be read."""

from __future__ import annotations

import msgspec
import pytest

from hub.api import notification_requests as q
from hub.api.complaint import MAX_COMPLAINT, complaint_of
from hub.api.requests import PublishRequest


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        (q.NotifyRequest, b'{"users": [], "priority": "urgent"}', "`priority` is one of high, normal"),
        (q.StateFields, b'{"state": "`$.a`"}', "`state` is one of background, foreground"),
        (q.NotifyRequest, b'{"users": "7"}', "Expected `array`, got `str` - at `$.users`"),
        (
            PublishRequest,
            b'{"channel": "a", "notify": {"users": [], "fallback": "sms"}}',
            "`notify.fallback` is one of none, push",
        ),
    ],
    ids=["choice", "quoted path", "type", "inside"],
)
def test_it_says_what_would_do(kind: type[msgspec.Struct], body: bytes, told: str) -> None:
    """The field, and its values or its type."""
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(body, type=kind)
    assert complaint_of(kind, refused.value) == told


def test_it_is_short() -> None:
    """Whatever is quoted in it."""
    assert len(complaint_of(q.NotifyRequest, ValueError("x" * 10_000))) == MAX_COMPLAINT
