"""What is told about a request that could not be read: the decoder's words, and the values that would do.

Knows no method.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import inspect

MAX_COMPLAINT = 200
"""Characters of a decoder's complaint that are told: it may quote a name of any length."""

_BAD_CHOICE = re.compile(r"Invalid enum value .* - at `\$((?:\.\w+)+)`", re.DOTALL)


def complaint_of(kind: type[Any], error: Exception) -> str:
    """What is wrong with a request of ``kind``, in a line."""
    told = str(error)
    found = _BAD_CHOICE.fullmatch(told)
    choices = _choices(inspect.type_info(kind), found[1].split(".")[1:]) if found else []
    if found and choices:
        return f"`{found[1][1:]}` is one of {', '.join(choices)}"
    return told[:MAX_COMPLAINT]


def _choices(kind: inspect.Type, path: list[str]) -> list[str]:
    """The values of the field at ``path``; none where that is no such field."""
    match kind:
        case inspect.UnionType(types=types):
            return [choice for each in types for choice in _choices(each, path)]
        case inspect.StructType(fields=fields) if path:
            return [
                choice
                for field in fields
                if field.encode_name == path[0]
                for choice in _choices(field.type, path[1:])
            ]
        case inspect.LiteralType(values=values) if not path:
            return [str(value) for value in values]
        case _:
            return []
