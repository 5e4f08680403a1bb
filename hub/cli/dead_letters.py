"""``hub dead-letters``: what no provider would take, to be looked at, sent again, or dropped."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from hub.cli.calling import KeyFlag, UrlFlag, ask
from hub.cli.output import WRONG_USAGE, CommandFailed, JsonFlag, failures_reported, show

dead_letters_app = typer.Typer(help="Notifications that could not be sent.", no_args_is_help=True)

LaneFlag = Annotated[str | None, typer.Option("--lane", help="Of this lane: provider:app:environment.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of dead letters.")]


@dead_letters_app.command("list")
def list_letters(
    lane: LaneFlag = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")] = 100,
    url: UrlFlag = None,
    key: KeyFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """List dead letters, oldest first."""
    with failures_reported(as_json=as_json):
        request: dict[str, Any] = {"limit": limit} | ({"lane": lane} if lane else {})
        result = ask(url, key, "dead_letters", request)
        lines = [_line(letter) for letter in result["letters"]]
        show("\n".join(lines) or "no dead letters", result, as_json=as_json)


@dead_letters_app.command("replay")
def replay(
    ids: Ids = None,
    lane: LaneFlag = None,
    url: UrlFlag = None,
    key: KeyFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Send dead letters again."""
    _act("replay", "will be sent again", ids, lane, url, key, as_json)


@dead_letters_app.command("drop")
def drop(
    ids: Ids = None,
    lane: LaneFlag = None,
    url: UrlFlag = None,
    key: KeyFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Forget dead letters."""
    _act("drop", "dropped", ids, lane, url, key, as_json)


def _act(
    action: str,
    done: str,
    ids: list[str] | None,
    lane: str | None,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    with failures_reported(as_json=as_json):
        if bool(ids) == bool(lane):
            raise CommandFailed("name ids, or a --lane, but not both", exit_code=WRONG_USAGE)
        request: dict[str, Any] = {"ids": ids} if ids else {"lane": lane}
        result = ask(url, key, f"dead_letters_{action}", request)
        show(f"{result['count']} {done}", result, as_json=as_json)


def _line(letter: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(letter["time"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    where = f"{letter['lane']}  {letter['user']}  {letter['device']}"
    return f"{letter['id']}  {at}  {where}  {letter['notification']}  {letter['reason']}"
