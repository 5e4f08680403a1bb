"""Push providers: each app's credentials as its worker would load them, and whether its provider is reached.

Sends no push. Apple's opinion of a key is known only by a push; Google's is asked for by starting.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from config import Settings
from config.push import PushApp
from hub.doctor.finding import Area, Finding
from hub.from_push_settings import lane_of, lane_plans
from workers.dispatcher import LanePlan
from workers.senders.port import BadCredentials, Sender, SharedToken

AREA = Area("push")

START_WITHIN_S = 15.0
REACH_WITHIN_S = 5.0
_HTTPS = 443
_ADDRESSES = {
    ("apns", "production"): ("api.push.apple.com",),
    ("apns", "sandbox"): ("api.sandbox.push.apple.com",),
    ("fcm", "production"): ("fcm.googleapis.com", "oauth2.googleapis.com"),
    ("webpush", "production"): (
        "fcm.googleapis.com",
        "updates.push.services.mozilla.com",
        "web.push.apple.com",
    ),
}


class _PrivateShelf:
    """A shelf of this process alone: what the workers share is left as it is."""

    def __init__(self) -> None:
        self._token: SharedToken | None = None

    async def current(self) -> SharedToken | None:
        """What was put here."""
        return self._token

    async def replace(self, new: SharedToken, old: SharedToken | None) -> SharedToken:
        """Keep ``new``."""
        self._token = new
        return new


async def check_providers(settings: Settings) -> AsyncIterator[Finding]:
    """Lane by lane."""
    if not settings.push.apps:
        if settings.inbox.enabled:
            yield AREA.note(
                "push.apps names no app: phones that are away learn of nothing until they come back",
                "Name your apps in push.apps, or turn inbox.enabled off if nobody is notified.",
            )
        return
    for app, plan in zip(settings.push.apps, lane_plans(settings), strict=True):
        started = await _started(plan)
        yield started
        for finding in await _reached(app):
            yield finding
        for finding in _unwise(app):
            yield finding


async def _started(plan: LanePlan) -> Finding:
    sender: Sender | None = None
    try:
        async with asyncio.timeout(START_WITHIN_S):
            sender = plan.make_sender(_PrivateShelf())
            await sender.start()
    except BadCredentials as error:
        return AREA.error(
            f"{plan.name}: {error}", "Until it is mended, nothing is pushed to this app's phones."
        )
    except TimeoutError:
        return AREA.warning(
            f"{plan.name}: did not start within {START_WITHIN_S:g} s",
            "See whether the provider is reached below.",
        )
    except ValueError as error:
        return AREA.error(f"{plan.name}: {error}", "Correct push.apps.")
    finally:
        if sender is not None:
            await sender.stop()
    return AREA.ok(f"{plan.name}: the credentials load")


@dataclass(frozen=True, slots=True)
class _Place:
    host: str
    port: int
    tls: bool


def _places(app: PushApp) -> Iterator[_Place]:
    if app.url:
        url = urlsplit(app.url)
        tls = url.scheme == "https"
        yield _Place(url.hostname or "", url.port or (_HTTPS if tls else 80), tls)
        return
    hosts: tuple[str, ...] = _ADDRESSES.get((app.provider, app.environment), ())
    if app.provider == "webpush" and app.allowed_hosts:
        hosts = tuple(host for host in app.allowed_hosts if not host.startswith("*"))
    elif app.provider in ("fcm", "webpush"):
        hosts = _ADDRESSES[(app.provider, "production")]
    for host in hosts:
        yield _Place(host, _HTTPS, tls=True)


async def _reached(app: PushApp) -> list[Finding]:
    places = list(_places(app))
    troubles = await asyncio.gather(*(_trouble(place, app.ca_file) for place in places))
    found: list[Finding] = []
    for place, trouble in zip(places, troubles, strict=True):
        at = f"{lane_of(app)}: {place.host}:{place.port}"
        if trouble:
            found.append(
                AREA.error(
                    f"{at} {trouble}",
                    "Let this machine and those of the workers connect there: name service, firewall, for "
                    "a simulator or gateway ca_file. Proxies of the environment are not used.",
                )
            )
        else:
            found.append(AREA.ok(f"{at} is reached"))
    return found


async def _trouble(place: _Place, ca_file: Path | None) -> str:
    """Why a connection there fails; empty when it does not."""
    context: ssl.SSLContext | None = None
    try:
        if place.tls:
            context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        async with asyncio.timeout(REACH_WITHIN_S):
            _, writer = await asyncio.open_connection(place.host, place.port, ssl=context)
    except TimeoutError:
        return f"does not answer within {REACH_WITHIN_S:g} s"
    except ssl.SSLCertVerificationError as error:
        return f"has a certificate that is refused: {error.verify_message}"
    except ssl.SSLError:
        return "does not speak TLS as it should"
    except OSError as error:
        return f"cannot be reached: {error.strerror or type(error).__name__}"
    # At once: nobody has to be told, and a provider need not answer a farewell.
    writer.transport.abort()
    return ""


def _unwise(app: PushApp) -> Iterator[Finding]:
    if app.provider == "recording":
        yield AREA.note(
            f"{lane_of(app)}: writes pushes down and sends none", "For development and tests only."
        )
    if app.provider == "apns" and app.environment == "sandbox":
        yield AREA.note(
            f"{lane_of(app)}: Apple's development environment",
            "Apps from the store need one with production.",
        )
