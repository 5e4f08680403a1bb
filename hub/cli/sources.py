"""Which settings a command works with: the flags that all commands share, and development mode."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from config import LoadedSettings, profile_file, read_settings
from hub.cli import development

ConfigFlag = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="TOML file with settings (HUB_CONFIG).")
]
DevFlag = Annotated[
    bool, typer.Option("--dev", help="Development settings, with secrets made once and kept in .hub/.")
]
ProfileFlag = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help="Settings that come with the hub, under your own."),
]


def settings_from(
    config: Path | None,
    *,
    dev: bool = False,
    profile: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    for_serving: bool = False,
) -> LoadedSettings:
    """The settings that the flags and this process's environment make.

    Raises:
        SettingsError: with every mistake in them.
    """
    base = [profile_file(profile)] if profile is not None else []
    if dev:
        base += [profile_file(development.PROFILE), development.secrets_file()]
    return read_settings(config, os.environ, overrides, base=base, for_serving=for_serving)


def settings_for_tokens(config: Path | None, *, dev: bool, profile: str | None) -> LoadedSettings:
    """The settings whose keys sign and verify tokens.

    Beside a development hub they are those of development, unless others have been given:
    whoever started the one wants tokens for it.
    """
    loaded = settings_from(config, dev=dev, profile=profile)
    nothing_given = config is None and profile is None and not loaded.settings.auth.has_keys
    if not dev and nothing_given and development.SECRETS_FILE.is_file():
        return settings_from(config, dev=True)
    return loaded
