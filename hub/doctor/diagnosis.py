"""All checks in order, each for itself: one that fails keeps none of the others from being made."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from config import LoadedSettings, Problem
from config.checks import find_risks
from config.problems import key_text
from hub.doctor.finding import Area, Finding
from hub.doctor.key_set import check_key_set
from hub.doctor.keys import check_keys
from hub.doctor.machine import check_machine
from hub.doctor.network import check_network
from hub.doctor.providers import check_providers
from hub.doctor.redis import check_redis

log = logging.getLogger(__name__)

AWAITED = (check_key_set, check_redis, check_providers)
"""Checks that speak to somebody."""


async def diagnose(
    loaded: LoadedSettings | None, problems: Sequence[Problem], expected_connections: int | None
) -> AsyncIterator[Finding]:
    """What is found, as it is found.

    ``loaded`` are the settings, or what was left of them when the mistakes in ``problems`` were taken out;
    None when nothing could be read. ``expected_connections`` is what one hub shall hold.
    """
    settings = Area("settings")
    for problem in problems:
        yield settings.error(str(problem), "Correct it: the hub does not start like this.")
    if loaded is None:
        return
    if not problems:
        yield settings.ok("no mistake in them")
    for risk in find_risks(loaded.settings):
        yield settings.note(f"{key_text(risk.path)} {risk.message}")
    plain: tuple[Callable[[], Iterator[Finding]], ...] = (
        lambda: check_keys(loaded.settings),
        lambda: check_network(loaded.settings),
        lambda: check_machine(expected_connections),
    )
    for look in plain:
        for finding in _guarded(look):
            yield finding
    for check in AWAITED:
        for finding in await _all_of(check(loaded.settings), check.__name__):
            yield finding


def _guarded(look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(look())
    except Exception as error:
        return [_broken("look", error)]


async def _all_of(findings: AsyncIterator[Finding], name: str) -> list[Finding]:
    found: list[Finding] = []
    try:
        async for finding in findings:
            found.append(finding)
    except Exception as error:
        found.append(_broken(name, error))
    return found


def _broken(name: str, error: Exception) -> Finding:
    # Only the name: the text of a foreign exception may quote what it was given.
    log.debug("a check of the doctor failed", exc_info=error)
    what = f"{name.removeprefix('check_')}: the check itself failed ({type(error).__name__})"
    return Area("doctor").error(what, "This is a mistake of ours; please report it with this line.")
