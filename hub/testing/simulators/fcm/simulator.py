"""The simulated FCM: ``/token`` and ``messages:send`` on one port, over HTTP/2 and HTTP/1.1.

Nothing that it accepts goes anywhere but into the ledger and to the phones of the test.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from hub.testing.simulators.authority import Authority
from hub.testing.simulators.faults import Fault
from hub.testing.simulators.fcm import errors
from hub.testing.simulators.fcm.devices import Device, State
from hub.testing.simulators.fcm.oauth import (
    TOKEN_PATH,
    OAuth,
    ServiceAccount,
    new_service_account,
    oauth_error,
    token_hash,
)
from hub.testing.simulators.fcm.quotas import Meter, Quotas
from hub.testing.simulators.fcm.rules import Refused, check, target_of
from hub.testing.simulators.http import Exchange, Reply, Request, json_headers
from hub.testing.simulators.http2 import Http2Options
from hub.testing.simulators.ledger import AcceptedPush
from hub.testing.simulators.provider import NowMs, ProviderSimulator, wall_clock_ms

STREAMS = 100
SEND_PATH = re.compile(r"/v1/projects/([^/]+)/messages:send")
FAKE_ID = "fake_message_id"


class FcmSimulator(ProviderSimulator):
    """FCM on loopback. Plain HTTP/1.1 with ``tls=False``, else TLS with HTTP/2 or HTTP/1.1 as the client
    likes.

    >>> async with FcmSimulator(project="shop") as fcm:
    ...     account = fcm.service_account()  # the JSON file a sender is configured with
    ...     fcm.script(token, [Fault.answer(503, "UNAVAILABLE", retry_after_s=30)])
    ...     fcm.script("*", [Fault.answer(404)])  # without a code: the wrong project
    ...     fcm.oauth.script([Fault.slow(3)])
    ...     ...  # POST fcm.send_url, trusting fcm.ca_file
    ...     await fcm.ledger.wait_for(1)

    Scripts know a message by its target: token, fid, topic or condition. ``oauth`` is the token endpoint
    (``expires_in_s``, ``script``, ``revoke``, ``requests``). ``unknown_devices`` False answers UNREGISTERED
    to tokens that were not registered here. ``quotas`` are the documented ones, or scaled down. An entry of
    the ledger has the target as its token and the whole request as its body.
    """

    name = "fcm"

    def __init__(
        self,
        *,
        project: str = "simulated-project",
        tls: bool = True,
        unknown_devices: bool = True,
        quotas: Quotas | None = None,
        account: ServiceAccount | None = None,
        authority: Authority | None = None,
        http2: Http2Options | None = None,
        now_ms: NowMs = wall_clock_ms,
        seed: int = 0,
        keep: int | None = None,
    ) -> None:
        super().__init__(
            authority=authority,
            http2=http2 or Http2Options(streams=STREAMS),
            tls=tls,
            now_ms=now_ms,
            seed=seed,
            keep=keep,
        )
        self.project = project
        self.unknown_devices = unknown_devices
        self.account = account or new_service_account(project)
        self.oauth = OAuth(seed)
        self.oauth.add(self.account)
        self.devices: dict[str, Device] = {}
        self._meter = Meter(quotas or Quotas())

    @property
    def send_url(self) -> str:
        """Where messages go."""
        return self.url_template.format(self.project)

    @property
    def url_template(self) -> str:
        """``send_url`` with ``{0}`` in place of the project: what the Firebase SDK calls ``FCM_URL``."""
        return f"{self.url}/v1/projects/{{0}}/messages:send"

    @property
    def token_uri(self) -> str:
        """The token endpoint."""
        return self.url + TOKEN_PATH

    def service_account(self) -> dict[str, Any]:
        """The service-account file of this project, pointing to this simulator. Call it after ``start``."""
        return self.account.file(self.token_uri)

    def access_token(self, lifetime_s: float | None = None) -> str:
        """A valid access token, for clients that do not speak to the token endpoint."""
        return self.oauth.issue(self.now_ms(), lifetime_s)

    def register(self, token: str, state: State = "registered", *, online: bool = True) -> Device:
        """A phone with this token; a former one of that token is forgotten."""
        device = self.devices[token] = Device(token, state, online)
        return device

    def unregister(self, token: str) -> None:
        """The token is dead: UNREGISTERED."""
        self.register(token, "unregistered")

    def set_online(self, token: str, online: bool) -> None:
        """The phone goes out of reach, or comes back and receives what waited."""
        device = self.devices.get(token) or self.register(token)
        if online:
            device.come_online(self.now_ms())
        else:
            device.online = False

    def heal(self) -> None:
        """Forget all scripts, rates and latency, those of the token endpoint too."""
        super().heal()
        self.oauth.faults.clear()

    def _recipient(self, request: Request) -> str:
        try:
            return target_of(orjson.loads(request.body)["message"])[1]
        except (orjson.JSONDecodeError, Refused, KeyError, TypeError, AttributeError):
            return ""

    def _on_request(self, exchange: Exchange) -> None:
        if exchange.request.path != TOKEN_PATH:
            super()._on_request(exchange)
            return
        exchange.connection.notes["highest_stream"] = exchange.stream
        fault = self.oauth.faults.fault_for("", exchange.connection.requests)
        if fault is None:
            exchange.answer(self._judged(exchange))
        else:
            self._play(exchange, fault)

    def _judged(self, exchange: Exchange) -> Reply:
        request, now_ms = exchange.request, self.now_ms()
        if request.path == TOKEN_PATH:
            return self.oauth.answer(request, self.url, now_ms)
        match = SEND_PATH.fullmatch(request.path)
        if match is None or request.method != "POST":
            return errors.html(404)
        authorization = request.headers.get("authorization", "")
        if reason := self.oauth.refusal(authorization, now_ms):
            return errors.unauthenticated(reason)
        if match[1] != self.project:
            return errors.error(404, "", "Requested entity was not found.")
        try:
            body = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            return errors.unreadable("Invalid JSON payload received.")
        if not isinstance(body, dict):
            return errors.unreadable("The request is no object.")
        try:
            message = check(body)
        except Refused as refused:
            return errors.violation(*refused.wrong)
        return self._delivered(
            exchange, message, body.get("validate_only") is True, token_hash(authorization)
        )

    def _delivered(self, exchange: Exchange, message: dict[str, Any], dry: bool, jwt_hash: str) -> Reply:
        now_ms = self.now_ms()
        kind, target = target_of(message)
        device = self.devices.get(target) if kind in ("token", "fid") else None
        if kind in ("token", "fid") and (refusal := self._device_refusal(device)):
            return refusal
        if dry:
            return self._named(FAKE_ID)
        collapsible = "collapse_key" in message.get("android", {})
        if kind in ("token", "fid"):
            exceeded = self._meter.exceeded(self.project, target, collapsible=collapsible, now_ms=now_ms)
            if exceeded:
                return errors.quota_exceeded(exceeded, self._meter.quotas.retry_after_s)
        number = self.ledger.count + 1
        reply = self._named(f"0:{now_ms * 1000}%{number:016x}")
        push = AcceptedPush(
            number,
            self.name,
            now_ms,
            target,
            orjson.loads(reply.body)["name"],
            exchange.request.body,
            {},
            exchange.connection.number,
            exchange.stream,
            jwt_hash,
        )
        self.ledger.add(push)
        if device is not None:
            device.take(push)
        return reply

    def _device_refusal(self, device: Device | None) -> Reply | None:
        if device is None:
            return None if self.unknown_devices else errors.error(404, "UNREGISTERED")
        match device.state:
            case "unregistered":
                return errors.error(404, "UNREGISTERED", "Requested entity was not found.")
            case "other sender":
                return errors.error(403, "SENDER_ID_MISMATCH", "SenderId mismatch")
            case "broken apns":
                return errors.error(401, "THIRD_PARTY_AUTH_ERROR", "Auth error from APNS or Web Push Service")
            case "registered":
                return None

    def _named(self, message_id: str) -> Reply:
        name = f"projects/{self.project}/messages/{message_id}"
        return Reply(200, orjson.dumps({"name": name}), json_headers())

    def _refusal(self, request: Request, fault: Fault) -> Reply:
        if request.path == TOKEN_PATH:
            return oauth_error(fault.status, fault.reason or "internal_failure")
        if fault.status < 300:
            return self._named("0:scripted")
        return errors.error(fault.status, fault.reason)

    def _renamed(self, reply: Reply, fault: Fault) -> None:
        if reply.status == 200:
            reply.body = b"{}" if fault.message_id == "absent" else self._named("0:other").body
