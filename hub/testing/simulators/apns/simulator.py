"""The simulated APNs itself: judges each request by the rules, its key and its device.

Nothing that it accepts goes anywhere but into the ledger and to the phones of the test.
"""

from __future__ import annotations

import uuid
from typing import Any

import orjson

from hub.testing.simulators.apns.devices import Device
from hub.testing.simulators.apns.keys import (
    TEAM_ID,
    ApnsKey,
    ProviderTokens,
    TokenRefused,
    UpdateScope,
    new_key,
)
from hub.testing.simulators.apns.rules import (
    HEX,
    PATH,
    STATUS,
    TOPIC_SUFFIX,
    UUID,
    Rules,
    body_refusal,
    header_refusal,
    line_refusal,
)
from hub.testing.simulators.authority import Authority
from hub.testing.simulators.faults import Fault
from hub.testing.simulators.http import Exchange, Reply, Request
from hub.testing.simulators.http2 import Http2Options
from hub.testing.simulators.ledger import AcceptedPush
from hub.testing.simulators.provider import NowMs, ProviderSimulator, wall_clock_ms


class ApnsSimulator(ProviderSimulator):
    """APNs on loopback, HTTP/2 over TLS.

    >>> async with ApnsSimulator() as apns:
    ...     key = apns.key  # .key_id, .team_id, .p8: what a sender is configured with
    ...     apns.script(token, [Fault.answer(503, "ServiceUnavailable"), Fault.none()])
    ...     ...  # send to 127.0.0.1:apns.port, trusting apns.ca_file
    ...     await apns.ledger.wait_for(1)

    ``streams`` is how many requests a connection may have open: a number, or ``"grow"`` for one until the
    first valid token and 1000 from then on. ``environment`` is ``production`` or ``sandbox``. ``topics`` are
    the bundle ids that the account may push to (None: any). ``unknown_devices`` False answers
    BadDeviceToken to every token that was not registered here; else any hexadecimal token is a living phone.
    ``token_updates`` says where too many new JWTs are counted. ``patience`` ends a connection gracefully
    after that many 4xx answers (410 not counted). ``client_certificates`` lets clients authenticate by a
    certificate of ``authority.issue_client(topic)`` in place of a JWT. ``strict_headers`` False is
    quicker, for load.
    """

    name = "apns"
    alpn = ("h2",)

    def __init__(
        self,
        *,
        environment: str = "production",
        streams: int | str = 1000,
        topics: frozenset[str] | set[str] | None = None,
        unknown_devices: bool = True,
        token_updates: UpdateScope = "connection",
        wrong_environment_reason: str = "BadEnvironmentKeyIdInToken",
        rules: Rules | None = None,
        patience: int | None = None,
        client_certificates: bool = True,
        strict_headers: bool = True,
        key: ApnsKey | None = None,
        authority: Authority | None = None,
        now_ms: NowMs = wall_clock_ms,
        seed: int = 0,
        keep: int | None = None,
    ) -> None:
        self.grows = streams == "grow"
        super().__init__(
            authority=authority,
            http2=Http2Options(1 if self.grows else int(streams), strict_headers=strict_headers),
            ask_for_certificate=client_certificates,
            now_ms=now_ms,
            seed=seed,
            keep=keep,
        )
        self.environment = environment
        self.topics = None if topics is None else frozenset(topics)
        self.unknown_devices = unknown_devices
        self.rules = rules or Rules()
        self.patience = patience
        self.tokens = ProviderTokens(environment, token_updates, wrong_environment_reason)
        self.devices: dict[str, Device] = {}
        self.key = key or new_key()
        self.tokens.add(self.key)

    def add_key(
        self,
        key_id: str | None = None,
        team_id: str = TEAM_ID,
        environment: str | None = None,
        topics: frozenset[str] | None = None,
    ) -> ApnsKey:
        """A further signing key that is accepted; ``key`` is the first."""
        key = new_key(key_id, team_id, environment, topics)
        self.tokens.add(key)
        return key

    def register(
        self,
        token: str,
        topic: str | None = None,
        environment: str | None = None,
        *,
        per_minute: int | None = None,
        online: bool = True,
    ) -> Device:
        """A phone with this token, living; a former one of that token is forgotten.

        ``topic`` is the bundle id it belongs to, ``environment`` that of this simulator if not said.
        """
        topics = None if topic is None else frozenset({topic})
        device = Device(token, topics, environment or self.environment, per_minute=per_minute, online=online)
        self.devices[token.lower()] = device
        return device

    def unregister(self, token: str, at_ms: int | None = None, reason: str = "Unregistered") -> None:
        """The token is dead since ``at_ms`` (now if not said): 410 with that time, in milliseconds.

        ``reason`` is ``Unregistered`` or ``ExpiredToken``.
        """
        device = self.devices.get(token.lower()) or self.register(token)
        device.unregistered_at_ms = self.now_ms() if at_ms is None else at_ms
        device.gone_reason = reason

    def device(self, token: str) -> Device:
        """A registered phone.

        Raises:
            KeyError: there is none.
        """
        return self.devices[token.lower()]

    def set_online(self, token: str, online: bool) -> None:
        """The phone goes out of reach, or comes back and receives what waited."""
        device = self.devices.get(token.lower()) or self.register(token)
        if online:
            device.come_online(self.now_ms())
        else:
            device.online = False

    def _recipient(self, request: Request) -> str:
        return request.path[len(PATH) :]

    def _judged(self, exchange: Exchange) -> Reply:
        reply = self._answer_to(exchange)
        if self.patience is not None and 400 <= reply.status < 500 and reply.status != 410:
            notes = exchange.connection.notes
            notes["strikes"] = notes.get("strikes", 0) + 1
            if notes["strikes"] == self.patience:
                exchange.connection.go_away(exchange.stream, reply.reason)
        return reply

    def _answer_to(self, exchange: Exchange) -> Reply:
        request, now_ms = exchange.request, self.now_ms()
        headers = request.headers
        if reason := line_refusal(request):
            return _refused(request, STATUS.get(reason, 400), reason)
        try:
            key, jwt_hash = self._authorised(exchange, now_ms)
        except TokenRefused as refused:
            return _refused(request, refused.status, refused.reason)
        if reason := header_refusal(headers, self.rules) or self._topic_refusal(headers, key):
            return _refused(request, 400, reason)
        push_type = headers.get("apns-push-type")
        if reason := body_refusal(request.body, push_type, self.rules):
            return _refused(request, STATUS.get(reason, 400), reason)
        token = self._recipient(request)
        device = self.devices.get(token.lower())
        if refusal := self._device_refusal(request, token, device, now_ms):
            return refusal
        message_id = headers.get("apns-id") or str(uuid.uuid4())
        push = AcceptedPush(
            self.ledger.count + 1,
            self.name,
            now_ms,
            token,
            message_id,
            request.body,
            {name: value for name, value in headers.items() if name.startswith("apns-")},
            exchange.connection.number,
            exchange.stream,
            jwt_hash,
        )
        self.ledger.add(push)
        if device is not None:
            device.take(push)
        return Reply(200, headers={"apns-id": message_id})

    def _authorised(self, exchange: Exchange, now_ms: int) -> tuple[ApnsKey | None, str]:
        notes = exchange.connection.notes
        if "certificate_topic" not in notes:
            notes["certificate_topic"] = _certificate_topic(exchange)
        headers = exchange.request.headers
        if topic := notes["certificate_topic"]:
            headers.setdefault("apns-topic", topic)
            if headers.get("apns-push-type") == "location":
                raise TokenRefused(403, "Forbidden")
            if _bundle(headers) != topic:
                raise TokenRefused(400, "TopicDisallowed")
            known: tuple[ApnsKey | None, str] = (None, "")
        else:
            known = self.tokens.judged(headers.get("authorization"), notes, now_ms)
        if self.grows and "grown" not in notes:
            notes["grown"] = True
            exchange.connection.raise_stream_limit(1000)
        return known

    def _topic_refusal(self, headers: dict[str, str], key: ApnsKey | None) -> str:
        topic = headers.get("apns-topic")
        if not topic:
            return "MissingTopic"
        bundle = _bundle(headers)
        if not bundle:
            return "BadTopic"
        allowed = self.topics is None or bundle in self.topics
        if key is not None and key.topics is not None:
            allowed = allowed and bundle in key.topics
        return "" if allowed else "TopicDisallowed"

    def _device_refusal(
        self, request: Request, token: str, device: Device | None, now_ms: int
    ) -> Reply | None:
        if not HEX.fullmatch(token) or (device is None and not self.unknown_devices):
            return _refused(request, 400, "BadDeviceToken")
        if device is None:
            return None
        if device.environment != self.environment:
            return _refused(request, 400, "BadDeviceToken")
        if device.topics is not None and _bundle(request.headers) not in device.topics:
            return _refused(request, 400, "DeviceTokenNotForTopic")
        if device.unregistered_at_ms is not None:
            return _refused(request, 410, device.gone_reason, device.unregistered_at_ms)
        if not device.takes_one_more(now_ms):
            return _refused(request, 429, "TooManyRequests")
        return None

    def _refusal(self, request: Request, fault: Fault) -> Reply:
        if fault.status < 300:
            return Reply(fault.status, headers={"apns-id": _echoed(request)})
        timestamp_ms = fault.timestamp_ms
        if fault.status == 410 and timestamp_ms is None:
            timestamp_ms = self.now_ms()
        return _refused(request, fault.status, fault.reason, timestamp_ms)

    def _renamed(self, reply: Reply, fault: Fault) -> None:
        if fault.message_id == "absent":
            reply.headers.pop("apns-id", None)
        else:
            reply.headers["apns-id"] = str(uuid.uuid4())


def _refused(request: Request, status: int, reason: str, timestamp_ms: int | None = None) -> Reply:
    body: dict[str, Any] = {"reason": reason}
    if timestamp_ms is not None:
        body["timestamp"] = timestamp_ms
    return Reply(status, orjson.dumps(body), {"apns-id": _echoed(request)}, reason)


def _echoed(request: Request) -> str:
    message_id = request.headers.get("apns-id", "")
    return message_id if UUID.fullmatch(message_id) else str(uuid.uuid4())


def _bundle(headers: dict[str, str]) -> str:
    """The bundle id of a topic; empty if the topic lacks the suffix of its push type."""
    topic = headers.get("apns-topic", "")
    suffix = TOPIC_SUFFIX.get(headers.get("apns-push-type", "alert"), "")
    return topic.removesuffix(suffix) if topic.endswith(suffix) else ""


def _certificate_topic(exchange: Exchange) -> str:
    """The UID of the client's certificate; empty without one."""
    shown: Any = exchange.connection.transport.get_extra_info("peercert") or {}
    for part in shown.get("subject", ()):
        for name, value in part:
            if name in ("userId", "UID"):
                return str(value)
    return ""
