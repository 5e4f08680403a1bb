"""JSON that a person typed, as RFC 8259 has it: Python also reads ``NaN``, which nobody else does."""

from __future__ import annotations

import json
import math
from typing import Any


def json_of(text: str) -> Any:
    """The value.

    Raises:
        ValueError: for what is no JSON, or a number that no number of this machine is.
    """
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def json_or_text(text: str) -> Any:
    """JSON where it is, else the text itself."""
    try:
        return json_of(text)
    except ValueError:
        return text


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is too large a number")
    return number
