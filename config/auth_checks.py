"""Rules between the settings of authentication. Whether a key is good is for whoever verifies to say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from pydantic import SecretStr

from config.auth import AuthKey
from config.findings import Finding, is_loopback, unreadable
from config.problems import Path
from config.settings import Settings

MIN_SECRET_BYTES = 32
"""Below the size of its hash (RFC 7518, 3.2), a secret is easier to guess than the signature to forge."""

_PLACEHOLDER = re.compile(r"<[^<>]*>")


def check_auth(settings: Settings) -> Iterator[Finding]:
    """Keys that are no keys, and keys that contradict each other."""
    auth = settings.auth
    yield from _jwks_url(settings)
    for index, file in enumerate(auth.pem_files):
        yield from unreadable(("auth", "pem_files", index), file)
    seen: set[str] = set()
    for index, key in enumerate(auth.keys):
        at: Path = ("auth", "keys", index)
        yield from _auth_key(key, at)
        if key.kid and key.kid in seen:
            yield Finding((*at, "kid"), "is the kid of another key too")
        seen.add(key.kid)
    claim: Path = ("auth", "required_claim")
    if bool(auth.required_claim.name) != bool(auth.required_claim.value):
        yield Finding(claim, "should have both a name and a value", missing=True)
    if (auth.secret or auth.subscription_secret) and not auth.secret_algorithms:
        yield Finding(("auth", "secret_algorithms"), "should name at least one algorithm")


def check_secret_lengths(settings: Settings) -> Iterator[Finding]:
    """Shared secrets that can be guessed."""
    secrets: list[tuple[Path, str | None]] = [
        (("auth", name), secret.get_secret_value() if (secret := getattr(settings.auth, name)) else None)
        for name in ("secret", "subscription_secret")
    ]
    secrets += [
        (("auth", "keys", index, "secret"), key.secret.get_secret_value() if key.secret else None)
        for index, key in enumerate(settings.auth.keys)
    ]
    for path, secret in secrets:
        if secret is not None and len(secret.encode()) < MIN_SECRET_BYTES:
            yield Finding(
                path,
                f"is shorter than {MIN_SECRET_BYTES} bytes and can be guessed from one token; make a longer "
                "one, or set HUB_INSECURE__SHORT_SECRETS=true where that does not matter",
                (("insecure", "short_secrets"),),
            )


def check_placeholders(settings: Settings) -> Iterator[Finding]:
    """Secrets that are still what an example says in their place, which everybody can read."""
    auth = settings.auth
    secrets: list[tuple[Path, SecretStr | None]] = [
        (("auth", "secret"), auth.secret),
        (("auth", "subscription_secret"), auth.subscription_secret),
    ]
    secrets += [(("auth", "keys", index, "secret"), key.secret) for index, key in enumerate(auth.keys)]
    secrets += [(("api", "keys", index, "key"), key.key) for index, key in enumerate(settings.api.keys)]
    for path, secret in secrets:
        if secret is not None and _PLACEHOLDER.fullmatch(secret.get_secret_value().strip()):
            yield Finding(path, "is the placeholder of an example, which everybody knows: fill it in")


def _auth_key(key: AuthKey, at: Path) -> Iterator[Finding]:
    if len(key.material) != 1:
        parts = tuple((*at, name) for name in ("secret", "pem", "pem_file"))
        yield Finding(at, "should have exactly one of secret, pem and pem_file", parts)
        return
    yield from unreadable((*at, "pem_file"), key.pem_file)
    symmetric = key.secret is not None
    for algorithm in key.algorithms:
        if algorithm.startswith("HS") != symmetric:
            # The classic confusion: a public key, which everybody has, taken for a shared secret.
            kind = "a secret" if symmetric else "a public key"
            yield Finding((*at, "algorithms"), f"{algorithm} does not go with {kind}", ((*at, "secret"),))


def _jwks_url(settings: Settings) -> Iterator[Finding]:
    auth = settings.auth
    if auth.jwks_url is None:
        return
    path: Path = ("auth", "jwks_url")
    try:
        url = urlsplit(auth.jwks_url)
        host = url.hostname or ""
    except ValueError:
        yield Finding(path, "is not a URL")
        return
    if not host:
        yield Finding(path, "is not a URL")
    elif url.username is not None:
        yield Finding(path, "should not carry a user name or password")
    elif url.scheme == "http" and not auth.jwks_allow_http and not is_loopback(host):
        yield Finding(path, "should start with https://", (("auth", "jwks_allow_http"),))
