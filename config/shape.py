"""The tree that the settings form: which keys exist at a path, and what stands there.

Read off the models once and used by everything that takes names from outside. Knows no value.
"""

from __future__ import annotations

import difflib
from typing import get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.problems import Path
from config.settings import Settings

Model = type[BaseModel]


def section_of(field: FieldInfo) -> Model | None:
    """The section that ``field`` holds; None where it holds a value or a list."""
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def item_section_of(field: FieldInfo) -> Model | None:
    """The section that each item of the list ``field`` holds; None where items are plain values."""
    if get_origin(field.annotation) is not tuple:
        return None
    item = get_args(field.annotation)[0]
    return item if isinstance(item, type) and issubclass(item, BaseModel) else None


def is_plain_list(field: FieldInfo) -> bool:
    """Whether ``field`` is a list of plain values."""
    return get_origin(field.annotation) is tuple and item_section_of(field) is None


def model_at(path: Path) -> Model | None:
    """The section that stands at ``path``; None where there is none."""
    model: Model | None = Settings
    waiting: FieldInfo | None = None
    for part in path:
        if isinstance(part, int):
            model = item_section_of(waiting) if waiting is not None else None
        else:
            waiting = model.model_fields.get(part) if model is not None else None
            model = section_of(waiting) if waiting is not None else None
    return model


def field_at(path: Path) -> FieldInfo | None:
    """The setting that stands at ``path``; None where there is none."""
    if not path or isinstance(path[-1], int):
        return None
    parent = model_at(path[:-1])
    return parent.model_fields.get(path[-1]) if parent is not None else None


def guess(written: str, known: list[str]) -> str:
    """A half sentence that names the closest of ``known``; empty when nothing is close."""
    close = difflib.get_close_matches(written, known, n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else ""
