"""The browser behind a subscription: its keys, what it could read, and what waits for it.

Knows no HTTP. The push service never reads a body; here the browser is at hand, and does.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any, Literal

import http_ece  # type: ignore[import-untyped]
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec

from hub.testing.simulators.ledger import AcceptedPush
from hub.testing.simulators.webpush.vapid import base64url, point_of

State = Literal["active", "gone"]


@dataclass(slots=True)
class Subscription:
    """One subscription of a browser.

    ``application_key`` is the public VAPID key it was made for (empty: any may send). ``state`` ``gone``
    answers 410. ``received`` is what reached the browser; ``stored`` what waits, by topic where one was
    given.
    """

    endpoint: str = field(repr=False)
    application_key: str = ""
    state: State = "active"
    online: bool = True
    received: list[AcceptedPush] = field(default_factory=list)
    stored: dict[str, AcceptedPush] = field(default_factory=dict)
    _key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False
    )
    _auth: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)

    def json(self) -> dict[str, Any]:
        """What a web page hands to its backend: ``endpoint`` and ``keys``. A secret."""
        keys = {"p256dh": base64url(point_of(self._key.public_key())), "auth": base64url(self._auth)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys}

    def decrypted(self, body: bytes) -> bytes | None:
        """What the browser reads; None if it cannot. An empty body is an empty message."""
        if not body:
            return b""
        try:
            plain = http_ece.decrypt(body, private_key=self._key, auth_secret=self._auth, version="aes128gcm")
        except (http_ece.ECEException, InvalidTag, ValueError, IndexError, KeyError):
            return None
        return bytes(plain)

    def take(self, push: AcceptedPush) -> None:
        """Show it, or keep it for later: of a topic only the newest, with ``TTL: 0`` nothing."""
        if self.online:
            self.received.append(push)
        elif push.headers.get("ttl") != "0":
            self.stored[push.headers.get("topic") or f"number {push.number}"] = push

    def come_online(self, now_ms: int) -> None:
        """Receive what waited and has not expired."""
        self.online = True
        waiting = sorted(self.stored.values(), key=lambda push: push.number)
        self.received += [p for p in waiting if now_ms - p.at_ms < int(p.headers["ttl"]) * 1000]
        self.stored.clear()
