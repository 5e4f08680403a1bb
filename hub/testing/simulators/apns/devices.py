"""The phones behind a simulated APNs: which token is whose, what reached them, what waits for them.

Knows no HTTP. While a phone is away the real service keeps one notification per app, the
newest; so does this.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hub.testing.simulators.ledger import AcceptedPush

MINUTE_MS = 60_000


@dataclass(slots=True)
class Device:
    """One token.

    ``topics`` are the bundle ids of the app it belongs to (None: any). ``unregistered_at_ms`` makes it a dead
    one, with ``gone_reason``. ``per_minute`` is how many pushes it takes in a minute before 429.
    ``received`` is what reached the phone, ``stored`` what waits for it, by topic.
    """

    token: str = field(repr=False)
    topics: frozenset[str] | None = None
    environment: str = "production"
    unregistered_at_ms: int | None = None
    gone_reason: str = "Unregistered"
    per_minute: int | None = None
    online: bool = True
    received: list[AcceptedPush] = field(default_factory=list)
    stored: dict[str, AcceptedPush] = field(default_factory=dict)
    discarded: int = 0
    _recent: deque[int] = field(default_factory=deque)

    def takes_one_more(self, now_ms: int) -> bool:
        """False if the minute is full; counts it otherwise."""
        if self.per_minute is None:
            return True
        while self._recent and now_ms - self._recent[0] >= MINUTE_MS:
            self._recent.popleft()
        if len(self._recent) >= self.per_minute:
            return False
        self._recent.append(now_ms)
        return True

    def take(self, push: AcceptedPush) -> None:
        """Show it, or keep it for later; ``apns-expiration: 0`` is never kept."""
        if self.online:
            self.received.append(push)
            return
        topic = push.headers.get("apns-topic", "")
        self.discarded += topic in self.stored
        if push.headers.get("apns-expiration") == "0":
            self.discarded += topic not in self.stored
            return
        self.stored[topic] = push

    def come_online(self, now_ms: int) -> None:
        """Receive what waited and has not expired."""
        self.online = True
        for push in self.stored.values():
            expiration = push.headers.get("apns-expiration")
            if expiration is not None and int(expiration) * 1000 <= now_ms:
                self.discarded += 1
            else:
                self.received.append(push)
        self.stored.clear()

    def screen(self) -> list[AcceptedPush]:
        """What a person sees: a push with the collapse id of an earlier one stands in its place."""
        shown: dict[str, AcceptedPush] = {}
        for push in self.received:
            if push.headers.get("apns-push-type", "alert") != "alert":
                continue
            shown[push.headers.get("apns-collapse-id") or f"number {push.number}"] = push
        return list(shown.values())
