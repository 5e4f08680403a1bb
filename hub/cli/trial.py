"""What only the rooms can judge about settings: is this key a key, is this origin an origin.

Builds each such value once and lets it go, so that all that is wrong is told before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable

from config import LoadedSettings, Problem, SettingsError
from hub.from_settings import (
    jwks_source,
    named_in_settings,
    redis_options,
    subscription_keys,
    verification_keys,
)
from hub.transport.origins import OriginPolicy


def try_settings(loaded: LoadedSettings) -> None:
    """Build what can be refused.

    Raises:
        SettingsError: with everything that was.
    """
    settings = loaded.settings

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
    ]
    problems: list[Problem] = []
    for trial in trials:
        try:
            trial()
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
