"""Pushes to Apple: one message, one attempt, one outcome.

An attempt may take several requests where the provider is known not to have taken the first: its connection
ended, its token ran out, its body was too long. All of them share one deadline. Knows no ledger.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from workers.payloads.apns import ApnsMessage, build_apns
from workers.push import Outcome, Push, Verdict
from workers.senders.apns.answers import (
    EXPIRED_TOKEN,
    SUSPECT_REASONS,
    TOO_LARGE,
    TOO_MANY_TOKENS,
    TOPIC_REASONS,
    WRONG_CONNECTION,
    Answer,
    classify,
    is_known,
)
from workers.senders.apns.credentials import check_topic, signing_key, tls_context
from workers.senders.apns.exchange import ApnsRequest, ApnsResult, NotProcessed, OutcomeUnknown
from workers.senders.apns.options import ApnsOptions, TokenCredentials
from workers.senders.apns.pool import ApnsClient, ApnsPool, CannotConnect
from workers.senders.apns.provider_token import ProviderToken
from workers.senders.apns.pruning import PruningGuard
from workers.senders.port import TokenShelf, WallMs

logger = logging.getLogger(__name__)

_MAX_REQUESTS: Final = 5
"""Requests within one attempt, whatever the provider says to the first ones."""

_DEVICE_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,512}")


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class ApnsSender:
    """A :class:`~workers.senders.port.Sender` for one app in one environment."""

    def __init__(
        self,
        options: ApnsOptions,
        shelf: TokenShelf,
        wall_ms: WallMs = _wall_ms,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._options = options
        self._shelf = shelf
        self._wall_ms = wall_ms
        self._rng = rng or random.Random()
        self._guard = PruningGuard(monotonic)
        self._token: ProviderToken | None = None
        self._pool: ApnsPool | None = None
        self._client: ApnsClient | None = None

    async def start(self) -> None:
        """Check the credentials. Connecting is left to the first push: a gateway may be away for a while.

        Raises:
            BadCredentials: by the names of the app and the setting.
        """
        options = self._options
        check_topic(options)
        if isinstance(options.credentials, TokenCredentials):
            credentials = options.credentials
            self._token = ProviderToken(
                signing_key(options, credentials),
                credentials.key_id,
                credentials.team_id,
                self._shelf,
                self._wall_ms,
                self._rng,
            )
        context = tls_context(options, self._wall_ms())
        self._pool = ApnsPool(options, context, lambda: self._wall_ms() / 1000, self._rng)
        self._client = ApnsClient(self._pool)

    async def send(self, push: Push) -> Outcome:
        """One attempt, within ``request_timeout_s``. Never raises but on cancellation."""
        if self._client is None:
            return Outcome(Verdict.LATER, reason="not started")
        if not _DEVICE_TOKEN.fullmatch(push.target.token):
            # It could not even stand in a path; the provider's word for it spares a word of our own.
            return Outcome(Verdict.GONE, reason="BadDeviceToken")
        try:
            message = self._built(push)
        except (ValueError, TypeError):
            return Outcome(Verdict.DEAD, reason="cannot be encoded")
        attempt = _Attempt(push, message)
        try:
            async with asyncio.timeout(self._options.request_timeout_s):
                outcome = await self._made(self._client, attempt)
        except TimeoutError:
            return self._timed_out(attempt)
        except Exception as error:  # the port promises an outcome; the text stays out, it may quote a secret
            logger.error("%s: a push failed within the sender: %s", self._options.label, type(error).__name__)
            return Outcome(Verdict.LATER, reason="sender failed", unknown=attempt.was_sent)
        return self._guarded(outcome)

    async def stop(self) -> None:
        """Close everything at once. Sends that are still under way end as outcome unknown."""
        self._client = None
        if self._pool is not None:
            await self._pool.stop()

    # -- one attempt --

    def _built(self, push: Push, *, with_content: bool = True) -> ApnsMessage:
        options = self._options
        return build_apns(
            push, topic=options.bundle_id, generic_text=options.generic_text, with_content=with_content
        )

    async def _made(self, client: ApnsClient, attempt: _Attempt) -> Outcome:
        outcome = Outcome(Verdict.LATER, reason="no connection")
        for _ in range(_MAX_REQUESTS):
            # What was sent before is answered: nothing of it is in doubt.
            attempt.request = None
            authorization = await self._authorization()
            request = ApnsRequest(attempt.push.target.token, attempt.message, authorization)
            attempt.request = request
            try:
                result = await client.send_notification(request)
            except NotProcessed as error:
                outcome = Outcome(Verdict.LATER, reason=str(error))
                continue
            except OutcomeUnknown as error:
                return Outcome(Verdict.LATER, reason=str(error), unknown=True)
            except CannotConnect as error:
                return Outcome(
                    Verdict.LATER, reason=error.reason, retry_after_s=error.retry_after_s, whole_lane=True
                )
            assert isinstance(result, ApnsResult)
            outcome = classify(result.answer)
            if outcome.verdict is Verdict.ACCEPTED:
                return outcome
            if attempt.message.topic != self._options.bundle_id and _is_about_topic(outcome):
                # Its own overrides chose the topic, or the push type that has another one.
                return replace(outcome, verdict=Verdict.DEAD, whole_lane=False, gone_at_ms=None)
            if not await self._mended(attempt, result.answer, authorization):
                return outcome
        return outcome

    async def _authorization(self) -> bytes | None:
        """The provider token where there is one; a certificate needs none."""
        if self._token is None:
            return None
        return self._token.at_hand() or await self._token.current()

    async def _mended(self, attempt: _Attempt, answer: Answer, authorization: bytes | None) -> bool:
        """Whether what the answer blames was put right, so that asking again makes sense. Once each."""
        reason = answer.reason
        if reason == TOO_MANY_TOKENS and self._token is not None:
            self._token.hold()
        elif not is_known(reason):
            logger.warning("APNs gave an unknown reason with status %d", answer.status)
        if reason in attempt.mended:
            return False
        attempt.mended.add(reason)
        if reason == EXPIRED_TOKEN and self._token is not None and authorization is not None:
            if await self._token.refresh(authorization) is not None:
                return True
            logger.error(
                "%s: APNs calls a fresh provider token expired: check this machine's clock",
                self._options.label,
            )
            return False
        if reason == WRONG_CONNECTION:
            # The connection that said so has left the pool.
            return True
        if reason == TOO_LARGE and attempt.message.trimmed != "content":
            attempt.message = self._built(attempt.push, with_content=False)
            return True
        return False

    def _timed_out(self, attempt: _Attempt) -> Outcome:
        request = attempt.request
        if request is not None and request.connection is not None and request.sent_at_s is not None:
            request.connection.doubt(request.sent_at_s)
        return Outcome(Verdict.LATER, reason="timeout", unknown=attempt.was_sent)

    def _guarded(self, outcome: Outcome) -> Outcome:
        """``outcome``, unless it would prune a registry for a configuration's fault."""
        if outcome.reason not in SUSPECT_REASONS or outcome.verdict is not Verdict.GONE:
            if outcome.status:
                self._guard.saw_other(accepted=outcome.verdict is Verdict.ACCEPTED)
            return outcome
        if self._guard.saw_bad():
            return outcome
        logger.error(
            "%s: too many tokens are called bad; none is dropped. Do environment and topic fit the app?",
            self._options.label,
        )
        return Outcome(
            Verdict.STOP,
            reason=outcome.reason,
            status=outcome.status,
            provider_id=outcome.provider_id,
            whole_lane=True,
        )


def _is_about_topic(outcome: Outcome) -> bool:
    """Whether another topic might have got another answer: a token is known, or lost, for one of them."""
    return outcome.verdict is Verdict.GONE or outcome.reason in TOPIC_REASONS


class _Attempt:
    """What one call of ``send`` has got to."""

    __slots__ = ("mended", "message", "push", "request")

    def __init__(self, push: Push, message: ApnsMessage) -> None:
        self.push = push
        self.message = message
        self.mended: set[str] = set()
        self.request: ApnsRequest | None = None

    @property
    def was_sent(self) -> bool:
        """Whether the provider may have got the last request."""
        return self.request is not None and self.request.sent_at_s is not None
