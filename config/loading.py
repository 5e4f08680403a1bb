"""Settings out of all their sources: defaults < profile < platform < TOML file < environment < flags.

Every mistake is found in one pass, whatever its kind: what is wrong by itself is set aside, and
the rest is checked as if it had not been written. Reads files and the mapping it is given, never
the process's own environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import InitSettingsSource

from config.checks import find_contradictions, find_obstacles
from config.findings import Finding
from config.layers import Layer, read_environment, read_file, read_overrides, read_platform
from config.problems import NOT_SET, Path, Problem, SettingsError, key_text
from config.settings import Settings
from config.shape import guess, model_at

PROFILES = FilePath(__file__).parent / "profiles"


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings, and the sources they came from, the strongest first."""

    settings: Settings
    layers: tuple[Layer, ...]

    def source_of(self, path: Path) -> str:
        """The file or variable that decided the value at ``path``; ``"default"`` where nobody did."""
        source = _source_of(path, self.layers)
        return "default" if source == NOT_SET else source


def profile_file(name: str) -> FilePath:
    """The file of a profile that comes with the hub.

    Raises:
        SettingsError: when there is none of this name.
    """
    known = sorted(file.stem for file in PROFILES.glob("*.toml"))
    if name not in known:
        message = f"there is no profile of this name; there are {', '.join(known)}"
        raise SettingsError([Problem("command line", "profile", message)])
    return PROFILES / f"{name}.toml"


def load_settings(
    file: FilePath | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    base: Sequence[FilePath] = (),
    for_serving: bool = True,
) -> Settings:
    """The settings of :func:`read_settings`, without their sources. Raises as it does."""
    return read_settings(file, env, overrides, base=base, for_serving=for_serving).settings


def read_settings(
    file: FilePath | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    base: Sequence[FilePath] = (),
    for_serving: bool = True,
) -> LoadedSettings:
    """Settings from ``base`` (weakest first), ``PORT``, ``REDIS_URL``, ``file``, ``HUB_*`` and ``overrides``.

    Without ``file``, ``HUB_CONFIG`` names it. ``for_serving`` also refuses what is well formed
    but cannot be served: no key to verify tokens with, an insecure public address.

    Raises:
        SettingsError: with every mistake of every source.
    """
    env = env or {}
    if file is None and env.get("HUB_CONFIG"):
        file = FilePath(env["HUB_CONFIG"])
    weakest_first = [*map(read_file, base), read_platform(env)]
    if file is not None:
        weakest_first.append(read_file(file))
    weakest_first += [read_environment(env), read_overrides(overrides or {})]
    layers = tuple(reversed(weakest_first))

    problems = [problem for layer in weakest_first for problem in layer.problems]
    unread = [path for layer in layers for path in layer.unread]
    broken = [path for path in unread if path]
    settings = _validate(layers, problems, broken)
    findings = list(find_contradictions(settings))
    if for_serving:
        findings += find_obstacles(settings)
    for finding in findings:
        # What is missing may be in the part that could not be read: no advice on a guess.
        if not _overlap(finding, broken) and not (finding.missing and () in unread):
            problems.append(
                Problem(_source_of(finding.path, layers), key_text(finding.path), finding.message)
            )
    loaded = LoadedSettings(settings, layers)
    if problems:
        raise SettingsError(problems, loaded)
    return loaded


def _validate(layers: Sequence[Layer], problems: list[Problem], broken: list[Path]) -> Settings:
    while True:
        try:
            return _settings_of(layers)
        except ValidationError as error:
            dropped = False
            for detail in error.errors(include_url=False, include_input=False):
                path = detail["loc"]
                if path not in broken:
                    broken.append(path)
                    message = _message(detail, path)
                    problems.append(Problem(_source_of(path, layers), key_text(path), message))
                # A list, and not a generator: a weaker layer must not come to light instead.
                dropped |= any([layer.drop(path) for layer in layers])
            if not dropped:
                raise SettingsError(problems) from None


def _settings_of(layers: Sequence[Layer]) -> Settings:
    sources = tuple(InitSettingsSource(Settings, layer.values) for layer in layers)
    arguments: dict[str, Any] = {"_build_sources": (sources, {})}
    return Settings(**arguments)


_PLAIN_WORDS = {
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "dict_type": "should be a table of settings",
    "float_parsing": "should be a number",
    "int_from_float": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_type": "should be a whole number",
    "model_type": "should be a table of settings",
    "string_too_short": "should not be empty",
    "string_type": "should be text",
    "tuple_type": "should be a list",
}


def _message(detail: ErrorDetails, path: Path) -> str:
    if detail["type"] == "extra_forbidden":
        section = model_at(path[:-1])
        known = list(section.model_fields) if section is not None else []
        return f"is not a setting{guess(str(path[-1]), known)}"
    if detail["type"] in _PLAIN_WORDS:
        return _PLAIN_WORDS[detail["type"]]
    text = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{text[:1].lower()}{text[1:]}"


def _source_of(path: Path, layers: Iterable[Layer]) -> str:
    return next((layer.source_of(path) for layer in layers if layer.holds(path)), NOT_SET)


def _overlap(finding: Finding, broken: Iterable[Path]) -> bool:
    concerned = (finding.path, *finding.needs)
    return any(path[: len(bad)] == bad or bad[: len(path)] == path for path in concerned for bad in broken)
