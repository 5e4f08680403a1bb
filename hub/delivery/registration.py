"""What an app must tell to be registered, checked field by field. Pure; knows no engine and no account."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

import orjson

from hub.delivery.model import DeviceRecord
from hub.errors import APP_NOT_CONFIGURED, BAD_PROVIDER_TOKEN, BAD_REQUEST, HubError

PLATFORMS = ("ios", "android", "web")
PROVIDERS = ("apns", "fcm", "webpush", "recording")
ENVIRONMENTS = ("production", "sandbox")

MAX_TOKEN = 4096
_APNS_TOKEN = re.compile(r"[0-9A-Fa-f]{16,512}")
_FCM_TOKEN = re.compile(r"[\x21-\x7e]{8,4096}")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_LABEL = re.compile(r"[\x20-\x7e]{0,64}")


def device_record(
    *,
    platform: str,
    provider: str,
    app: str,
    environment: str,
    token: str | None,
    subscription: Any = None,
    locale: str = "",
    timezone: str = "",
    app_version: str = "",
    lanes: Collection[str],
) -> DeviceRecord:
    """The record of a registration. ``lanes`` are those that this deployment has credentials for.

    Raises:
        HubError: 107 for a field that is none of its values, 1002 for a token or subscription
            that cannot be one, 1003 for an app or environment nobody configured.
    """
    _check_choice("platform", platform, PLATFORMS)
    _check_choice("provider", provider, PROVIDERS)
    _check_choice("environment", environment, ENVIRONMENTS)
    for name, text in (("locale", locale), ("timezone", timezone), ("app_version", app_version)):
        if not _LABEL.fullmatch(text):
            raise HubError(BAD_REQUEST, f"{name} is at most 64 ASCII characters")
    record = DeviceRecord(
        platform=platform,
        provider=provider,
        app=app,
        environment=environment,
        token=_token(provider, token, subscription),
        locale=locale,
        timezone=timezone,
        app_version=app_version,
    )
    if record.lane not in lanes:
        raise HubError(APP_NOT_CONFIGURED, f"push.apps has no {provider} app of this name and environment")
    return record


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise HubError(BAD_REQUEST, f"{name} is one of {', '.join(known)}")


def _token(provider: str, token: str | None, subscription: Any) -> str:
    if provider == "webpush":
        if token is not None or subscription is None:
            raise HubError(BAD_PROVIDER_TOKEN, "webpush registers a subscription, and no token")
        return _subscription(subscription)
    if token is None or subscription is not None:
        raise HubError(BAD_PROVIDER_TOKEN, f"{provider} registers a token, and no subscription")
    form = _APNS_TOKEN if provider == "apns" else _FCM_TOKEN
    if not form.fullmatch(token):
        wanted = (
            "16 to 512 hexadecimal digits" if provider == "apns" else "8 to 4096 visible ASCII characters"
        )
        raise HubError(BAD_PROVIDER_TOKEN, f"a token of {provider} is {wanted}")
    # The provider reads hexadecimal in either case: the same phone must not look like two.
    return token.lower() if provider == "apns" else token


def _subscription(subscription: Any) -> str:
    wanted = HubError(
        BAD_PROVIDER_TOKEN,
        "a subscription is {endpoint: an https URL, keys: {p256dh, auth}} as browsers give it",
    )
    if not isinstance(subscription, dict) or not isinstance(subscription.get("keys"), dict):
        raise wanted
    endpoint, keys = subscription.get("endpoint"), subscription["keys"]
    if not isinstance(endpoint, str) or len(endpoint) > MAX_TOKEN:
        raise wanted
    try:
        parts = urlsplit(endpoint)
    except ValueError:
        raise wanted from None
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.password:
        raise wanted
    chosen = {name: keys.get(name) for name in ("p256dh", "auth")}
    if not all(
        isinstance(key, str) and len(key) <= 256 and _BASE64URL.fullmatch(key) for key in chosen.values()
    ):
        raise wanted
    return orjson.dumps({"endpoint": endpoint, "keys": chosen}, option=orjson.OPT_SORT_KEYS).decode()
