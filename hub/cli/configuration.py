"""``hub config``: check the settings, show what is in force, list all there are."""

from __future__ import annotations

from typing import Any

import typer

from config import LoadedSettings
from config.checks import find_risks
from config.problems import key_text
from config.reference import as_toml, groups, plain_value, toml_value
from hub.cli.output import JsonFlag, failures_reported, show
from hub.cli.sources import ConfigFlag, DevFlag, ProfileFlag, settings_from

config_app = typer.Typer(help="Check and show settings.", no_args_is_help=True, rich_markup_mode=None)


@config_app.command()
def check(
    config: ConfigFlag = None, profile: ProfileFlag = None, dev: DevFlag = False, as_json: JsonFlag = False
) -> None:
    """Say whether a hub can be served with these settings; name every mistake if not."""
    from hub.cli.trial import servable_settings

    with failures_reported(as_json=as_json):
        loaded = servable_settings(config, dev=dev, profile=profile)
        risks = [f"{key_text(risk.path)} {risk.message}" for risk in find_risks(loaded.settings)]
        lines = ["The settings are in order.", *(f"  Note: {risk}" for risk in risks)]
        show("\n".join(lines), {"ok": True, "notes": risks}, as_json=as_json)


@config_app.command("show")
def show_settings(
    config: ConfigFlag = None, profile: ProfileFlag = None, dev: DevFlag = False, as_json: JsonFlag = False
) -> None:
    """Print the settings in force, and where each came from. Secrets are asterisks."""
    with failures_reported(as_json=as_json):
        loaded = settings_from(config, dev=dev, profile=profile)
        lines, sources = _lines_and_sources(loaded)
        value = {"settings": plain_value(loaded.settings), "sources": sources}
        show("\n".join(lines), value, as_json=as_json)


@config_app.command()
def defaults(as_json: JsonFlag = False) -> None:
    """Print every setting with its default and meaning, as a TOML file to start from."""
    entries = [
        {
            "key": entry.key,
            "variable": entry.variable or None,
            "type": entry.type,
            "default": plain_value(entry.default),
            "description": entry.description,
        }
        for group in groups()
        for entry in group.entries
    ]
    show(as_toml().rstrip("\n"), {"settings": entries}, as_json=as_json)


def _lines_and_sources(loaded: LoadedSettings) -> tuple[list[str], dict[str, str]]:
    lines: list[str] = []
    sources: dict[str, str] = {}
    for group in groups():
        if group.repeated:
            continue
        section: Any = loaded.settings
        for part in group.path:
            section = getattr(section, str(part))
        for entry in group.entries:
            source = loaded.source_of(entry.path)
            if source != "default":
                sources[entry.key] = source
            value = toml_value(getattr(section, str(entry.path[-1])))
            lines.append(f"{entry.key} = {value}  # {source}" if value else f"# {entry.key} is not set")
    return lines, sources
