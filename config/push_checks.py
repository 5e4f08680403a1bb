"""Rules of the push section: which app needs which secret."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from config.findings import Finding, unreadable
from config.problems import Path
from config.push import PushApp
from config.settings import Settings

_ID_LENGTH = 10


def check_push(settings: Settings) -> Iterator[Finding]:
    """What cannot be meant in ``push`` and ``delivery``."""
    lanes: set[tuple[str, str, str]] = set()
    for index, app in enumerate(settings.push.apps):
        at: Path = ("push", "apps", index)
        lane = (app.provider, app.name, app.environment)
        if not app.name:
            yield Finding((*at, "name"), "is required")
        elif lane in lanes:
            yield Finding(at, "has the provider, name and environment of another one")
        lanes.add(lane)
        yield from _check_app(app, at)
    delivery = settings.delivery
    if delivery.max_defer_s < delivery.ack_wait_s:
        yield Finding(
            ("delivery", "max_defer_s"),
            "should not be less than delivery.ack_wait_s",
            (("delivery", "ack_wait_s"),),
        )


def _check_app(app: PushApp, at: Path) -> Iterator[Finding]:
    if app.provider != "recording":
        if app.credentials is None:
            yield Finding((*at, "credentials"), f"is required for {app.provider}")
        for name in ("credentials", "certificate_key", "ca_file"):
            yield from unreadable((*at, name), getattr(app, name))
    if app.provider == "apns" and app.credentials is not None:
        has_certificate = app.credentials.suffix != ".p8"
        for name in ("key_id", "team_id"):
            value = getattr(app, name)
            if value and len(value) != _ID_LENGTH:
                yield Finding((*at, name), f"has {_ID_LENGTH} characters")
            elif not value and not has_certificate:
                yield Finding((*at, name), "is required with a .p8 key")
    if app.provider == "webpush" and not app.subject.startswith(("mailto:", "https:")):
        yield Finding((*at, "subject"), "is required: a mailto: or https: address")
    if app.url and urlsplit(app.url).scheme not in ("http", "https"):
        yield Finding((*at, "url"), "should be an http or https URL")
