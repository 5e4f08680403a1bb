"""The simulated push service itself: judges headers and signatures, and answers as browsers' services do.

What a service cannot know, whether the body can be read, is noted in ``undecryptable``.
"""

from __future__ import annotations

import re
import secrets

import orjson

from hub.testing.simulators.authority import Authority
from hub.testing.simulators.faults import Fault
from hub.testing.simulators.http import Exchange, Reply, Request, json_headers
from hub.testing.simulators.http2 import Http2Options
from hub.testing.simulators.ledger import AcceptedPush, hash_prefix
from hub.testing.simulators.provider import NowMs, ProviderSimulator, wall_clock_ms
from hub.testing.simulators.webpush import vapid
from hub.testing.simulators.webpush.subscriptions import Subscription

MAX_BODY_BYTES = 4096
MAX_TTL = re.compile(r"\d{1,10}")
TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
URGENCIES = ("very-low", "low", "normal", "high")
PATH = "/push/"


class WebPushSimulator(ProviderSimulator):
    """A browser's push service on loopback, HTTPS with HTTP/2 or HTTP/1.1 as the client likes.

    >>> async with WebPushSimulator() as service:
    ...     subscription = service.subscribe()
    ...     subscription.json()  # what a device is registered with
    ...     service.script(subscription.endpoint, [Fault.answer(429, retry_after_s=5)])
    ...     service.redirect_to = "https://127.0.0.1:9/"  # every push is answered 307
    ...     ...  # send, trusting service.ca_file
    ...     await service.ledger.wait_for(1)

    Scripts know a push by its endpoint, and so does the ledger; an entry's body is the decrypted one.
    A push that the browser could not read is accepted, as in life, and its number is in ``undecryptable``.
    """

    name = "webpush"

    def __init__(
        self,
        *,
        authority: Authority | None = None,
        http2: Http2Options | None = None,
        now_ms: NowMs = wall_clock_ms,
        seed: int = 0,
        keep: int | None = None,
    ) -> None:
        http2 = http2 or Http2Options(streams=100)
        super().__init__(authority=authority, http2=http2, now_ms=now_ms, seed=seed, keep=keep)
        self.subscriptions: dict[str, Subscription] = {}
        self.redirect_to: str | None = None
        self.undecryptable: list[int] = []

    def subscribe(self, application_key: str = "") -> Subscription:
        """A new subscription; only the holder of ``application_key`` may send. Call it after ``start``."""
        path = PATH + secrets.token_urlsafe(32)
        subscription = self.subscriptions[path] = Subscription(self.url + path, application_key)
        return subscription

    def unsubscribe(self, endpoint: str) -> None:
        """The browser is gone: 410 from now on."""
        self.subscriptions[endpoint.removeprefix(self.url)].state = "gone"

    def forget(self, endpoint: str) -> None:
        """Such a subscription never was: 404 from now on."""
        del self.subscriptions[endpoint.removeprefix(self.url)]

    def _recipient(self, request: Request) -> str:
        return self.url + request.path

    def _judged(self, exchange: Exchange) -> Reply:
        request = exchange.request
        if self.redirect_to is not None:
            return Reply(307, b"", {"location": self.redirect_to}, "redirect")
        subscription = self.subscriptions.get(request.path)
        if subscription is None:
            return _refused(404, "unknown subscription")
        if request.method != "POST":
            return _refused(405, "method not allowed")
        now_ms = self.now_ms()
        authorization = request.headers.get("authorization", "")
        problem, key = vapid.problem(authorization, self._audiences(), now_ms / 1000)
        if problem:
            return _refused(401 if not authorization else 403, problem)
        if subscription.application_key not in ("", key):
            return _refused(403, "the subscription belongs to another application server")
        if subscription.state == "gone":
            return _refused(410, "the subscription has ended")
        if refusal := _header_refusal(request):
            return refusal
        return self._taken(exchange, subscription, now_ms)

    def _taken(self, exchange: Exchange, subscription: Subscription, now_ms: int) -> Reply:
        request, number = exchange.request, self.ledger.count + 1
        plain = subscription.decrypted(request.body)
        if plain is None:
            self.undecryptable.append(number)
        location = f"{self.url}/message/{secrets.token_urlsafe(12)}"
        push = AcceptedPush(
            number,
            self.name,
            now_ms,
            subscription.endpoint,
            location,
            request.body if plain is None else plain,
            {name: request.headers[name] for name in ("ttl", "urgency", "topic") if name in request.headers},
            exchange.connection.number,
            exchange.stream,
            hash_prefix(request.headers["authorization"]),
        )
        self.ledger.add(push)
        if plain is not None:
            subscription.take(push)
        return Reply(201, b"", {"location": location, "ttl": request.headers["ttl"]})

    def _audiences(self) -> tuple[str, ...]:
        return (self.url, f"https://localhost:{self.port}")

    def _refusal(self, request: Request, fault: Fault) -> Reply:
        return _refused(fault.status, fault.reason or "scripted")

    def _renamed(self, reply: Reply, fault: Fault) -> None:
        reply.headers.pop("location", None)


def _header_refusal(request: Request) -> Reply | None:
    headers = request.headers
    if not MAX_TTL.fullmatch(headers.get("ttl", "")):
        return _refused(400, "the TTL header is missing or no number")
    if headers.get("urgency", "normal") not in URGENCIES:
        return _refused(400, "unknown urgency")
    if "topic" in headers and not TOPIC.fullmatch(headers["topic"]):
        return _refused(400, "a topic has at most 32 characters of base64url")
    if len(request.body) > MAX_BODY_BYTES:
        return _refused(413, "the body is too large")
    if request.body and headers.get("content-encoding") != "aes128gcm":
        return _refused(400, "the content encoding must be aes128gcm")
    return None


def _refused(status: int, reason: str) -> Reply:
    return Reply(status, orjson.dumps({"code": status, "reason": reason}), json_headers(), reason)
