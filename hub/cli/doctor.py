"""``hub doctor``: look at all that a hub depends on, and say what to do."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import typer

from config import LoadedSettings, Problem, SettingsError
from hub.cli.output import FAILED, WRONG_USAGE, JsonFlag, show
from hub.cli.sources import ConfigFlag, DevFlag, ProfileFlag
from hub.doctor.finding import Finding, Level

ConnectionsFlag = Annotated[
    int | None,
    typer.Option(
        "--connections", min=1, help="Connections that one hub shall hold, for the open-file limit."
    ),
]
_SIGNS = {Level.OK: "ok     ", Level.NOTE: "note   ", Level.WARNING: "WARNING", Level.ERROR: "ERROR  "}
_INDENT = " " * 10


def doctor(
    config: ConfigFlag = None,
    profile: ProfileFlag = None,
    dev: DevFlag = False,
    connections: ConnectionsFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Check settings, keys, Redis, providers, clocks, limits. 1: something is broken, 2: settings."""
    # What rooms would log is in the findings, in plainer words.
    logging.getLogger().addHandler(logging.NullHandler())
    loaded, problems = _settings(config, dev=dev, profile=profile)
    findings = asyncio.run(_examine(loaded, problems, connections, as_json=as_json))
    counted = {level: sum(each.level is level for each in findings) for level in Level}
    told = f"{counted[Level.ERROR]} errors, {counted[Level.WARNING]} warnings, {counted[Level.NOTE]} notes"
    value = {
        "ok": not counted[Level.ERROR],
        "counts": {level.value: count for level, count in counted.items()},
        "findings": [
            {"area": each.area, "level": each.level.value, "what": each.what, "advice": each.advice or None}
            for each in findings
        ],
    }
    show(told, value, as_json=as_json)
    if problems:
        raise typer.Exit(WRONG_USAGE)
    raise typer.Exit(FAILED if counted[Level.ERROR] else 0)


def _settings(
    config: Path | None, *, dev: bool, profile: str | None
) -> tuple[LoadedSettings | None, list[Problem]]:
    from hub.cli.sources import settings_from
    from hub.cli.trial import servable_settings

    try:
        return servable_settings(config, dev=dev, profile=profile), []
    except SettingsError as error:
        problems = error.problems
    try:
        # What can be told besides is told of what is left: one call shall show all there is to do.
        return settings_from(config, dev=dev, profile=profile), problems
    except SettingsError as error:
        return error.usable if isinstance(error.usable, LoadedSettings) else None, problems


async def _examine(
    loaded: LoadedSettings | None, problems: list[Problem], connections: int | None, *, as_json: bool
) -> list[Finding]:
    from hub.doctor.diagnosis import diagnose

    findings: list[Finding] = []
    async for finding in diagnose(loaded, problems, connections):
        findings.append(finding)
        if not as_json:
            # As they come: a provider that does not answer takes seconds.
            print("\n".join(_lines(finding)), flush=True)
    return findings


def _lines(finding: Finding) -> list[str]:
    lines = [f"{_SIGNS[finding.level]}  {finding.area}: {finding.what}"]
    if finding.advice:
        lines.append(f"{_INDENT}→ {finding.advice}")
    return lines
