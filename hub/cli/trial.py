"""What only the rooms can judge about settings: is this key a key, is this origin an origin.

Builds each such value once and lets it go, so that all that is wrong is told before anything runs.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from config import LoadedSettings, Problem, SettingsError
from hub.cli.sources import settings_from
from hub.from_settings import (
    jwks_source,
    named_in_settings,
    redis_options,
    subscription_keys,
    verification_keys,
)
from hub.transport.origins import OriginPolicy


def servable_settings(
    config: Path | None,
    *,
    dev: bool = False,
    profile: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> LoadedSettings:
    """Settings that a hub can be served with.

    Raises:
        SettingsError: with every mistake in them, those that only the rooms can judge among them.
    """
    try:
        loaded = settings_from(config, dev=dev, profile=profile, overrides=overrides, for_serving=True)
    except SettingsError as error:
        if not isinstance(error.usable, LoadedSettings):
            raise
        known = {problem.key for problem in error.problems}
        found = [problem for problem in _problems_of(error.usable) if problem.key not in known]
        raise SettingsError([*error.problems, *found]) from None
    try_settings(loaded)
    return loaded


def try_settings(loaded: LoadedSettings) -> None:
    """Build what can be refused.

    Raises:
        SettingsError: with everything that was.
    """
    problems = _problems_of(loaded)
    if problems:
        raise SettingsError(problems)


def _problems_of(loaded: LoadedSettings) -> list[Problem]:
    settings = loaded.settings

    def try_certificate() -> None:
        cert, key = settings.http.tls_cert, settings.http.tls_key
        if cert is None:
            return
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with named_in_settings(("http", "tls_cert"), loaded):
            try:
                context.load_cert_chain(cert, key)
            except ssl.SSLError:
                raise ValueError("is no certificate with http.tls_key as its key, in PEM form") from None

    def try_origins() -> None:
        with named_in_settings(("http", "allowed_origins"), loaded):
            OriginPolicy(settings.http.allowed_origins)

    def try_redis() -> None:
        if settings.chosen_engine == "redis":
            redis_options(settings, loaded)

    trials: list[Callable[[], object]] = [
        lambda: verification_keys(settings, loaded),
        lambda: subscription_keys(settings, loaded),
        lambda: jwks_source(settings, loaded),
        try_origins,
        try_redis,
        try_certificate,
    ]
    problems: list[Problem] = []
    for trial in trials:
        try:
            trial()
        except SettingsError as error:
            problems += error.problems
    return problems
