"""Keys that an issuer publishes at a URL, kept fresh in the background.

One task owns all fetching, so there is never more than one request at a time and none
sooner than the pace allows, whatever tokens arrive. The last good set stays in use for as
long as newer ones cannot be had. Knows no token.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import random
import time
from dataclasses import dataclass

import httpx

from hub.auth.jwk import ReadKeySet, read_jwk_set
from hub.auth.keys import KeySet

MAX_DOCUMENT_BYTES = 256 * 1024
"""An answer beyond this is cut off: it is no key set, and reading it would cost memory."""

FIRST_RETRY_S = 1.0
MAX_RETRY_S = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JWKSHealth:
    """How fresh the keys are. ``last_error`` is that of the latest attempt, None when it went well."""

    loaded: bool
    last_success_age_s: float | None
    last_error: str | None


class _FetchFailed(Exception):
    """An answer that is no key set. Its text is ours and quotes nothing that was received."""


class JWKSSource:
    """The keys of one JWKS URL.

    ``refresh_interval_s`` is the time between fetches, give or take a tenth so that many
    hubs do not ask at once. ``min_refetch_interval_s`` is the least time between two
    fetches, however many unknown keys are asked for. ``timeout_s`` bounds one fetch as a
    whole, ``max_wait_s`` how long :meth:`refetch` lets its caller wait. An ``http_client``
    given remains the caller's to close.

    Raises:
        ValueError: for a URL that is not https, unless its host is this machine or
            ``allow_http`` is set, or that carries a user name or password.
    """

    def __init__(
        self,
        url: str,
        *,
        refresh_interval_s: float = 300.0,
        min_refetch_interval_s: float = 10.0,
        timeout_s: float = 5.0,
        max_wait_s: float = 3.0,
        allow_http: bool = False,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        self._url = _checked_url(url, allow_http)
        if not 0 < min_refetch_interval_s <= refresh_interval_s:
            raise ValueError("the JWKS intervals must be positive, the least one not above the usual one")
        self._refresh_interval_s = refresh_interval_s
        self._min_refetch_interval_s = min_refetch_interval_s
        self._timeout_s = timeout_s
        self._max_wait_s = max_wait_s
        self._given_client = http_client
        self._own_client: httpx.AsyncClient | None = None
        self._task: asyncio.Task[None] | None = None
        self._keys: KeySet | None = None
        self._generation = 0
        self._wanted = asyncio.Event()
        self._outcome: asyncio.Future[bool] | None = None
        self._last_success_s: float | None = None
        self._last_error: str | None = None

    @property
    def keys(self) -> KeySet | None:
        """The last good set; None until there was one."""
        return self._keys

    @property
    def generation(self) -> int:
        """Grows by one whenever the set of keys became another."""
        return self._generation

    def health(self) -> JWKSHealth:
        """Whether keys are there and how old the latest proof of them is."""
        age_s = None if self._last_success_s is None else time.monotonic() - self._last_success_s
        return JWKSHealth(self._keys is not None, age_s, self._last_error)

    def start(self) -> None:
        """Begin fetching, at once and then for good. Needs a running loop; does not wait.

        Raises:
            RuntimeError: when it was started already.
        """
        if self._task is not None:
            raise RuntimeError("the JWKS source is running")
        client = self._given_client
        if client is None:
            # A proxy of the environment never stands between us and our own machine.
            client = self._own_client = httpx.AsyncClient(trust_env=not _is_loopback(self._url.host))
        self._task = asyncio.create_task(self._run(client), name="jwks")

    async def stop(self) -> None:
        """End fetching; whoever waits in :meth:`refetch` is told False. The keys stay. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._settle(False)
        client, self._own_client = self._own_client, None
        if client is not None:
            await client.aclose()

    async def refetch(self) -> bool:
        """Ask for the newest keys, for one whose ``kid`` is not known.

        All who ask before the next fetch ends share it. True when a fetch that ended after
        this call brought keys; False when it failed, did not come within ``max_wait_s``, or
        the source is not running. Safe to cancel.
        """
        if self._task is None:
            return False
        if self._outcome is None:
            self._outcome = asyncio.get_running_loop().create_future()
        self._wanted.set()
        # Shielded because the future is everybody's; a caller that leaves must not end it for the others.
        outcome = asyncio.shield(self._outcome)
        try:
            async with asyncio.timeout(self._max_wait_s):
                return await outcome
        except TimeoutError:
            return False

    async def _run(self, client: httpx.AsyncClient) -> None:
        failure_count = 0
        while True:
            fetched = await self._refresh(client)
            failure_count = 0 if fetched else failure_count + 1
            self._wanted.clear()
            self._settle(fetched)
            await self._pause(self._next_delay_s(failure_count))

    def _next_delay_s(self, failure_count: int) -> float:
        delay_s = self._refresh_interval_s
        if failure_count:
            delay_s = min(FIRST_RETRY_S * 2.0 ** min(failure_count - 1, 16), MAX_RETRY_S, delay_s)
        return delay_s * random.uniform(0.9, 1.1)

    async def _pause(self, delay_s: float) -> None:
        """Wait for the next fetch: its time, or sooner if keys are wanted, but never below the pace."""
        pace_s = min(self._min_refetch_interval_s, delay_s)
        await asyncio.sleep(pace_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s - pace_s):
                await self._wanted.wait()

    def _settle(self, fetched: bool) -> None:
        outcome, self._outcome = self._outcome, None
        if outcome is not None and not outcome.done():
            outcome.set_result(fetched)

    async def _refresh(self, client: httpx.AsyncClient) -> bool:
        """One fetch; True when it brought keys. Never raises but on cancellation."""
        try:
            async with asyncio.timeout(self._timeout_s):
                document = await self._fetch(client)
            read = read_jwk_set(document)
        except TimeoutError:
            self._failed(f"no answer within {self._timeout_s:g} s")
        except (_FetchFailed, ValueError) as error:
            self._failed(str(error))
        except Exception as error:
            # The loop must outlive whatever a server or client can do. Only the name is
            # kept: the text of a foreign exception may quote the URL with its query.
            self._failed(f"the request failed ({type(error).__name__})")
        else:
            self._succeeded(read)
            return True
        return False

    async def _fetch(self, client: httpx.AsyncClient) -> bytes:
        # Identity only: a small compressed answer could grow beyond any bound when inflated.
        headers = {"accept": "application/jwk-set+json, application/json", "accept-encoding": "identity"}
        request = client.build_request("GET", self._url, headers=headers, timeout=self._timeout_s)
        response = await client.send(request, stream=True, follow_redirects=False)
        async with contextlib.aclosing(response):
            if response.is_redirect:
                raise _FetchFailed("the answer is a redirect, which is not followed")
            if response.status_code != 200:
                raise _FetchFailed(f"the answer has status {response.status_code}")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise _FetchFailed("the answer is compressed, which was not asked for")
            document = bytearray()
            async for chunk in response.aiter_raw():
                document += chunk
                if len(document) > MAX_DOCUMENT_BYTES:
                    raise _FetchFailed(f"the answer is longer than {MAX_DOCUMENT_BYTES} bytes")
            return bytes(document)

    def _succeeded(self, read: ReadKeySet) -> None:
        self._last_success_s = time.monotonic()
        self._last_error = None
        if self._keys is not None and self._keys.fingerprint == read.keys.fingerprint:
            return
        self._keys = read.keys
        self._generation += 1
        logger.info("signing keys from %s: %d usable", self._url.host, len(read.keys))
        for reason in read.skipped:
            logger.warning("signing keys from %s: left out %s", self._url.host, reason)

    def _failed(self, reason: str) -> None:
        self._last_error = reason
        logger.warning("signing keys from %s could not be fetched: %s", self._url.host, reason)


def _checked_url(text: str, allow_http: bool) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise ValueError("the JWKS URL is not a URL") from None
    if url.scheme not in ("https", "http") or not url.host:
        raise ValueError("the JWKS URL must start with https://")
    if url.scheme == "http" and not allow_http and not _is_loopback(url.host):
        raise ValueError("the JWKS URL must be https: over http anybody on the way could give us his keys")
    if url.userinfo:
        raise ValueError("the JWKS URL must not carry a user name or password")
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
