"""The phones behind a simulated FCM: what reached them, and what waits under the rules of its store.

Knows no HTTP. Four collapse keys are kept per phone, a hundred other messages, none longer than its ttl.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hub.testing.simulators.fcm.rules import ttl_s
from hub.testing.simulators.ledger import AcceptedPush

MAX_COLLAPSE_KEYS = 4
MAX_STORED = 100

State = Literal["registered", "unregistered", "other sender", "broken apns"]


@dataclass(slots=True)
class Device:
    """One registration.

    ``state``: ``unregistered`` answers UNREGISTERED, ``other sender`` SENDER_ID_MISMATCH, ``broken apns``
    (an iPhone whose project has no usable APNs key) THIRD_PARTY_AUTH_ERROR. ``deleted_messages`` says that
    too much waited, all of it was dropped, and the app is told to synchronise.
    """

    token: str = field(repr=False)
    state: State = "registered"
    online: bool = True
    received: list[AcceptedPush] = field(default_factory=list)
    collapsible: dict[str, AcceptedPush] = field(default_factory=dict)
    stored: list[AcceptedPush] = field(default_factory=list)
    deleted_messages: bool = False

    def take(self, push: AcceptedPush) -> None:
        """Show it, or keep it for later."""
        if self.online:
            self.received.append(push)
            return
        if _ttl_of(push) == 0:
            return
        key = _android(push).get("collapse_key")
        if key is not None:
            self.collapsible.pop(key, None)
            self.collapsible[key] = push
            if len(self.collapsible) > MAX_COLLAPSE_KEYS:
                # Which ones stay is not promised; here the newest do.
                del self.collapsible[next(iter(self.collapsible))]
            return
        self.stored.append(push)
        if len(self.stored) > MAX_STORED:
            self.stored.clear()
            self.deleted_messages = True

    def come_online(self, now_ms: int) -> None:
        """Receive what waited and has not expired."""
        self.online = True
        waiting = sorted([*self.stored, *self.collapsible.values()], key=lambda push: push.number)
        self.received += [push for push in waiting if now_ms - push.at_ms < _ttl_of(push) * 1000]
        self.stored.clear()
        self.collapsible.clear()


def _android(push: AcceptedPush) -> dict[str, str]:
    found = push.json["message"].get("android") or {}
    assert isinstance(found, dict)
    return found


def _ttl_of(push: AcceptedPush) -> float:
    return ttl_s(_android(push).get("ttl"))
