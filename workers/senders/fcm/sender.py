"""The FCM sender: one push, one attempt, one outcome.

Puts the parts together: builder, access token, wire, classification. Sending never refreshes a
token by itself; only where FCM rejects one is a new one waited for, once, within the same deadline.
Knows no retries, no lanes, no ledger.
"""

from __future__ import annotations

import functools
import logging
import ssl
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import httpx
from firebase_admin import exceptions, messaging  # type: ignore[import-untyped]
from google.auth.credentials import Credentials

from workers.payloads.fcm import build_message
from workers.push import Outcome, Push, Verdict
from workers.senders.fcm import sdk
from workers.senders.fcm.access import Access, AccessRefused, AccessTokens, google_fetch
from workers.senders.fcm.answers import Attempt, classify
from workers.senders.fcm.credentials import service_account
from workers.senders.fcm.options import FcmOptions
from workers.senders.fcm.wires import Answer, FastWire, LibraryWire, Wire
from workers.senders.inflight import InFlight
from workers.senders.port import BadCredentials

logger = logging.getLogger(__name__)

NO_ACCESS_WAIT_S: Final = 5.0
"""Without an access token nothing of the lane can be sent; the keeper asks again within seconds."""

STRANGERS_IN_A_ROW: Final = 10
"""So many tokens of another sender before any message was accepted mean that the project is the wrong one."""


class FcmSender:
    """One Firebase project. See :class:`workers.senders.port.Sender` for what is promised."""

    def __init__(self, options: FcmOptions, wall_s: Callable[[], float] = time.time) -> None:
        self._options = options
        self._wall_s = wall_s
        self._url = sdk.send_url(options.app, options.url)
        self._tokens: AccessTokens | None = None
        self._wire: Wire | None = None
        self._inflight = InFlight()
        self._accepted = False
        self._strangers = 0
        self._third_party_told = False

    async def start(self) -> None:
        """Check the service account, get a first access token, open the wire.

        An unreachable token endpoint fails no start: the lane waits for it.

        Raises:
            BadCredentials: the file, the account or the CA cannot work, or Google refuses the account.
        """
        options = self._options
        credential = service_account(options)
        ca = _trusted(options)
        tokens = AccessTokens(
            functools.partial(google_fetch, credential, _verify(options, credential)), self._wall_s
        )
        try:
            await tokens.start()
        except AccessRefused as error:
            await tokens.stop()
            raise BadCredentials(
                f"push app {options.app!r} (fcm): google refuses the service account ({error}); "
                "its key was deleted, the account disabled, or the clock of this machine is wrong"
            ) from None
        self._tokens = tokens
        self._wire = (
            FastWire(self._url, options.max_connections, ca)
            if options.transport == "fast"
            else LibraryWire(self._url, options.request_timeout_s, ca)
        )

    async def send(self, push: Push) -> Outcome:
        """Make one attempt, within ``request_timeout_s``. Never raises but on cancellation."""
        try:
            message = build_message(push, self._options.style)
        except ValueError as error:
            return Outcome(Verdict.DEAD, f"message not valid: {str(error)[:160]}")
        try:
            async with self._inflight.within(self._options.request_timeout_s):
                return await self._attempt(message.body)
        except TimeoutError:
            reason = "stopped" if self._inflight.stopped else "timeout"
            return Outcome(Verdict.LATER, reason, unknown=True)
        except Exception as error:
            # The port promises an outcome, and what is owed must never hang on a surprise.
            logger.exception("fcm: unexpected failure of a send")
            return Outcome(Verdict.LATER, f"unexpected {type(error).__name__}", unknown=True)

    async def stop(self) -> None:
        """End every send as outcome unknown, then close token keeper and connections."""
        await self._inflight.end()
        wire, self._wire = self._wire, None
        tokens, self._tokens = self._tokens, None
        if tokens is not None:
            await tokens.stop()
        if wire is not None:
            await wire.close()

    async def _attempt(self, body: bytes) -> Outcome:
        if self._tokens is None:
            return Outcome(Verdict.LATER, "not started")
        try:
            access = self._tokens.current()
            if access is None:
                return self._no_access()
            try:
                return self._took(await self._post(body, access))
            except httpx.HTTPError as error:
                failure = sdk.firebase_error(error)
                if not _is_rejection(failure):
                    return self._refused(failure)
            renewed = await self._tokens.replaced(access)
            if renewed is None:
                return self._no_access()
            try:
                return self._took(await self._post(body, renewed))
            except httpx.HTTPError as error:
                return self._refused(sdk.firebase_error(error))
        except AccessRefused as error:
            return Outcome(Verdict.STOP, f"access refused: {error}")

    async def _post(self, body: bytes, access: Access) -> Answer:
        if self._wire is None:
            raise httpx.ConnectError("stopped")
        return await self._wire.post(body, access.headers)

    def _took(self, answer: Answer) -> Outcome:
        try:
            name = answer.json()["name"]
        except (ValueError, KeyError, TypeError):
            return Outcome(Verdict.LATER, "unreadable answer", 200, unknown=True)
        self._accepted = True
        return Outcome(Verdict.ACCEPTED, status=200, provider_id=str(name).rpartition("/")[2])

    def _refused(self, error: exceptions.FirebaseError) -> Outcome:
        attempt = Attempt(self._wall_s(), others_accepted=self._accepted)
        outcome = classify(error, attempt)
        if isinstance(error, messaging.ThirdPartyAuthError) and not self._third_party_told:
            self._third_party_told = True
            logger.error(
                "fcm: project %s has no working APNs or web push key: iPhones or browsers get nothing (%s)",
                self._options.app,
                outcome.reason,
            )
        if isinstance(error, messaging.SenderIdMismatchError) and not self._accepted:
            self._strangers += 1
            if self._strangers >= STRANGERS_IN_A_ROW:
                # Dropping them all would empty the registry for one wrong setting.
                return Outcome(Verdict.STOP, f"{outcome.reason} of every token", outcome.status)
        return outcome

    def _no_access(self) -> Outcome:
        return Outcome(Verdict.LATER, "no access token", retry_after_s=NO_ACCESS_WAIT_S, whole_lane=True)


def _is_rejection(error: exceptions.FirebaseError) -> bool:
    """True if FCM did not accept the access token. The key of a third party is no matter of ours."""
    answer = error.http_response
    third_party = isinstance(error, messaging.ThirdPartyAuthError)
    return answer is not None and answer.status_code == 401 and not third_party


def _trusted(options: FcmOptions) -> ssl.SSLContext | None:
    if options.ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(options.ca_file))
    except (OSError, ssl.SSLError):
        raise BadCredentials(
            f"push app {options.app!r} (fcm): ca_file {str(options.ca_file)!r} is no readable PEM file"
        ) from None


def _verify(options: FcmOptions, credential: Credentials) -> bool | str:
    """What the token endpoint is verified by: the CA of ``url`` where both are on the same host."""
    token_uri = str(getattr(credential, "_token_uri", ""))
    same_host = urlsplit(token_uri).hostname == urlsplit(options.url).hostname
    return str(options.ca_file) if options.ca_file is not None and same_host else True
