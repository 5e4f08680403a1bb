"""What commands print, for people or (``--json``) as one object for programs, and how they fail.

Results go to standard output. Failures go to standard error, or with ``--json`` to standard
output too, so that a program reads one place.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from config import SettingsError

FAILED = 1
WRONG_USAGE = 2

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


class CommandFailed(Exception):
    """A command could not do its work; the text says why, to a person."""

    def __init__(self, message: str, *, exit_code: int = FAILED, details: Mapping[str, Any] | None = None):
        super().__init__(message)
        self.exit_code = exit_code
        self.details = dict(details or {})


def show(text: str, value: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a result: ``text`` for people, ``value`` for programs."""
    print(json.dumps(value, ensure_ascii=False) if as_json else text, flush=True)


def remark(text: str) -> None:
    """Tell a person something beside the result."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def failures_reported(*, as_json: bool) -> Iterator[None]:
    """Turn what goes wrong inside into a readable message and the right exit code.

    Raises:
        typer.Exit: in place of ``SettingsError`` and ``CommandFailed``.
    """
    try:
        yield
    except SettingsError as error:
        count = len(error.problems)
        lines = [f"{count} mistake{'s' if count > 1 else ''} in the settings:"]
        lines += [f"  {problem}" for problem in error.problems]
        problems = [
            {"source": problem.source, "key": problem.key, "message": problem.message}
            for problem in error.problems
        ]
        value = {"error": {"message": "wrong settings", "problems": problems}}
        _report("\n".join(lines), value, as_json=as_json)
        raise typer.Exit(WRONG_USAGE) from None
    except CommandFailed as error:
        _report(f"Error: {error}", {"error": {"message": str(error), **error.details}}, as_json=as_json)
        raise typer.Exit(error.exit_code) from None


def _report(text: str, value: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        show(text, value, as_json=True)
    else:
        remark(text)
