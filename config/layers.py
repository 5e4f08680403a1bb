"""The places that settings come from, each read into one tree that remembers where every value was written.

Reading notes mistakes and goes on, so that one pass finds them all. Which layer wins is not
decided here, and neither is whether a value makes sense.
"""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from config.problems import Path, Problem, key_text
from config.settings import Settings
from config.shape import field_at, guess, is_plain_list, item_section_of, section_of

PREFIX = "HUB_"
NESTING = "__"
NOT_SETTINGS = frozenset({"HUB_CONFIG", "HUB_URL", "HUB_API_KEY"})
"""Variables of the command line itself."""

PLATFORM_VARIABLES: Mapping[str, Path] = {
    "PORT": ("http", "port"),
    "REDIS_URL": ("redis", "url"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("tracing", "endpoint"),
    "OTEL_SERVICE_NAME": ("tracing", "service_name"),
}
"""What platforms set for every process they run."""

Tree = dict[str, Any]


@dataclass(slots=True)
class Layer:
    """One source: its values, and under which name each of them was written."""

    source: str
    values: Tree = field(default_factory=dict)
    variables: dict[Path, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)
    """Places where something was written that could not be read; ``()`` is the whole source."""

    def holds(self, path: Path) -> bool:
        """Whether what stands at ``path`` was decided here: set here, or inside a list that was."""
        node: Any = self.values
        for part in path:
            if not isinstance(node, dict):
                return True
            if part not in node:
                return False
            node = node[part]
        return True

    def source_of(self, path: Path) -> str:
        """The file or variable in which the value at ``path`` was written."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.variables:
                return self.variables[path[:length]]
        return self.source

    def drop(self, path: Path) -> bool:
        """Forget what was written at ``path``; list items keep their places. False when it is not here."""
        node: Any = self.values
        for depth, part in enumerate(path[:-1]):
            if isinstance(node, dict) and part in node:
                node = node[part]
            elif isinstance(node, list) and isinstance(part, int) and part < len(node):
                node = node[part]
            elif isinstance(node, dict):
                return False
            else:
                return self.drop(path[:depth])
        last = path[-1]
        if isinstance(node, dict):
            return node.pop(last, self) is not self
        parent = field_at(path[:-1])
        if isinstance(node, list) and isinstance(last, int) and parent and item_section_of(parent):
            known = node[last] == {}
            node[last] = {}
            return not known
        return self.drop(path[:-1])

    def put(self, path: Path, value: object, variable: str) -> None:
        """Note that ``variable`` sets what stands at ``path``."""
        node: Any = self.values
        for part in path[:-1]:
            node = node.setdefault(part, {})
        if isinstance(value, dict) and isinstance(node.get(path[-1]), dict):
            # A variable for one setting is more exact than one for its whole section.
            value = _merged(value, node[path[-1]])
        node[path[-1]] = value
        self.variables[path] = variable


def read_file(file: FilePath) -> Layer:
    """The layer of one TOML file. A file that cannot be read or parsed is a problem and an empty layer."""
    layer = Layer(str(file))
    try:
        layer.values = tomllib.loads(file.read_text(encoding="utf-8"))
        return layer
    except OSError as error:
        reason = f"cannot be read: {error.strerror or type(error).__name__}"
    except UnicodeDecodeError:
        reason = "is not UTF-8"
    except tomllib.TOMLDecodeError as error:
        reason = f"is not valid TOML: {error}"
    layer.problems.append(Problem(layer.source, "", reason))
    layer.unread.append(())
    return layer


def read_environment(env: Mapping[str, str]) -> Layer:
    """The layer of all ``HUB_*`` variables. Empty ones count as not set; unknown ones are problems."""
    layer = Layer("environment")
    # Longest first: a section given as a whole must not hide its single settings.
    for variable in sorted(env, key=lambda name: (-name.count(NESTING), name)):
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
            continue
        path: Path = tuple(variable.removeprefix(PREFIX).lower().split(NESTING))
        setting = field_at(path)
        if setting is None:
            layer.problems.append(Problem(variable, "", f"is not a setting{_guess_variable(variable, path)}"))
            continue
        text = env[variable]
        if not text:
            continue
        value: object = text
        structured = section_of(setting) is not None or item_section_of(setting) is not None
        if structured or (is_plain_list(setting) and text.lstrip().startswith("[")):
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as error:
                reason = error.msg if isinstance(error, json.JSONDecodeError) else "it cannot be parsed"
                place = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
                layer.problems.append(
                    Problem(variable, key_text(path), f"is not valid JSON: {reason}{place}")
                )
                layer.unread.append(path)
                continue
        layer.put(path, value, variable)
    return layer


def read_platform(env: Mapping[str, str]) -> Layer:
    """The layer of ``PORT``, ``REDIS_URL`` and such, which platforms set for every process."""
    layer = Layer("environment")
    for variable, path in PLATFORM_VARIABLES.items():
        if env.get(variable):
            layer.put(path, env[variable], variable)
    return layer


def read_overrides(overrides: Mapping[str, Any]) -> Layer:
    """The layer of the flags: a tree, in which keys may also be dotted (``"http.port"``)."""
    layer = Layer("command line")
    for key, value in overrides.items():
        layer.put(tuple(key.split(".")), copy.deepcopy(value), layer.source)
    return layer


def _merged(under: Tree, over: Tree) -> Tree:
    both = {**under, **over}
    for name in under.keys() & over.keys():
        if isinstance(under[name], dict) and isinstance(over[name], dict):
            both[name] = _merged(under[name], over[name])
    return both


def variable_of(path: Path) -> str:
    """The environment variable of the setting at ``path``."""
    return PREFIX + NESTING.join(str(part).upper() for part in path)


def all_variables() -> Iterator[str]:
    """Every variable that is a setting."""

    def below(path: Path) -> Iterator[str]:
        setting = field_at(path)
        section = section_of(setting) if setting is not None else None
        if section is None:
            yield variable_of(path)
            return
        for name in section.model_fields:
            yield from below((*path, name))

    for name in Settings.model_fields:
        yield from below((name,))


def _guess_variable(variable: str, path: Path) -> str:
    for length in range(len(path) - 1, 0, -1):
        parent = field_at(path[:length])
        if parent is not None and item_section_of(parent) is not None:
            return f"; give the whole list as JSON in {variable_of(path[:length])}"
    return guess(variable, list(all_variables())).replace('"', "")
