"""What all sections of the settings share: their base class and the kinds of values that recur.

The docstring under each setting is its description in the reference; write it for operators.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_UNIT_S = (86_400, 3_600, 60, 1)


class Section(BaseModel):
    """A group of settings. Immutable; a key that it does not know is a mistake, not a remark."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        validate_default=False,
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """How the reference names the type of a setting."""

    name: str


def parse_duration_s(value: object) -> object:
    """Whole seconds of ``"300s"``, ``"5m"``, ``"1h30m"``, ``"7d"``; numbers and digits count as seconds.

    Raises:
        ValueError: for a text that is no duration.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.isdecimal():
        return int(text)
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError('should be a duration such as "300s", "5m" or "24h", or a number of seconds')
    parts = zip(match.groups(), _UNIT_S, strict=True)
    return sum(int(count) * unit_s for count, unit_s in parts if count is not None)


def split_list(value: object) -> object:
    """A text with commas as the list that it means, so that one variable can carry a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _refuse_blank(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().strip():
        raise ValueError("should not be empty")
    return secret


Duration = Annotated[int, BeforeValidator(parse_duration_s), Shown("duration")]
"""Whole seconds, written as people do."""

Secret = Annotated[SecretStr, AfterValidator(_refuse_blank), Shown("secret")]
"""Never printed, never empty."""

TextList = Annotated[tuple[str, ...], BeforeValidator(split_list), Shown("list of text")]
"""Several texts; a single text, or texts with commas between, are a list too."""
