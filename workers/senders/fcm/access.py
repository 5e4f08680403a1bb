"""The OAuth access token of a service account: always there before it is needed.

A keeper renews it in a thread, minutes before it ends; sending reads a variable. Nothing here ever
blocks the event loop, and however many sends are told that a token is no good, one renewal serves
them all. Knows no messages; what is fetched, and how, is a blocking function it is given.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import requests
from google.auth.credentials import Credentials
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

RENEW_BEFORE_S: Final = 300.0
"""How long before its end a token is renewed; a quarter of its life where that is short."""

REJECTION_PAUSE_S: Final = 60.0
"""A token made because the one before was rejected costs no further renewal for so long."""

START_WAIT_S: Final = 15.0
"""How long a start waits for the first token. A token endpoint that is down is no wrong credential."""

MAX_BACKOFF_S: Final = 30.0
FETCH_TIMEOUT_S: Final = 10.0

_LOOK_EVERY_S: Final = 15.0
"""A machine that slept, or whose clock was set, has an old token and much of a long sleep before it."""

_REFUSALS: Final = frozenset(
    {"invalid_grant", "invalid_client", "unauthorized_client", "invalid_scope", "access_denied"}
)


class AccessRefused(Exception):
    """Google does not accept the service account; the text is OAuth's word for why, and no secret."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Headers that authorize a request, and the unix second when they stop doing so."""

    headers: Mapping[str, str] = field(repr=False)
    expires_at_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """One token in use. ``for_rejected`` says that it was made because another was not accepted."""

    headers: Mapping[str, str] = field(repr=False)
    made_at_s: float
    expires_at_s: float
    for_rejected: bool


def google_fetch(credential: Credentials, verify: bool | str, timeout_s: float = FETCH_TIMEOUT_S) -> Fetched:
    """One access token, by google-auth; blocks.

    Raises:
        AccessRefused: the answer is a no that no second try changes.
        Exception: the token endpoint cannot be reached, or answers nonsense.
    """
    # A CA is said with each request: requests lets the environment win over what its session is told.
    trusted = {} if verify is True else {"verify": verify}
    with requests.Session() as session:
        ask = functools.partial(Request(session), timeout=timeout_s, **trusted)
        try:
            credential.refresh(ask)  # type: ignore[no-untyped-call]
        except RefreshError as error:
            word = _refusal(error)
            if word:
                raise AccessRefused(word) from None
            raise
    headers: dict[str, str] = {}
    credential.apply(headers)  # type: ignore[no-untyped-call]
    ends: dt.datetime | None = credential.expiry
    if ends is None:
        raise ValueError("the token endpoint says no expiry")
    return Fetched(headers, ends.replace(tzinfo=dt.UTC).timestamp())


def _refusal(error: RefreshError) -> str:
    """OAuth's word for a lasting no, empty for anything else."""
    for part in error.args:
        word = part.get("error") if isinstance(part, dict) else None
        if isinstance(word, str) and word in _REFUSALS:
            return word
    return ""


class AccessTokens:
    """The access token of one lane. ``fetch`` blocks, so it runs in a thread of its own."""

    def __init__(self, fetch: Callable[[], Fetched], wall_s: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._wall_s = wall_s
        self._access: Access | None = None
        self._refused: AccessRefused | None = None
        self._renewal: asyncio.Task[bool] | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Get the first token and keep it fresh from then on; an endpoint that is down is asked again.

        Raises:
            AccessRefused: the service account is not accepted.
        """
        first = self._renew(for_rejected=False)
        await asyncio.wait({first}, timeout=START_WAIT_S)
        if self._refused is not None:
            raise self._refused
        self._keeper = asyncio.create_task(self._keep_fresh(), name="fcm access token")

    def current(self) -> Access | None:
        """The token to send with; None while there is none that is valid.

        Raises:
            AccessRefused: there is none, and Google has said no to the last wish for one.
        """
        access = self._access
        if access is not None and access.expires_at_s > self._wall_s():
            return access
        if self._refused is not None:
            raise self._refused
        return None

    async def replaced(self, rejected: Access) -> Access | None:
        """A token other than ``rejected``, which FCM did not accept; None if none can be had just now.

        Any number of callers cost one renewal. Safe to cancel: the renewal goes on for the others.

        Raises:
            AccessRefused: ``rejected`` itself was made for a rejected one a moment ago, so a new token
                is no cure; or Google refuses to make one.
        """
        if self._access is rejected:
            recent = self._wall_s() - rejected.made_at_s < REJECTION_PAUSE_S
            if rejected.for_rejected and recent:
                raise AccessRefused("unauthenticated")
            await asyncio.shield(self._renew(for_rejected=True))
        if self._access is rejected:
            if self._refused is not None:
                raise self._refused
            return None
        return self.current()

    async def stop(self) -> None:
        """End the keeper. A fetch that hangs in its thread is abandoned, not waited for."""
        tasks = [task for task in (self._keeper, self._renewal) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._keeper = self._renewal = None

    def _renew(self, *, for_rejected: bool) -> asyncio.Task[bool]:
        """The renewal under way, or a new one."""
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew_once(for_rejected), name="fcm token renewal")
        return self._renewal

    async def _renew_once(self, for_rejected: bool) -> bool:
        try:
            fetched = await in_thread(self._fetch)
        except AccessRefused as error:
            logger.error("fcm: google refuses the service account: %s", error)
            self._refused = error
            return False
        except Exception as error:  # whatever a token endpoint does, the lane lives on and asks again
            logger.warning("fcm: no access token: %s", type(error).__name__)
            return False
        self._refused = None
        self._access = Access(fetched.headers, self._wall_s(), fetched.expires_at_s, for_rejected)
        return True

    async def _keep_fresh(self) -> None:
        failures = 0
        while True:
            due_s = self._due_in_s()
            if due_s > 0:
                await asyncio.sleep(min(due_s, _LOOK_EVERY_S))
                continue  # a rejection may have renewed it meanwhile
            if await asyncio.shield(self._renew(for_rejected=False)):
                failures = 0
                continue
            failures += 1
            await asyncio.sleep(min(2.0**failures, MAX_BACKOFF_S) * random.uniform(0.5, 1.0))

    def _due_in_s(self) -> float:
        access = self._access
        if access is None:
            return 0.0
        life_s = access.expires_at_s - access.made_at_s
        # Even a token that is over at once is not asked for in a tight loop.
        earliest_s = access.made_at_s + 1.0
        due_at_s = access.expires_at_s - min(RENEW_BEFORE_S, life_s / 4)
        return max(due_at_s, earliest_s) - self._wall_s()


async def in_thread(work: Callable[[], _T]) -> _T:
    """The result of ``work``, which runs in a daemon thread: one that hangs keeps no process alive."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[_T] = loop.create_future()

    def settle(put: Callable[[Any], None], value: Any) -> None:
        if not result.done():
            put(value)

    def run() -> None:
        put: Callable[[Any], None]
        value: Any
        try:
            put, value = result.set_result, work()
        except Exception as error:
            put, value = result.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
            loop.call_soon_threadsafe(settle, put, value)

    threading.Thread(target=run, name="fcm-access-token", daemon=True).start()
    return await result
