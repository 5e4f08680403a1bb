"""Keys and certificates in the settings: do they read, are they weak, do they end soon. No network."""

from __future__ import annotations

import datetime
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from pydantic import SecretStr

from config import Settings, SettingsError
from hub.doctor.finding import Area, Finding
from hub.from_settings import subscription_keys, verification_keys

AREA = Area("keys")

FEW_CHARACTERS = 10
"""So few different characters in a secret are no chance: a random one of 32 hex digits has about 14."""

SHORT_API_KEY = 24
"""Characters of an API key below which guessing comes into question."""

SOON_DAYS = 14
_FOUND_IN_EXAMPLES = (
    "django-insecure-",
    "changeme",
    "change-me",
    "secret-of-",
    "the-secret-of-my-api",
    "your-",
)


def check_keys(settings: Settings) -> Iterator[Finding]:
    """Keys of tokens, keys of the API, the certificate."""
    yield from _token_keys(settings)
    yield from _api_keys(settings)
    yield from _certificate(settings.http.tls_cert)
    for file in (settings.http.tls_key, *(app.credentials for app in settings.push.apps)):
        yield from _open_file(file)


def _token_keys(settings: Settings) -> Iterator[Finding]:
    auth = settings.auth
    try:
        count = len(verification_keys(settings)) + (len(subscription_keys(settings) or ()))
    except SettingsError:
        return  # named among the mistakes in the settings
    if count:
        yield AREA.ok(f"{count} key{'s' if count > 1 else ''} for tokens in the settings")
    elif auth.jwks_url is None:
        how = "everybody is let in" if settings.insecure.client else "no token can be verified"
        yield AREA.error(
            f"no key for tokens at all: {how}",
            "Set auth.secret, auth.pem_files, auth.keys or auth.jwks_url.",
        )
    secrets = {"auth.secret": auth.secret, "auth.subscription_secret": auth.subscription_secret}
    secrets |= {f"auth.keys[{index}].secret": key.secret for index, key in enumerate(auth.keys)}
    for name, secret in secrets.items():
        if (why := _why_weak(secret)) is not None:
            yield AREA.warning(
                f"{name} {why}",
                "Whoever guesses it is any user. Make one with `openssl rand -hex 32`, in your API too.",
            )
    if not auth.require_exp:
        yield AREA.warning(
            "auth.require_exp is off: a token that once leaks is good for ever",
            "Issue tokens with exp, and turn it on.",
        )
    if auth.user_claim == "user_id" and not auth.required_claim.name:
        yield AREA.warning(
            "tokens look like SimpleJWT's, and refresh tokens are accepted like access tokens",
            'Set auth.required_claim to name "token_type" and value "access".',
        )


def _why_weak(secret: SecretStr | None) -> str | None:
    if secret is None:
        return None
    text = secret.get_secret_value()
    if text.lower().startswith(_FOUND_IN_EXAMPLES):
        return "begins like a secret of an example or of development"
    if len(set(text)) < FEW_CHARACTERS:
        return "is made of very few different characters"
    return None


def _api_keys(settings: Settings) -> Iterator[Finding]:
    plain = [key for key in settings.api.keys if key.key is not None]
    for key in plain:
        assert key.key is not None
        if len(key.key.get_secret_value()) < SHORT_API_KEY:
            yield AREA.warning(
                f"the API key of {key.name!r} has fewer than {SHORT_API_KEY} characters",
                "Make one with `openssl rand -hex 24`.",
            )
    if plain:
        yield AREA.note(
            f"{len(plain)} API key{'s are' if len(plain) > 1 else ' is'} written out in the settings",
            "With sha256 in place of key, whoever reads the settings cannot call the API.",
        )
    if settings.api.key_in_query:
        yield AREA.warning(
            "api.key_in_query is on: keys end up in the logs of every proxy on the way",
            "Have callers send X-API-Key, and turn it off.",
        )


def _certificate(file: Path | None) -> Iterator[Finding]:
    if file is None:
        return
    try:
        ends = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return  # named among the mistakes in the settings
    left = ends - datetime.datetime.now(datetime.UTC)
    if left < datetime.timedelta(0):
        yield AREA.error(
            f"the certificate {file} ended on {ends:%Y-%m-%d}", "Renew it, and send the hub SIGHUP."
        )
    elif left < datetime.timedelta(days=SOON_DAYS):
        yield AREA.warning(
            f"the certificate {file} ends on {ends:%Y-%m-%d}",
            "Renew it, and send the hub SIGHUP afterwards: it is read at start and then.",
        )
    else:
        yield AREA.ok(f"the certificate {file} is good until {ends:%Y-%m-%d}")


def _open_file(file: Path | None) -> Iterator[Finding]:
    if file is None or os.name != "posix":
        return
    try:
        mode = file.stat().st_mode
    except OSError:
        return
    if stat.S_ISREG(mode) and mode & stat.S_IROTH:
        yield AREA.warning(f"{file} can be read by every user of this machine", f"chmod 640 {file}")
