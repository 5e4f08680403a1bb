"""Web Push: one push to one browser, encrypted for it and signed by us (RFC 8030, 8291, 8292).

pywebpush encrypts, py_vapid signs, aiohttp carries. An endpoint is a secret, and a stranger's
choice: where it may lead is judged in ``workers.senders.addresses``, and no redirect is followed.
"""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp
import http_ece  # type: ignore[import-untyped]
import orjson
from pywebpush import WebPusher, WebPushException  # type: ignore[import-untyped]
from yarl import URL

from workers.payloads.webpush import GENERIC_TEXT, build_message
from workers.push import Outcome, Push, Verdict
from workers.senders.addresses import (
    KNOWN_PUSH_SERVICES,
    AddressRefused,
    EndpointRefused,
    PublicResolver,
    PushServices,
)
from workers.senders.inflight import InFlight
from workers.senders.port import BadCredentials
from workers.senders.retry_after import retry_after_s
from workers.senders.sockets import Sockets
from workers.senders.vapid import Vapid, private_key

logger = logging.getLogger(__name__)

STRANGERS_IN_A_ROW: Final = 10
"""So many subscriptions of another key before any push was accepted mean that the key is the wrong one."""

_MAX_ANSWER_BYTES: Final = 8192
_REASON: Final = re.compile(r"[A-Za-z ]{1,64}")
_LATER_STATUS: Final = frozenset({406, 408, 425, 429})


@dataclass(frozen=True, slots=True)
class WebPushOptions:
    """One application server.

    ``credentials`` is the VAPID private key: the path of its file, or its text (PEM or base64url).
    ``subject`` is the ``mailto:`` or ``https:`` address of whoever runs this. ``allowed_hosts`` are
    the push services, ``*.`` in front for subdomains; empty for those of the known browsers.
    ``trusted_origins`` are a simulator or gateway of one's own, with any address, and ``ca_file`` is
    what is trusted there. ``request_timeout_s`` spans one attempt.
    """

    app: str
    credentials: str | Path = field(repr=False)
    subject: str
    allowed_hosts: tuple[str, ...] = ()
    trusted_origins: tuple[str, ...] = ()
    ca_file: str | Path | None = None
    request_timeout_s: float = 12.0
    max_connections: int = 100
    generic_text: str = GENERIC_TEXT


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a push service said, as far as it matters."""

    status: int
    reason: str = ""
    retry_after: str | None = None
    date: str | None = None


class WebPushSender:
    """One VAPID key. See :class:`workers.senders.port.Sender` for what is promised."""

    def __init__(self, options: WebPushOptions, wall_s: Callable[[], float] = time.time) -> None:
        self._options = options
        self._wall_s = wall_s
        self._services = PushServices(options.allowed_hosts or KNOWN_PUSH_SERVICES, options.trusted_origins)
        self._inflight = InFlight()
        self._sockets = Sockets()
        self._vapid: Vapid | None = None
        self._session: aiohttp.ClientSession | None = None
        self._trusted_ca: ssl.SSLContext | None = None
        self._accepted = False
        self._strangers = 0

    async def start(self) -> None:
        """Load the key, sign once to see that it works, open the session.

        Raises:
            BadCredentials: key, subject or CA cannot work.
        """
        options = self._options
        named = f"push app {options.app!r} (webpush):"
        try:
            key = private_key(options.credentials)
        except ValueError as error:
            raise BadCredentials(f"{named} credentials {error}") from None
        try:
            self._vapid = Vapid(key, options.subject)
        except ValueError as error:
            raise BadCredentials(f"{named} {error}") from None
        if options.ca_file is not None:
            try:
                self._trusted_ca = ssl.create_default_context(cafile=str(options.ca_file))
            except (OSError, ssl.SSLError):
                raise BadCredentials(
                    f"{named} ca_file {str(options.ca_file)!r} is no readable PEM file"
                ) from None
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=options.max_connections,
                resolver=PublicResolver(self._services),
                socket_factory=self._sockets.make,
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def send(self, push: Push) -> Outcome:
        """Make one attempt, within ``request_timeout_s``. Never raises but on cancellation.

        A push service that finds the push too long gets it once more, without content.
        """
        try:
            async with self._inflight.within(self._options.request_timeout_s):
                return await self._attempt(push)
        except TimeoutError:
            reason = "stopped" if self._inflight.stopped else "timeout"
            return Outcome(Verdict.LATER, reason, unknown=True)
        except EndpointRefused as error:
            return Outcome(Verdict.DEAD, str(error))
        except aiohttp.ClientConnectorError as error:
            refused = isinstance(error.os_error, AddressRefused)
            return Outcome(Verdict.LATER, "address is not public" if refused else "no connection")
        except (aiohttp.ClientError, OSError):
            return Outcome(Verdict.LATER, "connection lost", unknown=True)
        except Exception as error:
            # The port promises an outcome, and what is owed must never hang on a surprise. The text of
            # the exception may name the endpoint, so only its kind is logged.
            logger.error("webpush: unexpected failure of a send: %s", type(error).__name__)
            return Outcome(Verdict.LATER, f"unexpected {type(error).__name__}", unknown=True)

    async def stop(self) -> None:
        """End every send as outcome unknown, then close all connections."""
        await self._inflight.end()
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await self._sockets.cut()

    async def _attempt(self, push: Push) -> Outcome:
        subscription = push.target.subscription
        if subscription is None:
            return Outcome(Verdict.DEAD, "no subscription")
        url = self._services.checked(str(subscription.get("endpoint", "")))
        answer = _Answer(413)
        for with_content in (True, False):
            try:
                message = build_message(push, self._options.generic_text, with_content)
            except ValueError as error:
                return Outcome(Verdict.DEAD, f"message not valid: {str(error)[:160]}")
            body = _encrypted(subscription, message.plaintext)
            if body is None:
                # No push for this browser can ever be encrypted, so the subscription is worth nothing.
                return Outcome(Verdict.GONE, "subscription keys not valid")
            answer = await self._post(url, body, message.headers)
            if answer.status != 413:
                break
        return self._judged(answer)

    async def _post(self, url: URL, body: bytes, headers: Mapping[str, str]) -> _Answer:
        if self._session is None or self._vapid is None:
            raise aiohttp.ClientConnectionError("not started")
        sent = {
            **headers,
            "Authorization": self._vapid.authorization(str(url.origin()), self._wall_s()),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
        }
        own = self._services.is_trusted(url.raw_host or "", url.port or 0)
        trusted = self._trusted_ca if own and self._trusted_ca is not None else True
        async with self._session.post(
            url, data=body, headers=sent, allow_redirects=False, ssl=trusted
        ) as answer:
            said = b""
            # To its end, so that the connection serves the next push; but no stranger fills our memory.
            while len(said) < _MAX_ANSWER_BYTES and (chunk := await answer.content.read(1024)):
                said += chunk
            headers = answer.headers
            return _Answer(answer.status, _reason(said), headers.get("Retry-After"), headers.get("Date"))

    def _judged(self, answer: _Answer) -> Outcome:
        wait_s = retry_after_s(answer.retry_after, self._wall_s(), answer.date)
        outcome = outcome_of(answer.status, answer.reason, wait_s)
        if outcome.verdict is Verdict.ACCEPTED:
            self._accepted = True
        elif answer.status in (401, 403) and not self._accepted:
            self._strangers += 1
            if self._strangers >= STRANGERS_IN_A_ROW:
                return Outcome(Verdict.STOP, f"{outcome.reason}, by every push service", answer.status)
        return outcome


def outcome_of(status: int, reason: str, wait_s: float | None) -> Outcome:
    """What the answer of a push service means (RFC 8030, 5 and 7.3). Pure.

    A key that one service does not accept stops nothing: anybody can register a subscription that
    was made for another key.
    """
    word = reason or _phrase(status)
    if status in (200, 201, 202, 204):
        return Outcome(Verdict.ACCEPTED, status=status)
    if status in (404, 410):
        return Outcome(Verdict.GONE, word, status)
    if status in _LATER_STATUS or status >= 500:
        return Outcome(Verdict.LATER, word, status, unknown=status in (502, 504), retry_after_s=wait_s)
    return Outcome(Verdict.DEAD, word, status)


def _encrypted(subscription: Mapping[str, Any], plaintext: bytes) -> bytes | None:
    """``plaintext`` for that browser alone; None if its keys are none."""
    try:
        body: bytes = WebPusher(dict(subscription)).encode(plaintext, "aes128gcm")["body"]
    except (WebPushException, http_ece.ECEException, ValueError, TypeError, LookupError, AttributeError):
        return None
    return body


def _reason(said: bytes) -> str:
    """The service's own word, if it is one; prose may quote the endpoint, and is left out."""
    try:
        word = orjson.loads(said)["reason"]
    except (ValueError, TypeError, LookupError):
        return ""
    return word if isinstance(word, str) and _REASON.fullmatch(word) else ""


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "unknown status"
