"""The key set of a URL: fetched once, as a hub would, and looked at. Its clock is compared with ours."""

from __future__ import annotations

import email.utils
import time
from collections.abc import AsyncIterator

import httpx

from config import Settings
from config.findings import is_loopback
from hub.auth.jwks import JWKSSource
from hub.doctor.clocks import check_clock
from hub.doctor.finding import Area, Finding

AREA = Area("key set")

SLOW_S = 1.0
FETCH_WITHIN_S = 6.0
"""Somewhat longer than one fetch may take, so that its failure is told by its cause."""


async def check_key_set(settings: Settings) -> AsyncIterator[Finding]:
    """Whether it can be had, what is in it, how fresh it is."""
    auth = settings.auth
    if auth.jwks_url is None:
        return
    heard = _Heard()
    # A proxy of the environment never stands between us and our own machine.
    through_proxies = not is_loopback(httpx.URL(auth.jwks_url).host)
    async with httpx.AsyncClient(trust_env=through_proxies, event_hooks={"response": [heard.take]}) as client:
        try:
            source = JWKSSource(
                auth.jwks_url,
                refresh_interval_s=float(auth.jwks_refresh_s),
                max_wait_s=FETCH_WITHIN_S,
                allow_http=auth.jwks_allow_http,
                http_client=client,
            )
        except ValueError:
            return  # named among the mistakes in the settings
        source.start()
        try:
            began_s = time.monotonic()
            await source.refetch()
            took_s = time.monotonic() - began_s
        finally:
            await source.stop()
    for finding in [*_judged(source, took_s, heard, settings)]:
        yield finding


class _Heard:
    """What the answer said beside its keys."""

    def __init__(self) -> None:
        self.age_s: int | None = None
        self.clock_ahead_s: float | None = None

    async def take(self, response: httpx.Response) -> None:
        age = response.headers.get("age", "")
        self.age_s = int(age) if age.isdecimal() else None
        date = email.utils.parsedate_tz(response.headers.get("date", ""))
        # A cache repeats the date of the answer that it keeps.
        if date is not None and not self.age_s:
            self.clock_ahead_s = email.utils.mktime_tz(date) + 0.5 - time.time()


def _judged(source: JWKSSource, took_s: float, heard: _Heard, settings: Settings) -> list[Finding]:
    health = source.health()
    if source.keys is None:
        return [
            AREA.error(
                f"auth.jwks_url could not be fetched: {health.last_error or 'no answer in time'}",
                "Until it can be, tokens whose keys are only there are refused. Try the URL with curl here: "
                "name, route, certificate and proxy are those of this machine.",
            )
        ]
    count = len(source.keys)
    found: list[Finding] = []
    if count:
        found.append(
            AREA.ok(f"{count} usable key{'s' if count > 1 else ''}, fetched in {took_s * 1000:.0f} ms")
        )
    else:
        found.append(
            AREA.error(
                "auth.jwks_url answers, but none of its keys can be used",
                "Publish keys for signing: RSA of 2048 bits or more, EC on P-256, P-384, P-521, or Ed25519.",
            )
        )
    if took_s > SLOW_S:
        found.append(
            AREA.warning(
                f"the key set took {took_s:.1f} s",
                "A key that is new is waited for at connect: publish the set from somewhere faster.",
            )
        )
    if heard.age_s is not None and heard.age_s > settings.auth.jwks_refresh_s:
        found.append(
            AREA.warning(
                f"a cache on the way answers with a set that is {heard.age_s} s old",
                "A new key arrives that much later. Shorten its max-age, below auth.jwks_refresh_s.",
            )
        )
    if settings.auth.jwks_allow_http:
        found.append(
            AREA.warning(
                "auth.jwks_allow_http is on: anybody on the way can give the hub keys of his own",
                "Publish the set over https, and turn it off.",
            )
        )
    if heard.clock_ahead_s is not None:
        # Whole seconds are all that the header tells.
        found += check_clock("the server of the key set", heard.clock_ahead_s, exact_to_s=1.0)
    return found
