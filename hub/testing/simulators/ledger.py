"""What a simulated provider took: every accepted push, in order, with questions a test asks.

Knows no wire and no rule. An entry means that the provider accepted the push; it says nothing about the
answer having arrived.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson


def hash_prefix(secret: str | bytes) -> str:
    """How a token is shown: enough to tell two apart, not enough to use one."""
    text = secret.encode() if isinstance(secret, str) else secret
    return hashlib.sha256(text).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class AcceptedPush:
    """One push that the provider took.

    ``number`` counts from 1. ``message_id``: APNs the ``apns-id``, FCM the name it answered, Web Push the
    location. ``body`` is what came (Web Push: decrypted). ``connection`` and ``stream`` say where
    it came (HTTP/1.1: the stream counts requests). ``jwt_hash`` tells apart what authorised it.
    """

    number: int
    provider: str
    at_ms: int
    token: str = field(repr=False)
    message_id: str = ""
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    connection: int = 0
    stream: int = 0
    jwt_hash: str = ""

    @property
    def token_hash(self) -> str:
        """Stands for the token wherever people look."""
        return hash_prefix(self.token)

    @property
    def json(self) -> Any:
        """The body, parsed; None if it is no JSON."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    def shown(self) -> dict[str, Any]:
        """This push for people: everything but the token."""
        return {
            "number": self.number,
            "provider": self.provider,
            "at_ms": self.at_ms,
            "token_hash": self.token_hash,
            "message_id": self.message_id,
            "connection": self.connection,
            "stream": self.stream,
            "jwt_hash": self.jwt_hash,
            "headers": dict(self.headers),
            "body": self._shown_body(),
        }

    def _shown_body(self) -> Any:
        body = self.json
        if body is None:
            return self.body.decode(errors="replace")
        # FCM has the token in the message itself.
        message = body.get("message") if isinstance(body, dict) else None
        if isinstance(message, dict):
            for name in ("token", "fid"):
                if message.get(name) == self.token:
                    message[name] = self.token_hash
        return body


class Ledger:
    """All accepted pushes, oldest first. ``keep`` bounds how many are remembered; the counts stay exact.

    ``answers`` counts every answer of the provider by (status, reason).
    """

    def __init__(self, keep: int | None = None) -> None:
        self._pushes: deque[AcceptedPush] = deque(maxlen=keep)
        self._listeners: list[Callable[[AcceptedPush], None]] = []
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self.count = 0
        self.answers: Counter[tuple[int, str]] = Counter()

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[AcceptedPush]:
        return iter(tuple(self._pushes))

    @property
    def last(self) -> AcceptedPush:
        """The newest push.

        Raises:
            IndexError: nothing was accepted yet.
        """
        return self._pushes[-1]

    def for_token(self, token: str) -> list[AcceptedPush]:
        """What was accepted for one token, oldest first."""
        return [push for push in self._pushes if push.token == token]

    def ids(self) -> list[str]:
        """Message ids in the order of acceptance."""
        return [push.message_id for push in self._pushes]

    def duplicates(
        self, key: Callable[[AcceptedPush], Any] = lambda push: push.message_id
    ) -> dict[Any, list[AcceptedPush]]:
        """What was accepted more than once, by message id or by any other ``key``."""
        found: dict[Any, list[AcceptedPush]] = defaultdict(list)
        for push in self._pushes:
            found[key(push)].append(push)
        return {name: pushes for name, pushes in found.items() if len(pushes) > 1}

    def in_order(self, key: Callable[[AcceptedPush], Any]) -> bool:
        """True if ``key`` never falls from one push to the next of the same token."""
        highest: dict[str, Any] = {}
        for push in self._pushes:
            value = key(push)
            if push.token in highest and value < highest[push.token]:
                return False
            highest[push.token] = value
        return True

    def distinct_jwts(self) -> int:
        """How many different authorisations the accepted pushes came with."""
        return len({push.jwt_hash for push in self._pushes if push.jwt_hash})

    def connections(self) -> int:
        """How many connections brought accepted pushes."""
        return len({push.connection for push in self._pushes})

    async def wait_for(self, count: int, timeout_s: float = 5.0) -> None:
        """Return once ``count`` pushes in all were accepted.

        Raises:
            TimeoutError: they were not, in time.
        """
        if self.count >= count:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((count, waiter))
        async with asyncio.timeout(timeout_s):
            await waiter

    def listen(self, on_push: Callable[[AcceptedPush], None]) -> None:
        """Call ``on_push`` with every push from now on."""
        self._listeners.append(on_push)

    def clear(self) -> None:
        """Forget everything."""
        self._pushes.clear()
        self.answers.clear()
        self.count = 0

    def add(self, push: AcceptedPush) -> None:
        """Enter one accepted push; for the simulators."""
        self._pushes.append(push)
        self.count += 1
        for on_push in self._listeners:
            on_push(push)
        if self._waiting:
            for count, waiter in self._waiting:
                if self.count >= count and not waiter.done():
                    waiter.set_result(None)
            self._waiting = [(count, waiter) for count, waiter in self._waiting if not waiter.done()]
